"""Writes fraud.json: what scikit-learn, scipy, statsmodels and scripts of their own give for figures of fraud, areas
with DeLong's interval, and calibration by Platt and by isotonic regression, against which retune-eval is tested.

    pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 statsmodels==0.15.0
    python golden/make_fraud.py

Scores are float32, as the program's are, and are handed over as float64. Scores are rounded so that many are equal.
"""

import json
import pathlib

import numpy as np
from scipy import optimize, stats
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from statsmodels.stats.proportion import proportion_confint

OUT = pathlib.Path(__file__).with_name("fraud.json")
DAY = 86_400
REVIEW, RECOVERY = 7.5, 0.25
PATTERNS = ["large", "terminal", "testing"]
SEGMENTS = ["online", "shop"]
RESAMPLES = 20_000


def floats(a):
    return [float(v) for v in np.asarray(a).ravel()]


def stream(r, events, cards, days, digits, weighted):
    card = r.integers(cards, size=events)
    fraud = (r.random(events) < 0.04 + 0.3 * (card % 7 == 0)).astype(int)
    z = r.normal(-1.5, 1, events) + 1.7 * fraud
    score = np.round(1 / (1 + np.exp(-z)), digits).astype(np.float32).astype(float)
    pattern = np.where(fraud == 1, r.integers(len(PATTERNS), size=events), -1)
    return {
        "score": score,
        "fraud": fraud,
        "time": np.sort(r.integers(days * DAY, size=events)) + 17_000 * DAY,
        "card": card,
        "amount": np.round(r.exponential(60, events), 2),
        "pattern": pattern,
        "segment": r.integers(len(SEGMENTS), size=events),
        "weight": np.where(fraud == 1, 1.0, 4.0) if weighted else np.ones(events),
    }


def part_of_alerts(score, weight, share=None, k=None):
    """How much of each event is among the first: all above the last score in full, those that share it alike."""
    left = k if share is None else share * weight.sum()
    part = np.zeros(len(score))
    for s in sorted(set(score), reverse=True):
        tied = score == s
        take = min(left, weight[tied].sum())
        part[tied] = take / weight[tied].sum()
        left -= take
    return part


def card_precision(s, k):
    """Le Borgne et al. 2022, written anew: cards by their highest score of the day, found ones leave."""
    found, shares = set(), []
    for day in sorted(set(s["time"] // DAY)):
        rows = s["time"] // DAY == day
        called = {}
        for c, score, fraud in zip(s["card"][rows], s["score"][rows], s["fraud"][rows]):
            if c not in found:
                old = called.get(c, (-1.0, 0))
                called[c] = (max(old[0], score), max(old[1], fraud))
        first = sorted(called.items(), key=lambda item: (-item[1][0], item[0]))[:k]
        hits = [c for c, (_, fraud) in first if fraud]
        found.update(hits)
        shares.append(len(hits) / k)
    return float(np.mean(shares))


def calibration_error(s, bins=15):
    place = np.clip(np.ceil(s["score"] * bins).astype(int) - 1, 0, bins - 1)
    gap = s["weight"] * (s["score"] - s["fraud"])
    return sum(abs(gap[place == b].sum()) for b in range(bins)) / s["weight"].sum()


def at_threshold(s, threshold, days):
    w, y, a = s["weight"], s["fraud"], s["amount"]
    alert = s["score"] >= threshold
    cost = REVIEW * w[alert].sum() + (1 - RECOVERY) * (w * y * a)[~alert].sum()
    without = min((1 - RECOVERY) * (w * y * a).sum(), REVIEW * w.sum())
    return {
        "precision@threshold": (w * y)[alert].sum() / w[alert].sum(),
        "recall@threshold": (w * y)[alert].sum() / (w * y).sum(),
        "fpr@threshold": (w * (1 - y))[alert].sum() / (w * (1 - y)).sum(),
        "alerts_per_day@threshold": w[alert].sum() / days,
        "amount_recall@threshold": (w * y * a)[alert].sum() / (w * y * a).sum(),
        "cost@threshold": cost / w.sum(),
        "savings@threshold": 1 - cost / without,
    }


def figures(s, threshold):
    y, p, w, a = s["fraud"], s["score"], s["weight"], s["amount"]
    fpr, tpr, _ = roc_curve(y, p, sample_weight=w, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(y, p, sample_weight=w)
    # The last point of scikit-learn's curve is no threshold.
    precision, recall = precision[:-1], recall[:-1]
    top = part_of_alerts(p, w, share=0.1) * w
    days = s["time"].max() // DAY - s["time"].min() // DAY + 1
    out = {
        "average_precision": average_precision_score(y, p, sample_weight=w),
        "auroc": roc_auc_score(y, p, sample_weight=w),
        **{f"recall@{x:g}%fpr": tpr[fpr <= x / 100].max() for x in (0.1, 1, 5)},
        **{f"recall@{x}%precision": recall[precision >= x / 100].max(initial=0.0) for x in (25, 50)},
        **{f"precision@{k}": (part_of_alerts(p, w, k=k) * w * y).sum() / k for k in (20, 100)},
        "card_precision@3": card_precision(s, 3),
        "recall@10%alerts": (top * y).sum() / (w * y).sum(),
        "precision@10%alerts": (top * y).sum() / top.sum(),
        "amount_recall@10%alerts": (top * y * a).sum() / (w * y * a).sum(),
        "predicted@10%alerts": (top * p).sum() / top.sum(),
        "brier": brier_score_loss(y, p, sample_weight=w),
        "ece": calibration_error(s),
        **at_threshold(s, threshold, days),
    }
    overall = (top * (1 - y)).sum() / (w * (1 - y)).sum()
    parts = {
        "patterns": [(top * (s["pattern"] == k)).sum() / (w * (s["pattern"] == k)).sum() for k in range(len(PATTERNS))],
        "segments": [
            (top * (1 - y))[s["segment"] == k].sum() / (w * (1 - y))[s["segment"] == k].sum() / overall
            for k in range(len(SEGMENTS))
        ],
    }
    return {k: float(v) for k, v in out.items()}, {k: floats(v) for k, v in parts.items()}


def cheapest(s):
    best = (float((1 - RECOVERY) * (s["weight"] * s["fraud"] * s["amount"]).sum()), None)
    for t in sorted(set(s["score"]), reverse=True):
        alert = s["score"] >= t
        missed = (s["weight"] * s["fraud"] * s["amount"])[~alert].sum()
        cost = REVIEW * s["weight"][alert].sum() + (1 - RECOVERY) * missed
        if cost < best[0]:
            best = (float(cost), float(t))
    return {"cost": best[0], "threshold": best[1]}


def chosen(s):
    """Of all distinct scores, tried one by one, the threshold for each goal."""
    w, y = s["weight"], s["fraud"]
    days = s["time"].max() // DAY - s["time"].min() // DAY + 1
    rows = []
    for t in sorted(set(s["score"]), reverse=True):
        alert = s["score"] >= t
        hits = (w * y)[alert].sum()
        rows.append((t, hits / w[alert].sum(), hits / (w * y).sum(), w[alert].sum() / days))
    sharp = [r for r in rows if r[1] >= 0.25]
    return {
        "alerts=12": min(r[0] for r in rows if r[3] <= 12),
        "precision=0.25": next(r[0] for r in sharp if r[2] == max(r[2] for r in sharp)),
        "recall=0.7": next(r[0] for r in rows if r[2] >= 0.7),
        "cost=7.5:0.25": cheapest(s)["threshold"],
    }


def cases(r):
    for name, events, cards, digits, weighted in [
        ("ties", 160, 40, 2, False),
        ("few ties", 140, 25, 6, False),
        ("undersampled", 130, 30, 2, True),
    ]:
        s = stream(r, events, cards, 5, digits, weighted)
        threshold = float(np.quantile(s["score"], 0.85))
        threshold = float(s["score"][s["score"] >= threshold].min())
        expected, parts = figures(s, threshold)
        yield {
            "name": name,
            **{k: np.asarray(v).tolist() for k, v in s.items()},
            "weighted": weighted,
            "threshold": threshold,
            "expected": expected,
            **parts,
            "cheapest": cheapest(s),
            "chosen": chosen(s),
        }


def resampled(r):
    """Average precision, and its difference between two scores, over resamples of cards."""
    s = stream(r, 300, 60, 5, 3, False)
    other = np.round(np.clip(s["score"] + r.normal(0, 0.2, 300), 0, 1), 3).astype(np.float32).astype(float)
    of = [np.flatnonzero(s["card"] == c) for c in sorted(set(s["card"]))]
    values = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([of[i] for i in r.integers(len(of), size=len(of))])
        y = s["fraud"][rows]
        values.append([average_precision_score(y, p[rows]) for p in (s["score"], other)])
    values = np.array(values)
    difference = values[:, 0] - values[:, 1]

    def interval(v):
        return {"low": float(np.quantile(v, 0.025)), "high": float(np.quantile(v, 0.975)), "standard_error": float(v.std())}

    return {
        "score": floats(s["score"]),
        "other": floats(other),
        "fraud": s["fraud"].tolist(),
        "card": s["card"].tolist(),
        "average_precision": interval(values[:, 0]),
        "difference": interval(difference),
    }


def delong(r):
    """Placements counted pair by pair (DeLong, DeLong & Clarke-Pearson 1988)."""
    fixed = (
        [0.1, 0.2, 0.3, 0.4, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        [0.3, 0.1, 0.2, 0.6, 0.5, 0.4, 0.9, 0.4, 0.7, 0.8],
        [0, 0, 0, 0, 1, 0, 1, 1, 0, 1],
    )
    y = (r.random(90) < 0.3).astype(int)
    a = np.round(r.normal(y * 1.2, 1), 1)
    b = np.round(r.normal(y * 0.4, 1), 1)
    far = np.round(r.normal(y * 9, 1), 3)
    for a, b, y in (fixed, (a, b, y), (far, b, y)):
        a, b = (np.asarray(v, np.float32).astype(float) for v in (a, b))
        y = np.asarray(y, bool)
        above = [(s[y][:, None] > s[~y][None]) + 0.5 * (s[y][:, None] == s[~y][None]) for s in (a, b)]
        cov = np.cov([k.mean(1) for k in above]) / y.sum() + np.cov([k.mean(0) for k in above]) / (~y).sum()
        area = [k.mean() for k in above]
        error = np.sqrt(np.diag(cov))
        spread = np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
        z = (area[0] - area[1]) / spread
        half = stats.norm.ppf(0.975) * error
        yield {
            "first": floats(a),
            "second": floats(b),
            "truth": y.astype(int).tolist(),
            "area": floats(area),
            "standard_error": floats(error),
            "low": floats(np.maximum(area - half, 0)),
            "high": floats(np.minimum(area + half, 1)),
            "z": float(z),
            "p": float(2 * stats.norm.sf(abs(z))),
        }


def wilson():
    for hits, n in [(0, 10), (10, 10), (3, 10), (1, 1), (45, 200), (999, 1000)]:
        low, high = proportion_confint(hits, n, method="wilson")
        yield {"hits": hits, "n": n, "low": float(low), "high": float(high)}


def platt(r):
    """scikit-learn's sigmoid stops early: the minimum of the same function to the last digit stands beside it."""
    for rows, share, sharp in [(80, 0.5, 2.0), (150, 0.1, 0.7)]:
        y = (r.random(rows) < share).astype(int)
        f = np.round(r.normal(sharp * y, 1), 3).astype(np.float32).astype(float)
        hit, miss = (y == 1).sum(), (y == 0).sum()
        t = np.where(y == 1, (hit + 1) / (hit + 2), 1 / (miss + 2))

        def loss(ab):
            z = -(ab[0] * f + ab[1])
            return np.sum(np.logaddexp(0, z) - t * z)

        found = optimize.minimize(loss, [0.0, 0.0], method="BFGS", options={"gtol": 1e-9})
        theirs = _SigmoidCalibration().fit(f, y)
        yield {
            "logit": floats(f),
            "fraud": y.tolist(),
            "slope": float(-found.x[0]),
            "shift": float(-found.x[1]),
            "scikit_learn": floats(theirs.predict(f)),
        }


def isotonic(r):
    for rows, digits in [(60, 1), (80, 6)]:
        p = np.round(r.random(rows), digits).astype(np.float32).astype(float)
        y = (r.random(rows) < p**2).astype(int)
        w = np.round(r.uniform(0.5, 3, rows), 2)
        model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p, y, sample_weight=w)
        asked = np.linspace(-0.1, 1.1, 49).astype(np.float32).astype(float)
        yield {
            "score": floats(p),
            "fraud": y.tolist(),
            "weight": floats(w),
            "asked": floats(asked),
            "answer": floats(model.predict(asked)),
        }


def main():
    r = np.random.default_rng(41)
    out = {
        "cases": list(cases(r)),
        "resampled": resampled(r),
        "delong": list(delong(r)),
        "wilson": list(wilson()),
        "platt": list(platt(r)),
        "isotonic": list(isotonic(r)),
    }
    OUT.write_text(json.dumps(out) + "\n")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
