#!/usr/bin/env python3
"""Training steps of timm's EfficientNet-Lite0 and ViT-S/16: peers of `retune bench efficientnet-lite0` and `vit-small`.

Random weights, ten classes; each step is zero_grad, forward, backward, clipping at 1
and fused AdamW with weight decay 0.01. Batch norms keep their statistics, as retune's do, unless
--batch-statistics is given. Batches are ready before the first step. Stdout gets one line of JSON
with the field names of `retune bench --json`; a token is a picture.

    python bench/peers/images.py --precision bf16 --channels-last
    python bench/peers/images.py --precision bf16 --channels-last --compile
    python bench/peers/images.py --model vit_small_patch16_224
    python bench/peers/images.py --model vit_small_patch16_224 --precision bf16
    python bench/peers/images.py --model vit_small_patch16_224 --precision bf16 --compile

Needs timm 1.0.31 and the matching torchvision beside the packages of requirements.txt.
"""

import argparse
import contextlib
import json
import resource
import statistics
import time

import timm
import torch


# Pictures per batch and dropout before the last layer, as `retune bench` has them.
MODELS = {"tf_efficientnet_lite0": (32, 0.2), "vit_small_patch16_224": (16, 0.0)}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tf_efficientnet_lite0", choices=MODELS, help="name in timm")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--batch-statistics", action="store_true", help="train the batch norms' statistics")
    parser.add_argument("--rows", type=int, help="pictures per batch [default: as retune's workload has it]")
    parser.add_argument("--size", type=int, default=224, help="pixels along each side")
    parser.add_argument("--steps", type=int, default=10, help="timed")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Train and print."""
    args = arguments()
    rows, dropout = MODELS[args.model]
    rows = args.rows or rows
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    model = timm.create_model(args.model, pretrained=False, num_classes=10, drop_rate=dropout).train()
    if not args.batch_statistics:
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
    form = torch.channels_last if args.channels_last else torch.contiguous_format
    model = model.to(memory_format=form)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01, fused=True)
    run = torch.compile(model) if args.compile else model
    batches = [torch.randn(rows, 3, args.size, args.size).to(memory_format=form) for _ in range(2)]
    labels = torch.arange(rows) % 10
    half = torch.autocast("cpu", torch.bfloat16) if args.precision == "bf16" else contextlib.nullcontext()
    times = []
    for step in range(args.warmup + args.steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        with half:
            loss = torch.nn.functional.cross_entropy(run(batches[step % 2]), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        if step >= args.warmup:
            times.append((time.perf_counter() - start) * 1e3)
    print(json.dumps({
        "workload": args.model,
        "ms_per_step_median": statistics.median(times),
        "ms_per_step_min": min(times),
        "tokens_per_s": rows * 1e3 / statistics.mean(times),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "torch": torch.__version__,
        "timm": timm.__version__,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
