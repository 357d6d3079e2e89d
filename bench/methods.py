"""Is any method worse than `head` by more than a point? Real runs of `retune train` on movie sentences.

    python bench/methods.py --retune target/release/retune --movie movie/ --work work/

Every method trains with its own defaults, several seeds each, on the same rows, and answers the same test rows: the
test file's and, to make the intervals narrow, training rows that no run trains on. The interval of a difference
resamples seeds and test rows. Needs numpy and pyarrow.

movie/ holds train.csv, valid.csv and test.csv with the columns text and label (data/make_movie_sentences.py).
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet

METHODS = ["head", "lora", "gradual", "last_layers", "bitfit"]
MARGIN = 0.01
DRAWS = 4000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retune", type=Path, required=True, help="the program")
    parser.add_argument("--movie", type=Path, required=True, help="folder of the sentences")
    parser.add_argument("--work", type=Path, required=True, help="folder for files and runs; runs that are there stay")
    parser.add_argument("--model", default="all-minilm-l6-v2")
    parser.add_argument("--methods", nargs="+", default=METHODS, help="head first")
    parser.add_argument("--rows", type=int, default=1600, help="training rows")
    parser.add_argument("--test-rows", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2, help="of one run")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    return parser.parse_args()


def files(args: argparse.Namespace) -> list[Path]:
    """Training, validation and test rows; the test has the rows of train.csv that are left."""
    read = {name: list(csv.DictReader((args.movie / f"{name}.csv").open(newline=""))) for name in ("train", "valid", "test")}
    tables = {
        "train": read["train"][: args.rows],
        "valid": read["valid"][:300],
        "test": (read["test"] + read["train"][args.rows :])[: args.test_rows],
    }
    args.work.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        with (args.work / f"{name}.csv").open("w", newline="") as file:
            out = csv.DictWriter(file, ["text", "label"], extrasaction="ignore")
            out.writeheader()
            out.writerows(table)
    return [args.work / f"{name}.csv" for name in tables]


def train(args: argparse.Namespace, paths: list[Path], method: str, seed: int) -> np.ndarray:
    """Whether each test row was answered right, `[rows]`, by a run that is made unless it is there."""
    out = args.work / f"{method}-{seed}"
    if not (out / "metrics.json").is_file():
        shutil.rmtree(out, ignore_errors=True)
        command = [args.retune, "train", paths[0], "--valid", paths[1], "--test", paths[2], "--text", "text", "--label",
                   "label", "--model", args.model, "--method", method, "--seed", seed, "--threads", args.threads,
                   "--verdict", "off", "--out", out, "--json"]  # fmt: skip
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
    table = parquet.read_table(out / "predictions.parquet")
    right = np.array(table["predicted"].to_pylist()) == np.array(table["truth"].to_pylist())
    found = json.loads((out / "metrics.json").read_text())["metrics"]["accuracy"]["value"]
    assert abs(right.mean() - found) < 1e-6, f"{out}: predictions and metrics differ"
    print(f"{method} {seed}: {found:.4f}", file=sys.stderr, flush=True)
    return right


def interval(mine: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Difference of two methods' accuracy, `[seeds, rows]` each, with a 95 % interval over seeds and rows."""
    chance = np.random.default_rng(0)
    seeds, rows = mine.shape
    draws = []
    for _ in range(DRAWS):
        row = chance.integers(0, rows, rows)
        left, right = (chance.integers(0, seeds, seeds) for _ in range(2))
        draws.append(mine[left][:, row].mean() - other[right][:, row].mean())
    low, high = np.percentile(draws, [2.5, 97.5])
    return mine.mean() - other.mean(), low, high


def main() -> None:
    """All runs, then one line a method."""
    args = arguments()
    paths = files(args)
    wanted = [(method, seed) for method in args.methods for seed in range(args.seeds)]
    with ThreadPoolExecutor(args.jobs) as pool:
        right = dict(zip(wanted, pool.map(lambda one: train(args, paths, *one), wanted)))
    table = {method: np.stack([right[method, seed] for seed in range(args.seeds)]) for method in args.methods}
    head = args.methods[0]
    print(f"| method | accuracy | over {head}, 95 % interval | worse by less than {MARGIN} |")
    print("|---|---|---|---|")
    for method, rows in table.items():
        if method == head:
            print(f"| {method} | {rows.mean():.4f} | | |")
            continue
        value, low, high = interval(rows, table[head])
        print(f"| {method} | {rows.mean():.4f} | {value:+.4f} ({low:+.4f} to {high:+.4f}) | {'yes' if low > -MARGIN else 'not shown'} |")


if __name__ == "__main__":
    main()
