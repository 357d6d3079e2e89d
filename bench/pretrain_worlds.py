"""Joins random worlds of made-up payments into the events that `retune-txn-base` learned from.

Usage: for seed in $(seq 101 116); do retune simulate transactions --world random --seed $seed --out world-$seed.csv; done
       python bench/pretrain_worlds.py world-*.csv prior.parquet
       retune pretrain prior.parquet --epochs 6 --out base

Cards and terminals of different worlds get different names. Amounts are scaled to one median, since a model of events compares
amounts with all of a file. Labels of frauds and their kinds are left out. Needs pandas and pyarrow.
"""

import re
import sys

import pandas

MEDIAN = 40


def world(path):
    """The events of one world, named by its number."""
    events = pandas.read_csv(path)
    number = re.search(r"(\d+)\.csv$", path).group(1)
    for column in ("transaction_id", "customer_id", "terminal_id"):
        events[column] = number + "-" + events[column].astype(str)
    events["amount"] = (events["amount"] / events["amount"].median() * MEDIAN).round(2)
    return events.drop(columns=["is_fraud", "pattern", "label_time"])


if __name__ == "__main__":
    *worlds, out = sys.argv[1:]
    joined = pandas.concat([world(path) for path in sorted(worlds)])
    joined.to_parquet(out)
    print(f"{len(joined)} events of {len(worlds)} worlds in {out}")
