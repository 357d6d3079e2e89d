#!/usr/bin/env python3
"""Write the sample of handwritten digits for `retune quickstart --task image-classification`.

`data/digits.parquet`: the 1,797 pictures of scikit-learn's `load_digits` in the layout of Hugging Face datasets, a
column `image` of PNG files and a column `label`. Pixels are multiplied by 255 / 16, so that ink is white.

    pip install scikit-learn==1.9.1 pillow==13.0.0 pyarrow==26.0.1
    python data/make_digits.py
"""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits

OUT = Path(__file__).resolve().parent / "digits.parquet"


def png(pixels: np.ndarray) -> bytes:
    """A grey picture of values from 0 to 16 as a file."""
    file = io.BytesIO()
    Image.fromarray(np.round(pixels * 255 / 16).astype(np.uint8)).save(file, "PNG", optimize=True)
    return file.getvalue()


def main() -> None:
    """Fetch, encode, write."""
    digits = load_digits()
    pictures = [{"bytes": png(image), "path": f"{i:04}.png"} for i, image in enumerate(digits.images)]
    image = pa.array(pictures, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    label = pa.array([str(target) for target in digits.target])
    table = pa.table({"image": image, "label": label})
    pq.write_table(table, OUT, compression="zstd", use_dictionary=["label"], write_statistics=False)
    print(OUT, OUT.stat().st_size, "bytes,", len(pictures), "pictures")


if __name__ == "__main__":
    main()
