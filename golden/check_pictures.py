#!/usr/bin/env python3
"""Load an exported model of pictures in timm or transformers and compare its answers.

    retune export RUN --hf EXPORT
    pip install -r bench/peers/requirements.txt timm==1.0.31 pillow==12.0.0
    python golden/check_pictures.py EXPORT [PICTURE "$(retune predict RUN PICTURE --json)"]

Logits for the noise in `parity.safetensors` must be within 1e-3 of those that are there. With a picture and what retune
answers for it, the probabilities must be too: the preprocessing is then the other program's own.
"""

import json
import sys
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file


def by_timm(folder: Path):
    """Model and preprocessing as timm makes them of the folder."""
    import timm
    from timm.data import create_transform, resolve_model_data_config

    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    steps = create_transform(**resolve_model_data_config(model), is_training=False)
    return model, lambda image: steps(image)[None]


def by_transformers(folder: Path):
    """The same as transformers makes them."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder)
    return lambda pixels: model(pixels).logits, lambda image: processor(image, return_tensors="pt")["pixel_values"]


def main() -> None:
    """Load, answer, compare."""
    folder = Path(sys.argv[1]).resolve()
    config = json.loads((folder / "config.json").read_text())
    model, prepare = (by_transformers if "model_type" in config else by_timm)(folder)
    parity = load_file(folder / "parity.safetensors")
    with torch.no_grad():
        logits = model(parity["pixels"].permute(0, 3, 1, 2))
        worst = (logits - parity["logits"]).abs().max().item()
        print(f"{tuple(logits.shape)} logits, largest difference: {worst:.1e}")
        assert worst < 1e-3
        if len(sys.argv) > 2:
            pixels = prepare(Image.open(sys.argv[2]).convert("RGB"))
            theirs = torch.softmax(model(pixels), 1)[0].tolist()
            ours = json.loads(sys.argv[3])["scores"].values()
            worst = max(abs(a - b) for a, b in zip(theirs, ours, strict=True))
            print(f"{len(theirs)} classes, largest difference of a probability: {worst:.1e}")
            assert worst < 1e-3


if __name__ == "__main__":
    main()
