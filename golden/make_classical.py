"""Writes classical.json: what scikit-learn's TF-IDF, logistic regression and ridge answer on a few sentences, against
which the classical floor is tested.

    pip install scikit-learn==1.9.1
    python golden/make_classical.py

The sentences are the first of data/movie-sentences.csv and some awkward ones. Targets other than the tone are made up.
Solvers run until they are exact, so that both sides are compared at the optimum.
"""

import csv
import json
import pathlib

import numpy as np
import sklearn
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

HERE = pathlib.Path(__file__).parent
OUT = HERE / "classical.json"
AWKWARD = ["", "...", "a I ?", "Ünïcode ÉTÉ — été", "Очень ХОРОШИЙ фильм, очень", "这部电影 非常好看", "film_1 film-1 42 4"]
TRAIN, TEST = 60, 8


def sentences():
    with open(HERE.parent / "data" / "movie-sentences.csv", newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    # Both tones: the file is in no order that matters, but its start may be uneven.
    by_tone = [[r["text"] for r in rows if r["label"] == tone] for tone in ("negative", "positive")]
    pairs = [(text, tone) for both in zip(*by_tone) for tone, text in enumerate(both)]
    train, test = pairs[:TRAIN], pairs[TRAIN : TRAIN + TEST]
    awkward = [(text, i % 2) for i, text in enumerate(AWKWARD)]
    return train + awkward, [text for text, _ in test] + AWKWARD + ["zzyzx unheard qwfp"]


def vectorizer(grams, min_rows):
    kind = {"analyzer": "char_wb", "ngram_range": (2, 5)} if grams == "chars" else {"ngram_range": (1, int(grams))}
    return TfidfVectorizer(sublinear_tf=True, lowercase=True, min_df=min_rows, **kind)


def features(train, test):
    for grams, min_rows in [("1", 1), ("2", 1), ("2", 2), ("chars", 2)]:
        v = vectorizer(grams, min_rows).fit(train)
        names, x = v.get_feature_names_out(), v.transform(test)
        row = lambda r: {names[c]: round(float(r[0, c]), 9) for c in r.indices}
        yield {
            "grams": grams, "min_rows": min_rows, "c": 1.0, "features": len(names),
            "rows": [row(x[i]) for i in range(x.shape[0])],
        }


def logistic(x, y, test, c):
    return LogisticRegression(C=c, tol=1e-9, max_iter=100_000).fit(x, y).predict_proba(test)


def flags(x, y, test, c):
    """One model per label over the rows where it is known (not null)."""
    columns = []
    for column in y.T:
        known = np.array([v is not None for v in column])
        columns.append(logistic(x[known], column[known].astype(bool), test, c)[:, 1])
    return np.stack(columns, axis=1)


def answers(train, tone, test, r):
    n = len(train)
    three = r.integers(0, 3, n)
    many = np.array([[None if r.random() < 0.2 else bool(r.random() < p) for p in (0.5, 0.2)] for _ in range(n)])
    number = np.round(r.normal(3, 2, n), 3).astype(np.float32)
    ridge = lambda x, y, t, c: Ridge(alpha=1 / c, tol=1e-10, solver="sparse_cg").fit(x, y).predict(t)
    cases = [
        ("two classes", "classes", 2, tone, "2", 1, 10.0, logistic),
        ("two classes, strong penalty", "classes", 2, tone, "1", 2, 0.1, logistic),
        ("two classes, characters", "classes", 2, tone, "chars", 1, 1.0, logistic),
        ("three classes", "classes", 3, three, "2", 2, 1.0, logistic),
        ("three classes, weak penalty", "classes", 3, three, "2", 1, 100.0, logistic),
        ("labels", "labels", 2, many, "2", 1, 10.0, flags),
        ("number", "number", 1, number, "2", 1, 1.0, ridge),
        ("number, weak penalty", "number", 1, number, "chars", 1, 10.0, ridge),
    ]
    for name, kind, outputs, targets, grams, min_rows, c, fit in cases:
        v = vectorizer(grams, min_rows)
        x = v.fit_transform(train)
        found = fit(x, np.asarray(targets), v.transform(test), c)
        yield {
            "name": name, "kind": kind, "outputs": outputs, "grams": grams, "min_rows": min_rows, "c": c,
            "targets": np.asarray(targets).tolist(), "expected": [round(float(p), 6) for p in np.ravel(found)],
        }


def main():
    rows, test = sentences()
    train, tone = [text for text, _ in rows], [tone for _, tone in rows]
    written = {
        "made_by": {"numpy": np.__version__, "scikit-learn": sklearn.__version__},
        "train": train, "test": test,
        "features": list(features(train, test)),
        "answers": list(answers(train, tone, test, np.random.default_rng(17))),
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in written.items())
    OUT.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
