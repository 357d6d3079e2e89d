"""The figures in `main.rs`: floors on MovieLens in numpy, by their definitions, matrices dense and EASE by LAPACK.

Usage: python reference.py FILE.inter    (the file of the package named in `package.rs`; needs numpy, 2 GB for ML-1M)

Leave-one-out: users with five events or more, the last event asked for, all before it counted. Events are sorted by
time; equal times keep the order of the file, or go by the number of the item (`item`) to show what that changes.
The rank of a target is the number of items above it and half of those that score the same.
"""

import sys

import numpy as np

WEEK = 7 * 24 * 60 * 60


def sequences(rows, ties):
    """(time, item) of each user, oldest first; items are numbered as they first appear."""
    codes, users = {}, {}
    for row in rows:
        codes.setdefault(row[1], len(codes))
    for line, (user, item, _, time) in enumerate(rows):
        tie = line if ties == "file" else codes[item]
        users.setdefault(user, []).append((float(time), tie, codes[item]))
    ordered = [[(time, item) for time, _, item in sorted(events)] for events in users.values()]
    return [events for events in ordered if len(events) >= 5], len(codes)


def window_knn(train, items, takers):
    w = np.zeros((items, items), np.float32)
    for s in train:
        for d in range(1, min(11, len(s))):
            np.add.at(w, (s[:-d], s[d:]), 1.0 / d)
    root = np.sqrt(np.maximum(takers, 1))
    w /= root[None, :]
    w /= root[:, None]
    scores = np.zeros((len(train), items), np.float32)
    for user, s in enumerate(train):
        for k, item in enumerate(s[::-1][:20]):
            scores[user] += w[item] * 0.8**k
    return scores


def markov(train, items, takers):
    w = np.zeros((items, items), np.float32)
    for s in train:
        np.add.at(w, (s[:-1], s[1:]), 1)
    return w[[s[-1] for s in train]] + 1e-6 * takers


def last_week(users, items, takers):
    events = sorted(event for events in users for event in events[:-1])
    times, codes = np.array([e[0] for e in events]), np.array([e[1] for e in events])
    scores = np.zeros((len(users), items), np.float32)
    for user, events in enumerate(users):
        asked = events[-1][0]
        low, high = np.searchsorted(times, [asked - WEEK, asked])
        scores[user] = np.bincount(codes[low:high], minlength=items) + 1e-6 * takers
    return scores


def ease(x):
    g = (x.T @ x).astype(np.float64)
    g[np.diag_indices(len(g))] += 500
    p = np.linalg.inv(g)
    b = (p / -np.diag(p)).astype(np.float32)
    np.fill_diagonal(b, 0)
    return x @ b


def show(name, scores, target):
    own = scores[np.arange(len(target)), target][:, None]
    rank = (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2
    found = rank < 10
    ndcg = np.where(found, 1 / np.log2(rank + 2), 0).mean()
    print(f"{name}: HR@10 {found.mean():.4f}, NDCG@10 {ndcg:.4f}", flush=True)


def main():
    with open(sys.argv[1]) as file:
        rows = [line.rstrip("\n").split("\t") for line in file][1:]
    targets = {}
    for ties in ["file", "item"]:
        users, items = sequences(rows, ties)
        train = [np.array([item for _, item in events[:-1]]) for events in users]
        target = targets[ties] = np.array([events[-1][1] for events in users])
        x = np.zeros((len(train), items), np.float32)
        for user, s in enumerate(train):
            x[user, s] = 1
        takers = x.sum(0)
        floors = {"item_knn": window_knn(train, items, takers)}
        if ties == "file":
            floors["popularity"] = np.tile(takers, (len(train), 1))
            floors["popularity_7_days"] = last_week(users, items, takers)
            floors["markov"] = markov(train, items, takers)
            floors["ease"] = ease(x)
        for name, scores in floors.items():
            show(f"ties by {ties}, seen filtered, {name}", np.where(x > 0, -1e9, scores), target)
            show(f"ties by {ties}, seen kept, {name}", scores, target)
    print(f"targets that change with the order of ties: {(targets['file'] != targets['item']).mean():.3f}")


if __name__ == "__main__":
    main()
