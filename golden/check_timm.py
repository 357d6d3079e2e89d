#!/usr/bin/env python3
"""Load the weights of a tuned EfficientNet-Lite0 in timm and compare its answer for a picture.

    pip install -r bench/peers/requirements.txt timm==1.0.31 pillow==12.0.0
    python golden/check_timm.py RUN PICTURE "$(retune predict RUN PICTURE --json)"

Fails when a weight is missing or unknown, or a probability differs by more than 1e-3.
"""

import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file


def main() -> None:
    """Load, answer, compare."""
    folder, picture, answer = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    weights = load_file(folder / "model.safetensors")
    classes = len(weights["classifier.bias"])
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=classes).eval()
    loaded = model.load_state_dict(weights, strict=False)
    missing = [name for name in loaded.missing_keys if not name.endswith("num_batches_tracked")]
    assert not missing and not loaded.unexpected_keys, (missing, loaded.unexpected_keys)
    steps = json.loads((folder / "processor.json").read_text())["image"]["preprocess"]
    side, before = steps["crop"]["height"], steps["resize"]["shortest"]
    image = Image.open(picture).convert("RGB")
    scale = before / min(image.size)
    image = image.resize([int(n * scale) for n in image.size], Image.Resampling.BICUBIC)
    left, top = (round((n - side) / 2) for n in image.size)
    image = image.crop((left, top, left + side, top + side))
    pixels = (np.asarray(image, dtype=np.float32) * steps["scale"] - steps["mean"]) / steps["std"]
    batch = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    theirs = torch.softmax(model(batch), 1)[0].tolist()
    worst = max(abs(a - b) for a, b in zip(theirs, answer["scores"].values(), strict=True))
    print(f"{classes} classes, largest difference of a probability: {worst:.1e}")
    assert worst < 1e-3


if __name__ == "__main__":
    main()
