"""Can the verdict be fooled, and is it blind? Real runs of `retune train` on movie sentences.

    python bench/proof.py --retune target/release/retune --movie movie/ --work work/

- shuffled: the labels of the training and validation rows are shuffled, so that there is nothing to learn; 20 seeds,
  each run's verdict (`--verdict fast`). At most one may be `improved`.
- same: the same recipe with other seeds, on the same rows, in 40 pairs, each compared by `retune compare`. At most four
  pairs may be told apart.

movie/ holds train.csv, valid.csv and test.csv with the columns text and label (data/make_movie_sentences.py).
"""

import argparse
import csv
import json
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retune", type=Path, required=True, help="the program")
    parser.add_argument("--movie", type=Path, required=True, help="folder of the sentences")
    parser.add_argument("--work", type=Path, required=True, help="folder for files and runs; runs that are there stay")
    parser.add_argument("--model", default="all-minilm-l6-v2")
    parser.add_argument("--rows", type=int, default=600, help="training rows")
    parser.add_argument("--shuffled", type=int, default=20, help="runs with shuffled labels")
    parser.add_argument("--pairs", type=int, default=40, help="pairs of equal recipes")
    parser.add_argument("--threads", type=int, default=2, help="of one run")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    return parser.parse_args()


def rows(path: Path, most: int) -> list[dict]:
    """The first rows of a file."""
    with path.open(newline="") as file:
        return [row for row, _ in zip(csv.DictReader(file), range(most))]


def write(path: Path, table: list[dict]) -> Path:
    """The text and label of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, ["text", "label"], extrasaction="ignore")
        out.writeheader()
        out.writerows(table)
    return path


def shuffled(table: list[dict], chance: random.Random) -> list[dict]:
    """The same texts with each other's labels."""
    labels = [row["label"] for row in table]
    chance.shuffle(labels)
    return [row | {"label": label} for row, label in zip(table, labels)]


def train(args: argparse.Namespace, files: list[Path], out: Path, *more: object) -> dict:
    """The figures of a run, which is made unless it is there."""
    if not (out / "metrics.json").is_file():
        shutil.rmtree(out, ignore_errors=True)
        command = [args.retune, "train", files[0], "--valid", files[1], "--test", files[2], "--text", "text", "--label",
                   "label", "--model", args.model, "--epochs", 1, "--threads", args.threads, "--out", out, "--json",
                   *more]  # fmt: skip
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode not in (0, 1):
            raise SystemExit(done.stderr)
    return json.loads((out / "metrics.json").read_text())


def fooled(args: argparse.Namespace, parts: list[list[dict]], seed: int) -> str:
    """The verdict of a run on shuffled labels."""
    chance = random.Random(seed)
    here = args.work / f"shuffled-{seed}"
    tables = [shuffled(parts[0], chance), shuffled(parts[1], chance), parts[2]]
    files = [write(here / f"{name}.csv", table) for name, table in zip(("train", "valid", "test"), tables)]
    verdict = train(args, files, here / "run", "--seed", seed)["verdict"]
    floors = {name: floor["word"] for name, floor in verdict["floors"].items()}
    print(f"shuffled {seed}: {verdict['word']} {floors}", file=sys.stderr, flush=True)
    return verdict["word"]


def told_apart(args: argparse.Namespace, files: list[Path], pair: int) -> tuple[bool, list[float]]:
    """Whether two runs of one recipe are told apart, and their accuracies."""
    runs = [args.work / f"same-{2 * pair + side}" for side in (0, 1)]
    accuracies = []
    for side, out in enumerate(runs):
        found = train(args, files, out, "--seed", 2 * pair + side, "--verdict", "off")
        accuracies.append(found["metrics"]["accuracy"]["value"])
    done = subprocess.run([args.retune, "compare", *runs, "--json"], capture_output=True, text=True, check=True)
    comparison = json.loads(done.stdout)["comparisons"][0]["verdict"]
    print(f"pair {pair}: {comparison['word']} {comparison['difference']:+.4f}", file=sys.stderr, flush=True)
    return comparison["word"] != "no evidence", accuracies


def main() -> None:
    """Shuffled labels, then equal recipes."""
    args = arguments()
    parts = [rows(args.movie / "train.csv", args.rows), rows(args.movie / "valid.csv", 200), rows(args.movie / "test.csv", 10**6)]
    files = [write(args.work / f"{name}.csv", table) for name, table in zip(("train", "valid", "test"), parts)]
    with ThreadPoolExecutor(args.jobs) as pool:
        words = list(pool.map(lambda seed: fooled(args, parts, seed), range(args.shuffled)))
        pairs = list(pool.map(lambda pair: told_apart(args, files, pair), range(args.pairs)))
    accuracies = [accuracy for _, both in pairs for accuracy in both]
    mean = sum(accuracies) / max(len(accuracies), 1)
    spread = (sum((a - mean) ** 2 for a in accuracies) / max(len(accuracies) - 1, 1)) ** 0.5
    print(json.dumps({
        "shuffled": {"runs": len(words), "improved": words.count("improved"), "no evidence": words.count("no evidence"),
                     "worse": words.count("worse")},
        "same": {"pairs": len(pairs), "told apart": sum(apart for apart, _ in pairs), "accuracy": mean,
                 "deviation over seeds": spread},
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
