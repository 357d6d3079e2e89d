#!/usr/bin/env python3
"""Training steps of an ensemble of networks over a table in plain PyTorch: the peer of `--model tabular`.

    python bench/peers/tabm.py adult.csv --label income --dtype bf16
    python bench/peers/tabm.py --inputs 219 --fold --compile

The model is retune's, which is TabM-mini (Gorishniy et al., arXiv:2410.24210) over piecewise-linear numbers
(arXiv:2203.05556): each of 16 members scales the inputs by numbers of its own, all go through the same two layers of 128
with ReLU and dropout 0.1, and each has an output layer of its own. The loss is the mean of all members' cross-entropies; a
step is zero_grad, forward, backward, clipping at 1, fused AdamW with weight decay 0.01 and an average of the weights with
decay 0.98 (`--average 0` for none), as retune takes it.

A number of the file becomes the steps between its distinct quantiles (33 of them) and a flag for what is missing, a word
the flag of its place among the 64 most frequent ones that occur twice, or that of all others, or of a missing one. They are
made once, before the first step and in a process of its own, from `--share` of the rows drawn at random, which then train;
retune makes those of a batch when the batch comes. Without a file, rows are made up and have `--inputs` numbers.

What may make it faster: `--dtype bf16` (CPU autocast, f32 weights), `--compile`, and `--fold`, which multiplies the members'
scales into the first layer's weights rather than into the rows: one product of `members * width` outputs, no gradient of
the inputs, and no copy of the inputs for each member.

Stdout gets one line of JSON. `wait_ms_per_step_median` is the gathering of a batch's rows. Peak memory is that of the process,
data and libraries included; `mapped_files_mb` says how much of it is pages of mapped files. MB are 10^6 bytes.
"""

import argparse
import contextlib
import csv
import json
import os
import platform
import statistics
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from process import compiles, mapped_mb, peak_mb

STEPS = 32  # between quantiles of a number
WORDS = 64  # of a column that have a flag of their own
FEWEST_ROWS = 2  # of a word that has one
MISSING = {"", "nan", "na", "n/a", "null", "none", "-", "?"}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="CSV file with a header; made-up rows when left out")
    parser.add_argument("--label", help="column of classes; default: the last one")
    parser.add_argument("--ignore", nargs="*", default=[], help="columns to leave out")
    parser.add_argument("--share", type=float, default=0.6, help="of the file's rows that train")
    parser.add_argument("--inputs", type=int, default=219, help="numbers of a made-up row")
    parser.add_argument("--classes", type=int, default=2, help="of made-up rows")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="bf16: CPU autocast, f32 weights")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--fold", action="store_true", help="scale the first layer's weights, not the rows")
    parser.add_argument("--rows", type=int, default=512, help="per step")
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--average", type=float, default=0.98, help="decay of the average of the weights; 0 for none")
    parser.add_argument("--steps", type=int, default=200, help="timed")
    parser.add_argument("--warmup", type=int, default=20, help="steps before them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=17)
    return parser.parse_args()


def number(text: str) -> float | None:
    """The number that a cell holds, NaN where it is missing, None where it holds something else."""
    if text.strip().lower() in MISSING:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        return None


def steps_of(values: np.ndarray) -> np.ndarray:
    """Piecewise-linear steps of a number and a flag for a missing one, `[rows, steps + 1]`."""
    known = np.sort(values[np.isfinite(values)])
    if not len(known):
        return np.stack([np.zeros(len(values)), np.isnan(values)], 1).astype(np.float32)
    edges = np.unique(known[(len(known) - 1) * np.arange(STEPS + 1) // STEPS])
    missing = np.isnan(values)[:, None]
    if len(edges) < 2:
        steps = (values > edges[0])[:, None]
    else:
        steps = (values[:, None] - edges[:-1]) / np.diff(edges)
        low, high = np.zeros(len(edges) - 1), np.ones(len(edges) - 1)
        low[0], high[-1] = -1, 2
        steps = np.clip(steps, low, high)
    return np.concatenate([np.where(missing, 0, steps), missing], 1).astype(np.float32)


def flags_of(texts: list[str]) -> np.ndarray:
    """Flags of words, of all others and of a missing one, `[rows, words + 2]`."""
    counts = Counter(text for text in texts if text)
    found = sorted((word for word in counts if counts[word] >= FEWEST_ROWS), key=lambda word: (-counts[word], word))
    place = {word: at for at, word in enumerate(found[:WORDS])}
    flags = np.zeros((len(texts), len(place) + 2), dtype=np.float32)
    at = [place.get(text, len(place)) if text else len(place) + 1 for text in texts]
    flags[np.arange(len(texts)), at] = 1
    return flags


def table(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Inputs `[rows, inputs]` and classes `[rows]`."""
    source = np.random.default_rng(args.seed)
    if not args.data:
        rows = 16 * args.rows
        return source.random((rows, args.inputs), dtype=np.float32), source.integers(args.classes, size=rows)
    with args.data.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        header = next(lines)
        rows = [line for line in lines if line]
    label = args.label or header[-1]
    strangers = [name for name in [label, *args.ignore] if name not in header]
    if strangers:
        sys.exit(f"{args.data} has no column `{strangers[0]}`; its columns are {', '.join(header)}")
    rows = [rows[at] for at in source.permutation(len(rows))[: int(args.share * len(rows))]]
    columns = dict(zip(header, zip(*rows)))
    parts = []
    for name, texts in columns.items():
        if name == label or name in args.ignore:
            continue
        numbers = [number(text) for text in texts]
        if None in numbers:
            parts.append(flags_of([text.strip() for text in texts]))
        else:
            parts.append(steps_of(np.array(numbers)))
    classes = {name: at for at, name in enumerate(sorted(set(columns[label])))}
    return np.concatenate(parts, 1), np.array([classes[name] for name in columns[label]])


def made(args: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, made by a process of its own, whose text does not count as memory of this one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        x, y = pool.submit(table, args).result()
    return torch.from_numpy(x), torch.from_numpy(y)


class Members(nn.Module):
    """From inputs `[rows, inputs]` to the logits of each member, `[rows, members, classes]`."""

    def __init__(self, args: argparse.Namespace, inputs: int, classes: int) -> None:
        super().__init__()
        self.fold = args.fold
        self.scales = nn.Parameter(torch.randn(args.members, inputs))
        widths = [inputs] + [args.width] * args.layers
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.dropout = nn.Dropout(args.dropout)
        self.out = nn.Parameter(torch.randn(args.members, args.width, classes) * args.width**-0.5)
        self.bias = nn.Parameter(torch.zeros(args.members, classes))
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=args.width**-0.5)
            nn.init.zeros_(layer.bias)

    def first(self, x: torch.Tensor) -> torch.Tensor:
        """The first layer before its activation, `[rows, members, width]`."""
        layer, members = self.layers[0], len(self.scales)
        if not self.fold:
            return layer(x[:, None] * self.scales)
        weight = (self.scales[:, None] * layer.weight).flatten(0, 1)  # [members * width, inputs]
        return F.linear(x, weight, layer.bias.repeat(members)).unflatten(1, (members, -1))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x = self.dropout(self.first(x).relu())
        for layer in self.layers[1:]:
            x = self.dropout(layer(x).relu())
        said = (x.transpose(0, 1) @ self.out).transpose(0, 1) + self.bias
        return F.cross_entropy(said.flatten(0, 1).float(), y.repeat_interleave(said.shape[1]))


def plan(rows: int, args: argparse.Namespace, source: np.random.Generator) -> list[torch.Tensor]:
    """The rows of full batches, epoch after epoch."""
    if rows < args.rows:
        sys.exit(f"there are {rows} rows to train on, fewer than a step takes; give --rows {rows} or less")
    batches: list[torch.Tensor] = []
    while len(batches) < args.warmup + args.steps:
        order = torch.from_numpy(source.permutation(rows)[: rows // args.rows * args.rows])
        batches += order.split(args.rows)
    return batches[: args.warmup + args.steps]


def measure(args: argparse.Namespace) -> dict:
    """Warm up, run the steps, return what they took."""
    source = np.random.default_rng(args.seed)
    x, y = made(args)
    classes = int(y.max()) + 1
    model = Members(args, x.shape[1], classes).train()
    weights = list(model.parameters())
    average = [weight.detach().clone() for weight in weights]
    optimizer = torch.optim.AdamW(weights, lr=args.lr, weight_decay=0.01, fused=True)
    run = torch.compile(model) if args.compile else model
    half = torch.autocast("cpu", torch.bfloat16) if args.dtype == "bf16" else contextlib.nullcontext()
    before, graphs = peak_mb(), 0
    seconds, waits, losses = [], [], []
    for step, rows in enumerate(plan(len(x), args, source)):
        if step == args.warmup and args.compile:
            graphs = compiles()
        asked = time.perf_counter()
        batch = x[rows], y[rows]
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with half:
            loss = run(*batch)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if args.average:
            with torch.no_grad():
                torch._foreach_lerp_(average, weights, 1 - args.average)
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
        waits.append(start - asked)
    seconds, waits = seconds[args.warmup :], waits[args.warmup :]
    return {
        "ms_per_step_median": round(1000 * statistics.median(seconds), 3),
        "ms_per_step_mean": round(1000 * statistics.fmean(seconds), 3),
        "ms_per_step_min": round(1000 * min(seconds), 3),
        "wait_ms_per_step_median": round(1000 * statistics.median(waits), 3),
        "rows_per_s": round(args.rows * args.steps / (sum(seconds) + sum(waits)), 1),
        "peak_rss_mb": peak_mb(),
        "peak_rss_before_steps_mb": before,
        "mapped_files_mb": mapped_mb(),
        "first_loss": round(losses[0], 4),
        "last_loss": round(losses[-1], 4),
        "inputs": x.shape[1],
        "classes": classes,
        "training_rows": len(x),
        "parameters": sum(weight.numel() for weight in weights),
        "compiles_in_timed_steps": compiles() - graphs if args.compile else 0,
    }


def main() -> None:
    """Measure and print one line."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    setting = {
        "workload": "table" + ("-fold" if args.fold else ""),
        "isa": torch.backends.cpu.get_cpu_capability(),
        "precision": args.dtype + ("+compile" if args.compile else ""),
        "keeps_pages": "GLIBC_TUNABLES" in os.environ,
        "threads": torch.get_num_threads(),
        "steps": args.steps,
        "rows": args.rows,
        "members": args.members,
        "width": args.width,
        "layers": args.layers,
    }
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    print(json.dumps(setting | measure(args) | {"versions": versions}))


if __name__ == "__main__":
    main()
