#!/usr/bin/env python3
"""Write retrieval.json: figures of vectors by what lies near them, with scikit-learn's neighbours.

By case: `vectors` and `gallery`, rows of `width` values, the group of each row, and what is `expected` of the figures that
some row has.

    pip install -r bench/peers/requirements.txt
    python golden/make_retrieval.py
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.neighbors import NearestNeighbors


def neighbours(queries, rows, k):
    """The k nearest rows of each query by cosine, nearest first."""
    found = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(rows)
    return found.kneighbors(queries, return_distance=False)


def among_themselves(vectors, groups):
    """map@r and recall@1, 5, 10 of each row that another row can match."""
    order = neighbours(vectors, vectors, len(vectors))
    figures = {"map@r": [], "recall@1": [], "recall@5": [], "recall@10": []}
    for row, near in enumerate(order):
        near = [other for other in near if other != row]
        hits = np.array([groups[other] == groups[row] for other in near])
        wanted = int(hits.sum())
        if wanted == 0:
            continue
        top = hits[:wanted]
        precision = np.cumsum(top) / np.arange(1, wanted + 1)
        figures["map@r"].append(float((precision * top).sum() / wanted))
        for k in (1, 5, 10):
            figures[f"recall@{k}"].append(float(hits[:k].any()))
    return {name: float(np.mean(values)) for name, values in figures.items() if values}


def in_gallery(vectors, groups, gallery, of):
    """knn@1 and 5 of the rows whose group the gallery has; equal votes go to the nearest."""
    found = {}
    for k in (1, 5):
        right = []
        for row, near in enumerate(neighbours(vectors, gallery, k)):
            if groups[row] not in of:
                continue
            votes = Counter(int(of[other]) for other in near)
            most = max(votes.values())
            answer = next(int(of[other]) for other in near if votes[int(of[other])] == most)
            right.append(float(answer == groups[row]))
        if right:
            found[f"knn@{k}"] = float(np.mean(right))
    return found


def case(name, seed, rows, shelf, groups, unseen=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups + unseen, 19))

    def draw(n, among):
        of = rng.choice(among, size=n)
        return (centres[of] + 1.6 * rng.normal(size=(n, 19))).astype(np.float32), of

    known = np.arange(groups)
    vectors, own = draw(rows, np.arange(groups, groups + unseen) if unseen == groups else np.arange(groups + unseen))
    gallery, of = draw(shelf, known)
    expected = among_themselves(vectors, own) | in_gallery(vectors, own, gallery, of)
    return {
        "name": name,
        "width": 19,
        "vectors": [round(float(v), 6) for v in vectors.ravel()],
        "groups": own.tolist(),
        "gallery": [round(float(v), 6) for v in gallery.ravel()],
        "gallery_groups": of.tolist(),
        "expected": expected,
    }


def main():
    cases = [
        case("closed", 1, 60, 80, 4),
        case("some groups unseen", 2, 50, 40, 3, unseen=2),
        case("open", 3, 40, 40, 3, unseen=3),
        case("groups of one", 4, 12, 30, 30),
    ]
    path = Path(__file__).parent / "retrieval.json"
    path.write_text(json.dumps({"cases": cases}) + "\n")


main()
