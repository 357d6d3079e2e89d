#!/usr/bin/env python3
"""Runs a set of recipes and compares what `retune plan` forecast with the memory and time that each run took.

    cargo build --release
    python data/make_movie_sentences.py --splits movie/
    python data/make_clothing_reviews.py --splits clothing/
    python bench/forecast.py --retune target/release/retune --movie movie/ --clothing clothing/ \\
        --base FOLDER --out page.md

FOLDER is a checkpoint of BERT's base size with its tokenizer (random weights do: `golden/full_size.py` writes one).
The peak is what the system counts for the process from outside (`ru_maxrss`). A run is cut short by --max-steps, which
its forecast knows. The page is a table: recipe, peak, forecast, their ratio, and the same for time.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

METHODS = ["full", "head", "lora", "bitfit", "last_layers", "gradual"]
MINILM = "all-minilm-l6-v2"
# A ratio beyond it is marked in the table.
BAR = 0.15


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retune", required=True, type=Path, help="the program")
    parser.add_argument("--movie", required=True, type=Path, help="folder with train.csv, short texts")
    parser.add_argument("--clothing", required=True, type=Path, help="folder with train.csv, long texts")
    parser.add_argument("--base", required=True, type=Path, help="checkpoint of BERT's base size")
    parser.add_argument("--home", type=Path, default=Path("runs/forecast-home"), help="the program's cache in these runs")
    parser.add_argument("--out", type=Path, help="Markdown table to write; printed when left out")
    parser.add_argument("--only", default="", help="only recipes whose line holds this text")
    parser.add_argument("--plan-only", type=Path, metavar="JSON", help="forecast anew beside peaks kept by --keep")
    parser.add_argument("--keep", type=Path, metavar="JSON", help="file in which peaks are kept")
    return parser.parse_args()


def recipes(args: argparse.Namespace) -> list[list[str]]:
    """The flags of each run."""
    movie, clothing = str(args.movie / "train.csv"), str(args.clothing / "train.csv")
    found = []

    def add(data: str, *flags: object, model: str = MINILM, steps: int = 20) -> None:
        found.append([data, "--model", model, "--max-steps", str(steps), *map(str, flags)])

    for data, rows in ((movie, 2000), (clothing, 600)):
        for method in METHODS:
            for verdict in ("off", "fast"):
                add(data, "--max-rows", rows, "--method", method, "--verdict", verdict)
        for batch in (8, 64):
            for method in ("full", "lora"):
                add(data, "--max-rows", rows, "--method", method, "--batch-size", batch, "--verdict", "off")
        for method in ("full", "lora", "head"):
            for verdict in ("off", "fast"):
                add(data, "--max-rows", rows, "--method", method, "--verdict", verdict, "--precision", "f32")
        add(data, "--max-rows", rows, "--threads", 1, "--verdict", "off")
    for method in ("full", "bitfit"):
        add(clothing, "--max-rows", 600, "--method", method, "--max-length", 128, "--batch-size", 64, "--verdict", "off")
    # Whole runs on all rows.
    add(movie, "--verdict", "fast", "--epochs", 1, steps=100000)
    add(clothing, "--verdict", "off", "--batch-size", 32, steps=60)
    add(clothing, "--method", "head", "--verdict", "fast", "--max-rows", 3000, "--max-length", 128)
    for method in ("full", "lora", "head"):
        add(clothing, "--max-rows", 200, "--method", method, "--verdict", "fast", model=str(args.base), steps=4)
    for method in ("full", "lora", "last_layers"):
        add(clothing, "--max-rows", 200, "--method", method, "--verdict", "off", "--precision", "f32",
            model=str(args.base), steps=4)  # fmt: skip
    return [flags for flags in found if args.only in name(flags)]


def name(flags: list[str]) -> str:
    """A recipe as the table shows it."""
    words = {"--max-rows": "rows", "--method": "", "--verdict": "verdict", "--batch-size": "batch",
             "--precision": "", "--max-length": "length", "--threads": "threads", "--max-steps": "steps",
             "--epochs": "epochs", "--model": ""}  # fmt: skip
    parts = [Path(flags[0]).parent.name]
    for flag, value in zip(flags[1::2], flags[2::2], strict=True):
        parts.append(f"{words[flag]} {Path(value).name if flag == '--model' else value}".strip())
    return ", ".join(parts)


def forecast(retune: Path, flags: list[str]) -> dict:
    """What the plan says."""
    plan = subprocess.run([retune, "plan", *flags, "--json"], check=True, capture_output=True, text=True)
    return json.loads(plan.stdout)["forecast"]


def measure(retune: Path, flags: list[str]) -> dict:
    """Peak bytes and seconds of a run."""
    with tempfile.TemporaryDirectory() as scratch:
        # What an earlier run kept of frozen features would spare this one the work.
        shutil.rmtree(Path(os.environ["RETUNE_HOME"]) / "features", ignore_errors=True)
        words = [str(retune), "train", *flags, "--out", f"{scratch}/out", "--json"]
        began = time.monotonic()
        with open(f"{scratch}/said", "w+") as said:
            child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=said)
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.monotonic() - began
            if status:
                said.seek(0)
                raise SystemExit(f"{' '.join(words)}\n{said.read()}")
    return {"bytes": usage.ru_maxrss * 1024, "seconds": seconds}


def page(rows: list[tuple[str, dict, dict]]) -> str:
    """The table."""
    lines = ["| recipe | peak, GB | forecast, GB | forecast / peak | time, s | forecast, s |", "|---|---|---|---|---|---|"]
    ratios = []
    for recipe, true, said in rows:
        ratio = said["memory_bytes"] / true["bytes"]
        ratios.append(ratio)
        mark = "" if abs(ratio - 1) <= BAR else " !"
        lines.append(f"| {recipe} | {true['bytes'] / 1e9:.3f} | {said['memory_bytes'] / 1e9:.3f} | {ratio:.2f}{mark} "
                     f"| {true['seconds']:.0f} | {said['seconds']:.0f} |")  # fmt: skip
    inside = sum(abs(ratio - 1) <= BAR for ratio in ratios)
    lines += ["", f"{inside} of {len(ratios)} forecasts are within {BAR:.0%} of the peak; ratios from {min(ratios):.2f} "
              f"to {max(ratios):.2f}, median {statistics.median(ratios):.2f}."]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    """Plan, run, compare."""
    args = arguments()
    args.retune = args.retune.resolve()
    os.environ["RETUNE_HOME"] = str(args.home.resolve())
    known = json.loads(args.plan_only.read_text()) if args.plan_only else {}
    kept = json.loads(args.keep.read_text()) if args.keep and args.keep.exists() else {}
    rows = []
    for flags in recipes(args):
        recipe = name(flags)
        if args.plan_only and recipe not in known:
            continue
        said = forecast(args.retune, flags)
        true = known.get(recipe) or kept.get(recipe) or measure(args.retune, flags)
        rows.append((recipe, true, said))
        print(f"{recipe}: {true['bytes'] / 1e9:.3f} GB, forecast {said['memory_bytes'] / 1e9:.3f}", file=sys.stderr)
        if args.keep:
            kept[recipe] = true
            args.keep.write_text(json.dumps(kept, indent=1))
    text = page(rows)
    if args.out:
        args.out.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
