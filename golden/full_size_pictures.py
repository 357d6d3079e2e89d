#!/usr/bin/env python3
"""Write full-size image classifiers with random weights as timm saves them for the hub, to check loading and logits.

    pip install -r bench/peers/requirements.txt timm==1.0.31 pillow==12.0.0
    python golden/full_size_pictures.py FOLDER [NAME ...]
    cargo build --workspace --example check_full_size_pictures
    target/debug/examples/check_full_size_pictures FOLDER

NAME is any model of timm. Each FOLDER/NAME holds `config.json`, `model.safetensors` and `expected.safetensors`, of the
photographs in golden/photos, in order of their names:

    pixels [photographs, height, width, 3]    what the model reads
    logits [photographs, 1000]

Biases and scales of norms are random, as are the statistics of batch norms, around those of the photographs: each
parameter matters, and values neither vanish nor grow.
"""

import argparse
from pathlib import Path

import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config
from timm.models import save_for_hf

PHOTOS = Path(__file__).resolve().parent / "photos"
NAMES = [
    "resnet18", "resnet34", "resnet50", "resnet101", "convnext_tiny", "convnext_small",
    "vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224", "deit_small_patch16_224",
    "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2",
]  # fmt: skip


def shake(model: torch.nn.Module, pixels: torch.Tensor) -> None:
    """Give every parameter and every statistic a value that shows."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean over batches
    if norms:
        model.train()
        with torch.no_grad():
            model(torch.cat([pixels, pixels.flip(3), torch.randn_like(pixels)]))
    for norm in norms:
        norm.running_mean.add_(0.1 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean))
        norm.running_var.mul_(0.75 + 0.5 * torch.rand_like(norm.running_var))
    model.eval()


def write(name: str, folder: Path, seed: int) -> None:
    """Save one model and what it computes."""
    torch.manual_seed(seed)
    model = timm.create_model(name, pretrained=False, num_classes=1000)
    config = resolve_data_config({}, model=model)
    transform = create_transform(**config, is_training=False)
    photos = [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.jpg"))]
    pixels = torch.stack([transform(photo) for photo in photos])
    shake(model, pixels)
    save_for_hf(model, folder, safe_serialization=True)
    with torch.no_grad():
        logits = model(pixels)
    expected = {"pixels": pixels.permute(0, 2, 3, 1).contiguous(), "logits": logits.contiguous()}
    save_file(expected, folder / "expected.safetensors", metadata={"format": "pt"})
    size = sum(p.numel() for p in model.parameters())
    print(f"{name}: {size} parameters, logits from {logits.min():.2f} to {logits.max():.2f}")


def main() -> None:
    """Write the models named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="models of timm; else " + ", ".join(NAMES))
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()
    for name in args.names or NAMES:
        write(name, args.folder / name, args.seed)


if __name__ == "__main__":
    main()
