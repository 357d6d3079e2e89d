"""Writes metrics.json: the values scikit-learn and scipy give for random cases, against which retune-eval is tested.

    pip install scikit-learn==1.9.1
    python golden/make_metrics.py

Scores are float32, as the program's are, and are handed to scikit-learn as float64, so that both compute from equal
numbers. Where scikit-learn has no answer of its own the rule is written out here: classes without rows take no part in
the averages of auroc and average_precision; unknown flags (null) are left out label by label; log loss clips at
float32's precision, as scikit-learn does with float32 input.
"""

import json
import pathlib
import warnings

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn import metrics as m

OUT = pathlib.Path(__file__).with_name("metrics.json")
CLIP = float(np.finfo(np.float32).eps)
# Rows of float32 probabilities add up to 1 only within float32 precision.
warnings.filterwarnings("ignore", message="The y_prob values do not sum to one")


def floats(a):
    return [float(v) for v in np.asarray(a).ravel()]


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def ece(y, s, bins=15):
    """Guo et al. 2017: bins (b / 15, (b + 1) / 15] of the confidence of the predicted class."""
    confidence, right = s.max(axis=1), s.argmax(axis=1) == y
    total = 0.0
    for low, high in zip(np.arange(bins) / bins, np.arange(1, bins + 1) / bins):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def averages(y, answer):
    kinds = {"macro": "f1_macro", "micro": "f1_micro", "weighted": "f1_weighted"}
    out = {name: m.f1_score(y, answer, average=kind, zero_division=0) for kind, name in kinds.items()}
    out["precision_macro"] = m.precision_score(y, answer, average="macro", zero_division=0)
    out["recall_macro"] = m.recall_score(y, answer, average="macro", zero_division=0)
    return out


def log_loss(y, s):
    ours = m.log_loss(y, np.clip(s, CLIP, 1 - CLIP), labels=range(s.shape[1]))
    theirs = m.log_loss(y, s.astype(np.float32), labels=range(s.shape[1]))
    assert abs(ours - theirs) < 1e-5, (ours, theirs)
    return ours


def one_against_rest(truth, scores):
    """Mean over the columns that have rows of both kinds (auroc) or rows at all (average precision)."""
    columns = [(truth[:, c], scores[:, c]) for c in range(scores.shape[1])]
    auroc = [m.roc_auc_score(t, s) for t, s in columns if 0 < t.sum() < len(t)]
    precision = [m.average_precision_score(t, s) for t, s in columns if t.sum() > 0]
    return float(np.mean(auroc)), float(np.mean(precision))


def classes(name, y, s):
    s = np.asarray(s, dtype=np.float32).astype(np.float64)
    k, answer = s.shape[1], s.argmax(axis=1)
    out = {"accuracy": m.accuracy_score(y, answer), **averages(y, answer), "mcc": m.matthews_corrcoef(y, answer)}
    present = np.unique(y)
    if k == 2:
        out["auroc"] = m.roc_auc_score(y, s[:, 1])
        out["average_precision"] = m.average_precision_score(y, s[:, 1])
        out["brier"] = m.brier_score_loss(y, s[:, 1])
    else:
        out["auroc"], out["average_precision"] = one_against_rest(np.eye(k)[y], s)
        if len(present) == k:
            rows = s / s.sum(axis=1, keepdims=True)
            assert abs(out["auroc"] - m.roc_auc_score(y, rows, multi_class="ovr", average="macro")) < 1e-3
            assert abs(out["average_precision"] - m.average_precision_score(y, s, average="macro")) < 1e-12
        out["brier"] = m.brier_score_loss(y, s, labels=range(k), scale_by_half=False)
    out["log_loss"], out["ece"] = log_loss(y, s), ece(y, s)
    per_class = m.precision_recall_fscore_support(y, answer, labels=range(k), zero_division=0)
    return {
        "name": name, "kind": "classes", "cols": k, "truth": [int(v) for v in y], "scores": floats(s),
        "expected": {key: float(v) for key, v in out.items()},
        "per_class": [floats(column) for column in zip(*per_class)],
        "confusion": m.confusion_matrix(y, answer, labels=range(k)).tolist(),
    }


def labels(name, y, s, known=None):
    s = np.asarray(s, dtype=np.float32).astype(np.float64)
    known = np.ones_like(y, dtype=bool) if known is None else known
    answer = (s >= 0.5).astype(int)
    each = []
    for c in range(s.shape[1]):
        k = known[:, c]
        t, p, a = y[k, c], s[k, c], answer[k, c]
        clipped = np.clip(p, CLIP, 1 - CLIP)
        each.append({
            "precision_macro": m.precision_score(t, a, zero_division=0),
            "recall_macro": m.recall_score(t, a, zero_division=0),
            "f1_macro": m.f1_score(t, a, zero_division=0),
            "auroc": m.roc_auc_score(t, p) if 0 < t.sum() < len(t) else np.nan,
            "average_precision": m.average_precision_score(t, p) if t.sum() else np.nan,
            "log_loss": m.log_loss(t, clipped, labels=[0, 1]),
            "brier": m.brier_score_loss(t, p, pos_label=1),
        })
    out = {key: float(np.nanmean([e[key] for e in each])) for key in each[0]}
    rows = known.any(axis=1)
    out["accuracy"] = float((((answer == y) | ~known).all(axis=1))[rows].mean())
    out["f1_micro"] = m.f1_score(y[known], answer[known], zero_division=0)
    support = [(y[:, c] * known[:, c]).sum() for c in range(s.shape[1])]
    out["f1_weighted"] = float(np.average([e["f1_macro"] for e in each], weights=support))
    if known.all():
        full = {"accuracy": m.accuracy_score(y, answer), **averages(y, answer)}
        assert all(abs(full[key] - out[key]) < 1e-12 for key in full), (full, out)
        if all(0 < n < len(y) for n in support):
            assert abs(m.roc_auc_score(y, s, average="macro") - out["auroc"]) < 1e-12
            assert abs(m.average_precision_score(y, s, average="macro") - out["average_precision"]) < 1e-12
    truth = [bool(v) if k else None for v, k in zip(y.ravel(), known.ravel())]
    return {
        "name": name, "kind": "labels", "cols": s.shape[1], "truth": truth, "scores": floats(s),
        "expected": {key: float(v) for key, v in out.items()},
    }


def value(name, y, s):
    y, s = (np.asarray(v, dtype=np.float32).astype(np.float64) for v in (y, s))
    out = {
        "rmse": m.root_mean_squared_error(y, s), "mae": m.mean_absolute_error(y, s), "r2": m.r2_score(y, s),
        "pearson": stats.pearsonr(y, s).statistic, "spearman": stats.spearmanr(y, s).statistic,
    }
    return {
        "name": name, "kind": "value", "cols": 1, "truth": floats(y), "scores": floats(s),
        "expected": {key: float(v) for key, v in out.items()},
    }


def cases(r):
    y = r.integers(0, 2, 80)
    p = 1 / (1 + np.exp(-(2 * y - 1 + r.normal(0, 1.5, 80))))
    yield classes("binary", y, np.stack([1 - p, p], axis=1))
    tied = np.round(p, 1)
    yield classes("binary_ties", y, np.stack([1 - tied, tied], axis=1))
    hard = (p > 0.6).astype(float)
    yield classes("binary_hard_zero_and_one", y, np.stack([1 - hard, hard], axis=1))
    same = np.full(80, 0.7)
    yield classes("binary_constant_answer", y, np.stack([1 - same, same], axis=1))
    rare = (r.random(120) < 0.05).astype(int)
    rare[:2] = [0, 1]
    p = np.clip(0.1 + 0.4 * rare + r.normal(0, 0.1, 120), 0.001, 0.999)
    yield classes("binary_rare", rare, np.stack([1 - p, p], axis=1))

    y = r.integers(0, 5, 120)
    z = r.normal(0, 1, (120, 5))
    z[np.arange(120), y] += 1.5
    yield classes("five", y, softmax(z))
    yield classes("five_ties", y, softmax(np.round(z)))
    y = r.choice([0, 2, 3], 90)
    z = r.normal(0, 1, (90, 5))
    z[np.arange(90), y] += 1.0
    yield classes("five_absent_in_truth", y, softmax(z))
    z[:, [1, 4]] -= 20
    yield classes("five_absent_on_both_sides", y, softmax(z))

    y = (r.random((70, 4)) < [0.5, 0.3, 0.1, 0.05]).astype(int)
    y[:2] = [[0, 0, 0, 0], [1, 1, 1, 1]]
    s = np.clip(y * 0.4 + r.random((70, 4)) * 0.6, 0, 1)
    yield labels("labels", y, s)
    yield labels("labels_ties", y, np.round(s, 1))
    unused = y.copy()
    unused[:, 3] = 0
    yield labels("labels_one_without_rows", unused, s)
    known = r.random((70, 4)) < 0.7
    known[:2] = True
    known[5] = False
    yield labels("labels_unknown", y, s, known)

    y = r.normal(50, 10, 100)
    yield value("value", y, y + r.normal(0, 5, 100))
    yield value("value_ties", np.round(y / 10), np.round((y + r.normal(0, 5, 100)) / 10))
    yield value("value_worse_than_mean", y, r.normal(20, 30, 100))


def main():
    made_by = {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__}
    written = {"made_by": made_by, "cases": list(cases(np.random.default_rng(17)))}
    rows = ",\n".join(json.dumps(case, allow_nan=False) for case in written["cases"])
    OUT.write_text(f'{{"made_by": {json.dumps(made_by)}, "cases": [\n{rows}\n]}}\n')


if __name__ == "__main__":
    main()
