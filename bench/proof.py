"""Can the verdict be fooled, and is it blind? Real runs of `retune train` on movie sentences.

    python bench/proof.py --retune target/release/retune --movie movie/ --work work/

- shuffled: the labels of the training and validation rows are shuffled, so that there is nothing to learn; 20 seeds,
  each run's verdict (`--verdict fast`). At most one may be `improved`.
- same: one recipe (the defaults, 1,400 rows) with other seeds, on the same rows. Of these models 40 pairs are drawn, and
  40 pairs of three models each, and compared by `retune compare`, which must tell few of them apart: at most four.

movie/ holds train.csv, valid.csv and test.csv with the columns text and label (data/make_movie_sentences.py).
"""

import argparse
import csv
import json
import random
import shutil
import statistics
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
    parser.add_argument("--rows", type=int, default=600, help="training rows with shuffled labels")
    parser.add_argument("--same-rows", type=int, default=1400, help="training rows of the equal recipes")
    parser.add_argument("--models", type=int, default=24, help="models of equal recipes")
    parser.add_argument("--shuffled", type=int, default=20, help="runs with shuffled labels")
    parser.add_argument("--pairs", type=int, default=40, help="pairs drawn of them, for one model a side and for three")
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
                   "label", "--model", args.model, "--threads", args.threads, "--out", out, "--json",
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
    verdict = train(args, files, here / "run", "--seed", seed, "--epochs", 1)["verdict"]
    floors = {name: floor["word"] for name, floor in verdict["floors"].items()}
    print(f"shuffled {seed}: {verdict['word']} {floors}", file=sys.stderr, flush=True)
    return verdict["word"]


def told_apart(args: argparse.Namespace, runs: list[Path]) -> bool:
    """Whether the first half of the runs is told from the second half."""
    half = len(runs) // 2
    command = [args.retune, "compare", *runs[:half], "--against", *runs[half:], "--json"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)["comparisons"][0]["verdict"]
    print(f"{half} a side: {found['word']} {found['difference']:+.4f}", file=sys.stderr, flush=True)
    return found["word"] != "no evidence"


def pairs(args: argparse.Namespace, runs: list[Path], side: int) -> list[list[Path]]:
    """Sides of so many models, no pair of sides twice."""
    chance = random.Random(side)
    drawn = {}
    while len(drawn) < args.pairs:
        both = chance.sample(range(len(runs)), 2 * side)
        sides = sorted([sorted(both[:side]), sorted(both[side:])])
        drawn[str(sides)] = [runs[at] for at in both]
    return list(drawn.values())


def main() -> None:
    """Shuffled labels, then equal recipes."""
    args = arguments()
    valid, test = rows(args.movie / "valid.csv", 200), rows(args.movie / "test.csv", 10**6)
    small, large = (rows(args.movie / "train.csv", n) for n in (args.rows, args.same_rows))
    files = [write(args.work / f"{name}.csv", table) for name, table in zip(("train", "valid", "test"), (large, valid, test))]
    runs = [args.work / f"same-{seed}" for seed in range(args.models if args.pairs else 0)]
    with ThreadPoolExecutor(args.jobs) as pool:
        words = list(pool.map(lambda seed: fooled(args, [small, valid, test], seed), range(args.shuffled)))
        made = lambda run: train(args, files, run, "--seed", run.name.split("-")[1], "--verdict", "off")  # noqa: E731
        accuracies = [found["metrics"]["accuracy"]["value"] for found in pool.map(made, runs)]
        apart = {side: list(pool.map(lambda both: told_apart(args, both), pairs(args, runs, side))) for side in (1, 3)}
    print(json.dumps({
        "shuffled": {"runs": len(words), **{word: words.count(word) for word in ("improved", "no evidence", "worse")}},
        "same": {"models": len(runs), "pairs": args.pairs,
                 "told apart": {f"{side} a side": sum(found) for side, found in apart.items()},
                 "accuracy": statistics.mean(accuracies or [0]), "deviation over seeds": statistics.pstdev(accuracies or [0])},
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
