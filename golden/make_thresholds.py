"""Writes thresholds.json: the decision thresholds that follow from scikit-learn's precision_recall_curve and
confusion_matrix for each goal, against which retune-eval is tested.

    pip install numpy==2.4.6 scikit-learn==1.9.1
    python golden/make_thresholds.py

A row is positive when its score is at least the threshold; of equally good thresholds the highest is taken. Scores are
float32, as the program's are, and some are equal.
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_curve

OUT = pathlib.Path(__file__).with_name("thresholds.json")


def highest(thresholds, good):
    """The best threshold by `good`, the highest on ties."""
    best = max(range(len(thresholds)), key=lambda i: (good[i], thresholds[i]))
    return float(thresholds[best])


def by_goal(y, scores):
    precision, recall, thresholds = precision_recall_curve(y, scores)
    precision, recall = precision[:-1], recall[:-1]
    f1 = [f1_score(y, scores >= t) for t in thresholds]
    yield "f1", highest(thresholds, f1)
    for p in (0.6, 0.75, 0.9):
        if (precision >= p).any():
            yield f"precision={p}", highest(thresholds, np.where(precision >= p, recall + 1e-6 * precision, -1))
    for r in (0.5, 0.8, 0.95):
        yield f"recall={r}", highest(thresholds, np.where(recall >= r, precision + 1e-6 * recall, -1))
    for alarm, miss in ((1, 10), (5, 1), (1, 1)):
        costs = []
        for t in thresholds:
            _, false_alarms, misses, _ = confusion_matrix(y, scores >= t, labels=[0, 1]).ravel()
            costs.append(-(alarm * false_alarms + miss * misses) / len(y))
        found = highest(thresholds, costs)
        # Calling nothing positive is no threshold of the curve; it is never cheapest here.
        assert max(costs) > -miss * np.mean(y)
        yield f"cost={alarm}:{miss}", found


def figures(y, answers):
    hits, called, positives = int((answers & y).sum()), int(answers.sum()), int(y.sum())
    return {"precision": hits / called, "recall": hits / positives, "f1": float(f1_score(y, answers))}


def cases(r):
    for rows, share, noise in [(400, 0.3, 0.25), (150, 0.5, 0.4), (500, 0.1, 0.2)]:
        y = r.random(rows) < share
        scores = np.clip(0.35 + 0.3 * y + r.normal(0, noise, rows), 0, 1).astype(np.float32)
        scores = np.where(r.random(rows) < 0.5, np.round(scores, 2), scores).astype(np.float32)
        goals = []
        for goal, value in by_goal(y, scores):
            answers = scores >= np.float32(value)
            goals.append({"goal": goal, "value": value, **figures(y, answers)})
        yield {"scores": [float(s) for s in scores], "truth": y.tolist(), "goals": goals}


def cheapest(r):
    """Answers of least expected cost for four classes."""
    p = r.dirichlet([0.6] * 4, 200).astype(np.float32)
    costs = r.integers(1, 20, size=(4, 4)).astype(float)
    np.fill_diagonal(costs, 0)
    expected = p.astype(np.float64) @ costs  # [rows, answers]
    return {"scores": [float(v) for v in p.ravel()], "costs": costs.tolist(), "answers": expected.argmin(1).tolist(),
            "changed": int((expected.argmin(1) != p.argmax(1)).sum())}


def main():
    r = np.random.default_rng(23)
    written = {
        "made_by": {m.__name__: m.__version__ for m in (np, sklearn)},
        "thresholds": list(cases(r)),
        "costs": cheapest(r),
    }
    rows = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in written.items())
    OUT.write_text("{" + rows + "}\n")


if __name__ == "__main__":
    main()
