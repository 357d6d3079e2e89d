#!/usr/bin/env python3
"""An epoch of timm's EfficientNet-Lite0 from JPEG files: the peer of `retune train FOLDER --augment light`.

Random crops of at least half of the area, flips, 224 pixels, batches of 32, random weights, norms with the statistics that
they have; torchvision's transforms in a DataLoader with --workers processes. The first epoch warms up (and compiles), the
second is timed. Stdout gets one line of JSON.

    python bench/peers/jpeg_epoch.py FOLDER --make 640        # writes so many JPEG files, crops of golden/photos
    python bench/peers/jpeg_epoch.py FOLDER --precision fp32 --channels-last --compile
"""

import argparse
import contextlib
import json
import resource
import time
from pathlib import Path

import timm
import torch
import torchvision
from PIL import Image
from torchvision import transforms

PHOTOS = Path(__file__).resolve().parents[2] / "golden" / "photos"


def make(folder: Path, count: int) -> None:
    """Crops of two photographs, 400 x 300 pixels, one class each."""
    for label in ("china", "flower"):
        image = Image.open(PHOTOS / f"{label}.jpg").convert("RGB")
        image = image.resize((image.width * 2, image.height * 2))
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(count // 2):
            left, top = i * 37 % (image.width - 400), i * 53 % (image.height - 300)
            image.crop((left, top, left + 400, top + 300)).save(folder / label / f"{i:04}.jpg", quality=90)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--make", type=int)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Make the files, or train and print."""
    args = arguments()
    if args.make:
        make(args.folder, args.make)
        return
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    steps = transforms.Compose([
        transforms.RandomResizedCrop(224, scale=(0.5, 1.0), interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([127 / 255] * 3, [128 / 255] * 3),
    ])  # fmt: skip
    data = torchvision.datasets.ImageFolder(args.folder, steps)
    loader = torch.utils.data.DataLoader(
        data, batch_size=32, shuffle=True, drop_last=True, num_workers=args.workers, persistent_workers=args.workers > 0)  # fmt: skip
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=2, drop_rate=0.2).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    form = torch.channels_last if args.channels_last else torch.contiguous_format
    model = model.to(memory_format=form)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01, fused=True)
    run = torch.compile(model) if args.compile else model
    half = torch.autocast("cpu", torch.bfloat16) if args.precision == "bf16" else contextlib.nullcontext()
    for _ in range(2):
        start = time.perf_counter()
        rows = 0
        for pictures, labels in loader:
            optimizer.zero_grad()
            with half:
                loss = torch.nn.functional.cross_entropy(run(pictures.to(memory_format=form)), labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rows += len(labels)
        seconds = time.perf_counter() - start
    print(json.dumps({
        "seconds": seconds,
        "pictures_per_s": rows / seconds,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
