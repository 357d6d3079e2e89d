#!/usr/bin/env python3
"""Files of token sequences for the benchmarks of steps: one per line, ids separated by blanks.

    python bench/peers/sequences.py --model FOLDER --csv movie/train.csv movie/valid.csv --out FILE
    python bench/peers/sequences.py --log-normal 4096 --out FILE

Texts are tokenised with the checkpoint's tokenizer, cut at 256 tokens and shuffled with a fixed
seed. Log-normal lengths have mean 38 and lie between 4 and 128; their ids are random. Stdout
gets one line of JSON: rows, tokens, the lengths' mean, median and largest, and the share of
useful tokens when batches of 16 are padded to their longest.
"""

import argparse
import csv
import json
import random
import statistics
from pathlib import Path

ROWS = 16
# Of the logarithms of the lengths: median 32 tokens.
MU, SIGMA = 3.46, 0.61
SHORTEST, LONGEST = 4, 128
VOCABULARY = range(1000, 30000)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--csv", nargs="+", type=Path, help="files with a column of texts")
    source.add_argument("--log-normal", type=int, metavar="ROWS", help="random sequences")
    parser.add_argument("--model", type=Path, help="folder of the checkpoint, for --csv")
    parser.add_argument("--text", default="text", help="column")
    parser.add_argument("--max-length", type=int, default=256, help="tokens")
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()
    if args.csv and not args.model:
        parser.error("--csv needs --model FOLDER, whose tokenizer is used")
    return args


def tokenised(args: argparse.Namespace) -> list[list[int]]:
    """The texts of the CSV files as ids, special tokens included."""
    import transformers as tf

    texts: list[str] = []
    for path in args.csv:
        with path.open(encoding="utf-8-sig", newline="") as file:
            texts += [row[args.text] for row in csv.DictReader(file)]
    tokenizer = tf.AutoTokenizer.from_pretrained(args.model)
    return tokenizer(texts, truncation=True, max_length=args.max_length)["input_ids"]


def log_normal(rows: int, source: random.Random) -> list[list[int]]:
    """Random ids, lengths from a log-normal distribution."""
    lengths = [round(source.lognormvariate(MU, SIGMA)) for _ in range(rows)]
    return [source.choices(VOCABULARY, k=min(max(length, SHORTEST), LONGEST)) for length in lengths]


def main() -> None:
    """Write the file, print what is in it."""
    args = arguments()
    source = random.Random(args.seed)
    rows = log_normal(args.log_normal, source) if args.log_normal else tokenised(args)
    source.shuffle(rows)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))
    lengths = [len(row) for row in rows]
    longest = [max(lengths[i : i + ROWS]) for i in range(0, len(rows) - ROWS + 1, ROWS)]
    facts = {
        "rows": len(rows),
        "tokens": sum(lengths),
        "mean": round(statistics.fmean(lengths), 1),
        "median": statistics.median(lengths),
        "largest": max(lengths),
        "useful_share": round(sum(lengths[: len(longest) * ROWS]) / (ROWS * sum(longest)), 3),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
