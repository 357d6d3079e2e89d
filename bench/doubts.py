"""Does `retune inspect --deep` find wrong labels? Errors planted in real data, counted among the most doubtful rows.

    python bench/doubts.py --retune target/release/retune --work work/ spam.csv movie-full.csv clothing.csv

Of every file (columns text and label) some rows are drawn; 5 % of them, drawn by a seed, get another label. Of the
5 % most doubtful rows, the share that was planted is the precision: 0.05 by chance. Labels that were wrong before count
against it.
"""

import argparse
import csv
import json
import random
import subprocess
from pathlib import Path

SHARE = 0.05


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retune", type=Path, required=True, help="the program")
    parser.add_argument("--work", type=Path, required=True, help="folder for files")
    parser.add_argument("--model", default="all-minilm-l6-v2")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("files", type=Path, nargs="+")
    return parser.parse_args()


def planted(source: Path, rows: int, seed: int, out: Path) -> set[int]:
    """Writes rows with wrong labels among them to `out`; returns the lines of the file that have them."""
    table = list(csv.DictReader(source.open(newline="")))
    chance = random.Random(seed)
    chance.shuffle(table)
    table = table[:rows]
    labels = sorted({row["label"] for row in table})
    wrong = set(chance.sample(range(len(table)), round(SHARE * len(table))))
    for at in wrong:
        table[at]["label"] = chance.choice([label for label in labels if label != table[at]["label"]])
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"], extrasaction="ignore")
        writer.writeheader()
        # One line a row, so that lines name rows.
        writer.writerows(row | {"text": " ".join(row["text"].split())} for row in table)
    return {at + 2 for at in wrong}


def precision(args: argparse.Namespace, source: Path, seed: int) -> float:
    """The share of planted rows among the most doubtful ones."""
    args.work.mkdir(parents=True, exist_ok=True)
    file = args.work / f"{source.stem}-{seed}.csv"
    wrong = planted(source, args.rows, seed, file)
    command = [args.retune, "inspect", file, "--deep", "--text", "text", "--label", "label", "--model", args.model, "--json"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    doubts = json.loads(done.stdout)["doubts"][: len(wrong)]
    lines = [int(doubt["place"].rsplit(" ", 1)[1]) for doubt in doubts]
    return sum(line in wrong for line in lines) / len(wrong)


def main() -> None:
    """One line a file."""
    args = arguments()
    print("| data | rows | precision in the most doubtful 5 %, by seed |")
    print("|---|---|---|")
    for source in args.files:
        found = [precision(args, source, seed) for seed in range(args.seeds)]
        print(f"| {source.stem} | {args.rows} | {', '.join(f'{value:.2f}' for value in found)} |", flush=True)


if __name__ == "__main__":
    main()
