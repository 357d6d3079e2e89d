#!/usr/bin/env python3
"""Text classification: retune next to transformers' Trainer, on the same rows and settings.

Three parts, each a section of the page that --out names:

- `curve`: equal starting weights, rows in file order, no dropout: the loss of every step.
- `sample`: the 2,000 sentences of the quickstart, split once, both programs on each seed.
- `full`: all movie sentences, both programs on each seed; accuracy, time and memory.

    cargo build --release
    python data/make_movie_sentences.py --splits movie/
    python bench/text_classification.py --retune target/release/retune \\
        --python peers/bin/python --model FOLDER --data movie/ --out page.md

PYTHON is the environment of bench/peers/README.md; this program needs the standard library
only. Parts may be run one by one (--parts): what each found is kept in --work, and the page is
written from all of it. Time is compared only where the programs run in turn; with --together
they run at the same time, which is quicker and enough for accuracy.
"""

import argparse
import csv
import hashlib
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEER = HERE / "peers" / "text_classification.py"
SAMPLE = HERE.parent / "data" / "movie-sentences.csv"
CURVE_STEPS = 200


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--retune", required=True, type=Path, help="the program")
    parser.add_argument("--python", required=True, type=Path, help="Python that has the peer's packages")
    parser.add_argument("--model", required=True, type=Path, help="folder of the checkpoint")
    parser.add_argument("--data", required=True, type=Path, help="folder of train, valid and test.csv")
    parser.add_argument("--out", required=True, type=Path, help="Markdown page to write")
    parser.add_argument("--work", type=Path, default=Path("runs/bench-text"), help="scratch folder")
    parser.add_argument("--parts", nargs="+", default=["curve", "sample", "full"], choices=PARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--order", default="shuffled", choices=["shuffled", "bucketed"],
                        help="of retune's rows; the peer shuffles")  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, help="of each program")
    parser.add_argument("--together", action="store_true", help="run both programs at the same time")
    return parser.parse_args()


def execute(command: list, log: Path, threads: int) -> dict:
    """Run a program to its end, output into `log`; seconds and peak memory in bytes."""
    limits = ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    env = os.environ | dict.fromkeys(limits, str(threads)) | {"TOKENIZERS_PARALLELISM": "false"}
    start = time.perf_counter()
    with log.open("w") as out, log.with_suffix(".err").open("w") as err:
        process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=err, env=env)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        line, notes = shlex.join(map(str, command)), log.with_suffix(".err")
        raise SystemExit(f"exit code {process.returncode} of {line}: see {notes}")
    # Linux counts in kibibytes, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return {"seconds": time.perf_counter() - start, "peak_rss": usage.ru_maxrss * unit}


def pair(first, second, together: bool) -> list[dict]:
    """Both results, at the same time or in turn; a failure of either ends the program."""
    results: list = [None, None]

    def keep(place: int, job) -> None:
        results[place] = job()

    threads = [threading.Thread(target=keep, args=item) for item in enumerate((first, second))]
    for thread in threads:
        thread.start()
        if not together:
            thread.join()
    for thread in threads:
        thread.join()
    if None in results:
        sys.exit("one of the two programs failed, see above")
    return results


def column(path: Path, name: str) -> list[str]:
    """The values of one column of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def shared(args: argparse.Namespace) -> list:
    """Options that have the same name in both programs."""
    return ["--lr", args.lr, "--batch-size", args.batch_size, "--warmup-share", 0.1,
            "--weight-decay", 0.01, "--max-length", 256, "--threads", args.threads]  # fmt: skip


def tune(args: argparse.Namespace, model: Path, data: Path, name: str, extra: list) -> dict:
    """One run of retune, with its answers to the test rows in `answers`."""
    bundle, answers = args.work / f"{name}-retune", args.work / f"{name}-retune.csv"
    shutil.rmtree(bundle, ignore_errors=True)
    command = [args.retune, "train", data / "train.csv", "--valid", data / "valid.csv",
               "--test", data / "test.csv", "--text", "text", "--label", "label", "--clip-norm", 1,
               "--schedule", "linear", "--model", model, "--out", bundle]  # fmt: skip
    run = execute(command + shared(args) + extra, args.work / f"{name}-retune.log", args.threads)
    predict = [args.retune, "predict", bundle, "--data", data / "test.csv", "--out", answers]
    execute(predict, args.work / f"{name}-retune-predict.log", args.threads)
    events = [json.loads(line) for line in (bundle / "events.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    measured = json.loads((bundle / "metrics.json").read_text())
    floors = {k: v["accuracy"]["value"] for k, v in measured["baselines"].items()}
    return run | {
        "accuracy": measured["metrics"]["accuracy"]["value"],
        "floors": floors,
        "answers": column(answers, "predicted"),
        "losses": [step["loss"] for step in steps],
        "step_ms": [step["ms"] for step in steps],
    }


def peer(args: argparse.Namespace, model: Path, data: Path, name: str, extra: list) -> dict:
    """One run of the Trainer, in the shape of `tune`."""
    stem = args.work / f"{name}-peer"
    answers, losses = stem.with_suffix(".answers.json"), stem.with_suffix(".losses.json")
    command = [args.python, PEER, "--model", model, "--predictions", answers, "--loss-log", losses]
    for part in ("train", "valid", "test"):
        command += [f"--{part}", data / f"{part}.csv"]
    run = execute(command + shared(args) + extra, stem.with_suffix(".log"), args.threads)
    result = json.loads(stem.with_suffix(".log").read_text().splitlines()[-1])
    return run | {
        "accuracy": result["test_accuracy"],
        "answers": json.loads(answers.read_text()),
        "losses": json.loads(losses.read_text()),
        "step_seconds": result["step_seconds"],
        "median_step_ms": result["median_step_ms"],
        "versions": result["versions"],
    }


def write(path: Path, rows: list[dict]) -> None:
    """A CSV file with the columns text and label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def curve(args: argparse.Namespace) -> dict:
    """Loss of each step from equal weights; the rows are the first ones of the files."""
    folder = args.work / "curve-data"
    for part, limit in (("train", CURVE_STEPS * args.batch_size), ("valid", 200), ("test", 200)):
        with (args.data / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            write(folder / f"{part}.csv", list(csv.DictReader(file))[:limit])
    same = ["--order", "file", "--dropout", 0, "--max-steps", CURVE_STEPS, "--epochs", 1, "--seed", 1]
    start = args.work / "start"
    theirs = peer(args, args.model, folder, "curve", [*same, "--save-start", start])
    found = {"peer": theirs["losses"], "versions": theirs["versions"]}
    for precision in ("f32", "bf16"):
        ours = tune(args, start, folder, f"curve-{precision}", [*same, "--precision", precision])
        gaps = [abs(a - b) for a, b in zip(ours["losses"], theirs["losses"], strict=True)]
        found[precision] = {"gaps": gaps, "retune": ours["losses"]}
    return found


def compare(args: argparse.Namespace, name: str, data: Path) -> dict:
    """Both programs on every seed."""
    truth, runs = column(data / "test.csv", "label"), []
    for seed in args.seeds:
        extra, stem = ["--epochs", args.epochs, "--seed", seed], f"{name}-{seed}"
        ours, theirs = pair(
            lambda: tune(args, args.model, data, stem, [*extra, "--order", args.order]),
            lambda: peer(args, args.model, data, stem, [*extra, "--order", "shuffled"]),
            args.together,
        )
        ours |= {"step_seconds": sum(ours["step_ms"]) / 1000,
                 "median_step_ms": statistics.median(ours["step_ms"])}  # fmt: skip
        for side in (ours, theirs):
            side["right"] = [int(a == b) for a, b in zip(side.pop("answers"), truth, strict=True)]
            found = statistics.mean(side["right"])
            if abs(found - side["accuracy"]) > 1e-6:
                sys.exit(f"answers give accuracy {found}, the program says {side['accuracy']}")
        runs.append({"seed": seed, "retune": ours, "peer": theirs})
    names = ("epochs", "order", "threads", "together")
    settings = {key: getattr(args, key) for key in names}
    return {"runs": runs, "versions": theirs["versions"], **settings}


def sample(args: argparse.Namespace) -> dict:
    """The quickstart's file, cut 70/10/20 within each class in the order of a hash of the text."""
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda r: hashlib.sha256(r["text"].encode()).digest())
    parts: dict[str, list] = {"train": [], "valid": [], "test": []}
    for label in sorted({row["label"] for row in rows}):
        members = [row for row in rows if row["label"] == label]
        cuts = [0, len(members) * 7 // 10, len(members) * 8 // 10, len(members)]
        for part, start, end in zip(parts, cuts, cuts[1:]):
            parts[part] += members[start:end]
    folder = args.work / "sample-data"
    for part, members in parts.items():
        # Classes must not follow one another.
        write(folder / f"{part}.csv", sorted(members, key=rows.index))
    return compare(args, "sample", folder)


def full(args: argparse.Namespace) -> dict:
    """All movie sentences."""
    return compare(args, "full", args.data)


PARTS = {"curve": curve, "sample": sample, "full": full}


def main() -> None:
    """Run the parts, keep what they found, write the page."""
    from text_classification_page import page  # beside this file

    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    kept = args.work / "found.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    for name in args.parts:
        print(f"part {name}", file=sys.stderr)
        # Orders are kept apart: a later run with another one must not replace what was found.
        key = name if name == "curve" else f"{name}-{args.order}"
        found[key] = PARTS[name](args)
        kept.write_text(json.dumps(found))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(page(found, args))


if __name__ == "__main__":
    main()
