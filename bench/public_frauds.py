"""Public tables of frauds, which may not be passed on: run this where you have their files.

python bench/public_frauds.py ulb  creditcard.csv OUT            # Dal Pozzolo et al. 2015, ULB: two days of card payments
python bench/public_frauds.py ieee FOLDER OUT                    # IEEE-CIS 2019: train_transaction.csv, train_identity.csv
python bench/public_frauds.py baf  Base.csv OUT                  # Jesus et al. 2022, Feedzai: applications for accounts

Writes OUT/NAME.csv, trains on it with `retune` (from PATH, or $RETUNE) and leaves OUT/NAME, whose report.html has the figures.
Words after OUT go to `retune train`, as in `--model tabular`.

Division in time, as those who published the tables advise: the last fifth of ulb and ieee, months 6 and 7 of baf. Labels of ulb
and baf come without a delay; those of ieee are taken to be known after 7 days. A card of ieee is what its winners took for one:
card1, addr1 and the day on which D1 began.
"""

import csv
import os
import subprocess
import sys

# Rows and frauds of the published files.
PUBLISHED = {"ulb": (284_807, 492), "ieee": (590_540, 20_663), "baf": (1_000_000, 11_029)}
LABELS = {"ulb": "Class", "ieee": "isFraud", "baf": "fraud_bool"}
HOW = {
    "ulb": ["--time", "Time", "--amount", "Amount", "--delay", "0d"],
    "ieee": ["--time", "TransactionDT", "--amount", "TransactionAmt", "--entity", "card", "--delay", "7d"]
    + ["--ignore", "TransactionID"],
    "baf": ["--time", "month", "--delay", "0d", "--test-from", "2000-07-01"],
}


def ulb(source):
    with open(source, newline="") as file:
        yield from csv.DictReader(file)


def ieee(folder):
    with open(f"{folder}/train_identity.csv", newline="") as file:
        read = csv.DictReader(file)
        identity = {row.pop("TransactionID"): row for row in read}
        unknown = dict.fromkeys(read.fieldnames[1:], "")
    with open(f"{folder}/train_transaction.csv", newline="") as file:
        for row in csv.DictReader(file):
            day = int(row["TransactionDT"]) // 86_400
            began = day - int(float(row["D1"])) if row["D1"] else ""
            yield row | identity.get(row["TransactionID"], unknown) | {"card": f"{row['card1']}_{row['addr1']}_{began}"}


def baf(source):
    with open(source, newline="") as file:
        for row in csv.DictReader(file):  # months 0 to 7
            yield row | {"month": f"2000-{int(row['month']) + 1:02}-01"}


def main():
    name, source, out, *more = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    path, label = f"{out}/{name}.csv", LABELS[name]
    rows, frauds, write = 0, 0, None
    with open(path, "w", newline="") as file:
        for row in {"ulb": ulb, "ieee": ieee, "baf": baf}[name](source):
            if write is None:
                write = csv.DictWriter(file, row)
                write.writeheader()
            write.writerow(row)
            rows, frauds = rows + 1, frauds + (row[label].strip('"') == "1")
    print(f"{rows} rows, {frauds} frauds")
    if (rows, frauds) != PUBLISHED[name]:
        print(f"the published file has {PUBLISHED[name]}: figures of this one are not comparable", file=sys.stderr)
    retune = os.environ.get("RETUNE", "retune")
    command = [retune, "train", path, "--task", "fraud", "--label", label, *HOW[name], *more, "--out", f"{out}/{name}"]
    sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main()
