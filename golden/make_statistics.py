"""Writes statistics.json: what scipy and statsmodels give for the statistics behind a verdict, a calibration and a
label curve, against which retune-eval is tested.

    pip install numpy==2.4.6 scipy==1.17.1 statsmodels==0.15.0
    python golden/make_statistics.py

Scores and logits are float32, as the program's are, and are handed over as float64.
"""

import json
import pathlib

import numpy as np
import scipy
import statsmodels
from scipy import optimize, special, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

OUT = pathlib.Path(__file__).with_name("statistics.json")
RESAMPLES = 100_000


def floats(a):
    return [float(v) for v in np.asarray(a).ravel()]


def exact_tests():
    """McNemar's exact test: rows that only the first, or only the second model answers right."""
    for left, right in [(0, 0), (4, 0), (0, 7), (10, 10), (25, 11), (3, 18), (140, 95), (400, 301)]:
        p = mcnemar([[50, left], [right, 20]], exact=True).pvalue
        yield {"left": left, "right": right, "p": float(min(p, 1.0))}


def corrections(r):
    for p in ([0.04, 0.01, 0.03, 0.005], [0.5, 0.6], [0.01], [0.02, 0.02, 0.02], list(r.random(9) ** 3)):
        yield {"p": floats(p), "adjusted": floats(multipletests(p, method="holm")[1])}


def student():
    return [{"freedom": f, "point": float(stats.t.ppf(0.975, f))} for f in (1, 2, 3, 4, 8, 30, 200)]


def interval(data, statistic, r):
    found = stats.bootstrap(
        data, statistic, paired=True, vectorized=True, n_resamples=RESAMPLES, method="percentile", rng=r
    )
    low, high = found.confidence_interval
    return {"low": float(low), "high": float(high), "standard_error": float(found.standard_error)}


def differences(r):
    """Two models on the same rows: the difference of their accuracies, and of their root mean squared errors."""
    u = r.random(240)
    tuned, floor = (u < 0.82).astype(int), ((u < 0.72) | (u > 0.95)).astype(int)
    accuracy = interval((tuned, floor), lambda t, f, axis: t.mean(axis=axis) - f.mean(axis=axis), r)
    yield {"metric": "accuracy", "tuned": tuned.tolist(), "floor": floor.tolist(), **accuracy}

    y = r.normal(0, 2, 120).astype(np.float32)
    tuned = (y + r.normal(0, 0.7, 120)).astype(np.float32)
    floor = (y + r.standard_t(4, 120)).astype(np.float32)

    def gain(t, f, y, axis):
        rmse = [np.sqrt(np.mean((p - y) ** 2, axis=axis)) for p in (t, f)]
        return rmse[1] - rmse[0]

    rmse = interval([a.astype(np.float64) for a in (tuned, floor, y)], gain, r)
    yield {"metric": "rmse", "truth": floats(y), "tuned": floats(tuned), "floor": floats(floor), **rmse}


def fit_temperature(loss):
    """The minimum over log T."""
    found = optimize.minimize_scalar(lambda log_t: loss(np.exp(log_t)), bounds=(-3, 3), method="bounded",
                                     options={"xatol": 1e-10})
    return float(np.exp(found.x))


def temperatures(r):
    for rows, classes, sharp in [(60, 2, 3.0), (80, 5, 2.0), (50, 3, 0.4)]:
        y = r.integers(classes, size=rows)
        z = (sharp * (r.normal(size=(rows, classes)) + 0.9 * np.eye(classes)[y])).astype(np.float32)
        wide = z.astype(np.float64)

        def loss(t, wide=wide, y=y):
            return -special.log_softmax(wide / t, axis=1)[np.arange(len(y)), y].mean()

        t = fit_temperature(loss)
        yield {"kind": "classes", "cols": classes, "logits": floats(z), "truth": y.tolist(), "temperature": t,
               "log_loss": float(loss(t))}
    y = r.random((60, 3)) < 0.4
    known = r.random((60, 3)) < 0.8
    z = (3 * (r.normal(size=(60, 3)) + y - 0.5)).astype(np.float32)
    wide = z.astype(np.float64)

    def loss(t):
        return -np.where(y, special.log_expit(wide / t), special.log_expit(-wide / t))[known].mean()

    truth = [bool(t) if k else None for t, k in zip(y.ravel(), known.ravel())]
    yield {"kind": "labels", "cols": 3, "logits": floats(z), "truth": truth, "temperature": fit_temperature(loss)}


def curves(r):
    sizes = np.repeat([20, 40, 100, 200, 400, 1000], 3).astype(float)
    for a, b, c, noise in [(0.92, 1.5, 0.35, 0.004), (0.8, 2.0, 0.7, 0.01), (0.3, -2.0, 0.5, 0.01)]:
        scores = a - b * sizes**-c + noise * r.normal(size=len(sizes))
        law = lambda n, a, b, c: a - b * n**-c
        found, _ = optimize.curve_fit(law, sizes, scores, p0=(a, b, c), xtol=1e-12, ftol=1e-12)
        yield {"points": [[float(n), float(s)] for n, s in zip(sizes, scores)], "law": floats(found),
               "at_2000": float(law(2000.0, *found))}


def main():
    r = np.random.default_rng(17)
    written = {
        "made_by": {m.__name__: m.__version__ for m in (np, scipy, statsmodels)},
        "mcnemar": list(exact_tests()),
        "holm": list(corrections(r)),
        "student": student(),
        "bootstrap": list(differences(r)),
        "temperature": list(temperatures(r)),
        "power_law": list(curves(r)),
    }
    rows = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in written.items())
    OUT.write_text("{" + rows + "}\n")


if __name__ == "__main__":
    main()
