#!/usr/bin/env python3
"""Training steps of a sequential recommender in plain PyTorch: the peer of `retune train` without item texts.

    python bench/peers/sasrec.py ml-1m.inter --dtype bf16 --steps 47
    python bench/peers/sasrec.py ml-1m.inter --dtype bf16 --sorted --loss chunked
    python bench/peers/sasrec.py ml-1m.inter --variant sasrec

The file is tab separated with the header of RecBole's atomic files: user, item, rating, timestamp. A user's events are in
the order of their times, ties in that of the file; users with fewer than 5 are left out, and what is learned from is all
but the last two events of each. A step takes 128 users, the last 201 events of each: 200 go in, and the item after each is
asked for against all items that occur (softmax cross-entropy, mean over events), then Adam with rate 0.001.

`--variant retune` is the same model as retune's: a vector of 64 for each item, places counted from the end, two layers of
two heads with norms before their parts, SwiGLU of 256 inside and sigmoid valves before the residual sums, dropout 0.2, a
norm, dot products. `--variant sasrec` has the layers of SASRec (Kang & McAuley, arXiv:1808.09781): a norm of the queries
alone, ReLU inside, no valves. Its feed-forward part is as wide as the other's; the paper's is as wide as the vectors
(`--inner 64`).

Histories are padded on the right to the longest of the batch, so that `is_causal` is all the mask they need, and the loss
takes the events that exist alone. What may make it faster: `--sorted` batches users of like length, `--compile`,
`--dtype bf16` (autocast), `--attention eager` (SDPA has no fast CPU path with dropout), `--attention-dropout 0` (then it
has one; another model), `--loss chunked` (PyTorch's own, which keeps no matrix of all scores), and an allocator that keeps
its pages (GLIBC_TUNABLES, see README.md).

Stdout gets one line of JSON. A step is zero_grad, forward, backward and Adam; `wait_ms_per_step_median` is the making of its
batch, as in retune's events. The last, smaller batch of an epoch is left out. `epoch_s` is the time of the steps of one
pass over all users at the rate that was measured, `epoch_with_waits_s` has the making of the batches as well. Peak memory
is that of the process, data and libraries included: builds with CUDA map some hundred MB more than those without, and
`mapped_files_mb` says how much. MB are 10^6 bytes. With `--loss chunked` and bf16 the loss is printed as bf16 has it.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import time
from array import array
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from process import compiles, mapped_mb, peak_mb

FEWEST_EVENTS = 5  # of a user who counts
HELD_OUT = 2  # the last events of each user: validation and test
EPS = 1e-6


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="file of events, tab separated")
    parser.add_argument("--variant", choices=["retune", "sasrec"], default="retune")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="bf16: CPU autocast, f32 weights")
    parser.add_argument("--compile", action="store_true", help="torch.compile, dynamic with --sorted")
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa")
    parser.add_argument("--loss", choices=["plain", "chunked"], default="plain",
                        help="chunked: linear_cross_entropy with options")  # fmt: skip
    parser.add_argument("--sorted", action="store_true", help="batches of users with histories of like length")
    parser.add_argument("--users", type=int, default=128, help="per step")
    parser.add_argument("--length", type=int, default=200, help="events of a history at most")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--inner", type=int, default=256)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--attention-dropout", type=float, help="default: that of --dropout")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, default=47, help="timed")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()
    if args.width % args.heads:
        parser.error(f"a width of {args.width} cannot be shared by {args.heads} heads; choose another --heads")
    if args.attention_dropout is None:
        args.attention_dropout = args.dropout
    return args


def histories(path: Path) -> tuple[list[np.ndarray], int, int]:
    """What each user took, oldest first and without the held-out events; the items that occur there; all items.

    Items that occur have the lowest numbers.
    """
    users, items, rows = {}, {}, (array("i"), array("i"), array("q"))
    with path.open(encoding="utf-8") as file:
        next(file)
        for line in file:
            user, item, _, moment = line.rstrip("\n").split("\t")
            rows[0].append(users.setdefault(user, len(users)))
            rows[1].append(items.setdefault(item, len(items)))
            rows[2].append(int(float(moment)))
    of_user, of_item, moments = (np.asarray(column) for column in rows)
    order = np.lexsort((moments, of_user))  # stable: ties stay as they are in the file
    ends = np.cumsum(np.bincount(of_user, minlength=len(users)))
    each = np.split(of_item[order], ends[:-1])
    each = [taken[:-HELD_OUT] for taken in each if len(taken) >= FEWEST_EVENTS]
    occurs = np.zeros(len(items), dtype=bool)
    occurs[np.concatenate(each)] = True
    number = np.empty(len(items), dtype=np.int64)
    number[np.argsort(~occurs, kind="stable")] = np.arange(len(items))
    return [number[taken] for taken in each], int(occurs.sum()), len(items)


def plan(lengths: np.ndarray, args: argparse.Namespace, count: int, source: np.random.Generator) -> list[np.ndarray]:
    """The users of `count` full batches, epoch after epoch."""
    whole = len(lengths) // args.users * args.users
    if not whole:
        sys.exit(f"the file has {len(lengths)} users with {FEWEST_EVENTS} events or more, fewer than a step takes; "
                 f"give --users {len(lengths)} or less")  # fmt: skip
    batches: list[np.ndarray] = []
    while len(batches) < count:
        order = source.permutation(len(lengths))[:whole]
        if args.sorted:
            order = order[np.argsort(lengths[order], kind="stable")]
        epoch = np.split(order, whole // args.users)
        if args.sorted:
            # The middle of equal stretches: a part of an epoch sees short and long histories alike.
            take = min(count - len(batches), len(epoch))
            epoch = [epoch[(2 * i + 1) * len(epoch) // (2 * take)] for i in range(take)]
            source.shuffle(epoch)
        batches += epoch
    return batches[:count]


def batch_of(taken: list[np.ndarray], most: int) -> dict[str, torch.Tensor]:
    """Items and places `[users, longest]`, padded on the right; where events are and what follows them, `[events]`."""
    taken = [items[-most - 1 :] for items in taken]
    longest = max(len(items) for items in taken) - 1
    items, places = np.zeros((2, len(taken), longest), dtype=np.int64)
    for row, one in enumerate(taken):
        events = len(one) - 1
        items[row, :events] = one[:-1]
        places[row, :events] = np.arange(events - 1, -1, -1)
    lengths = np.array([len(one) - 1 for one in taken])
    is_event = np.arange(longest) < lengths[:, None]
    return {
        "items": torch.from_numpy(items),
        "places": torch.from_numpy(places),
        "events": torch.from_numpy(np.flatnonzero(is_event)),
        "following": torch.from_numpy(np.concatenate([one[1:] for one in taken])),
    }


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, args: argparse.Namespace, training: bool) -> torch.Tensor:
    """Causal attention, `[users, events, width]` each."""
    q, k, v = (x.unflatten(-1, (args.heads, -1)).transpose(1, 2) for x in (q, k, v))
    dropout = args.attention_dropout if training else 0.0
    if args.attention == "sdpa":
        context = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
    else:
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        shares = scores.masked_fill(later, -torch.inf).softmax(-1)
        context = F.dropout(shares, dropout, training).to(v.dtype) @ v
    return context.transpose(1, 2).flatten(-2)


class RetuneLayer(nn.Module):
    """Norms before the parts, SwiGLU, valves: `x + sigmoid(V x) * part(norm(x))`."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        self.args = args
        width, inner = args.width, args.inner
        self.attention_norm, self.norm = nn.LayerNorm(width, EPS), nn.LayerNorm(width, EPS)
        self.qkv, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.gate_up, self.down = nn.Linear(width, 2 * inner), nn.Linear(inner, width)
        self.attention_valve, self.valve = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(args.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.attention_norm(x)).chunk(3, -1)
        part = self.output(attend(q, k, v, self.args, self.training))
        x = x + self.attention_valve(x).sigmoid() * self.dropout(part)
        gate, up = self.gate_up(self.norm(x)).chunk(2, -1)
        part = self.down(F.silu(gate) * up)
        return x + self.valve(x).sigmoid() * self.dropout(part)


class SasrecLayer(nn.Module):
    """Attention from normed queries to plain keys, added to the queries; then a ReLU part, added to its normed input."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        self.args = args
        width, inner = args.width, args.inner
        self.attention_norm, self.norm = nn.LayerNorm(width, EPS), nn.LayerNorm(width, EPS)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(args.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        asking = self.attention_norm(x)
        k, v = self.key_value(x).chunk(2, -1)
        x = self.norm(asking + self.output(attend(self.query(asking), k, v, self.args, self.training)))
        return x + self.dropout(self.down(self.dropout(self.up(x)).relu()))


class Recommender(nn.Module):
    """From a batch to its loss."""

    def __init__(self, args: argparse.Namespace, in_play: int, items: int) -> None:
        super().__init__()
        self.in_play = in_play
        self.chunked, self.half = args.loss == "chunked", args.dtype == "bf16"
        self.factor = args.width**0.5 if args.variant == "sasrec" else 1.0
        self.items, self.places = nn.Embedding(items, args.width), nn.Embedding(args.length, args.width)
        layer = {"retune": RetuneLayer, "sasrec": SasrecLayer}[args.variant]
        self.layers = nn.ModuleList(layer(args) for _ in range(args.layers))
        self.norm = nn.LayerNorm(args.width, EPS)
        self.dropout = nn.Dropout(args.dropout)
        for name, weight in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(weight)
            elif weight.dim() == 2:
                nn.init.normal_(weight, std=0.02 if name.startswith("places") else args.width**-0.5)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        known = self.items(batch["items"]) * self.factor + self.places(batch["places"])
        x = self.dropout(known)  # [users, longest, width]
        for layer in self.layers:
            x = layer(x)
        states = self.norm(x).flatten(0, 1)[batch["events"]]  # [events, width]
        table = self.items.weight[: self.in_play]  # [items in play, width]
        if not self.chunked:
            return F.cross_entropy(F.linear(states, table), batch["following"])
        if self.half:
            states, table = states.bfloat16(), table.bfloat16()
        options = torch.nn.LinearCrossEntropyOptions()
        return F.linear_cross_entropy(states, table, batch["following"], options=options)


def measure(args: argparse.Namespace) -> dict:
    """Warm up, run the steps, return what they took."""
    taken, in_play, items = histories(args.data)
    lengths = np.array([min(len(one), args.length + 1) - 1 for one in taken])
    batches = plan(lengths, args, args.warmup + args.steps, np.random.default_rng(args.seed))
    model = Recommender(args, in_play, items).train()
    parameters = sum(weight.numel() for weight in model.parameters())
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, fused=True)
    run = torch.compile(model, dynamic=True if args.sorted else None) if args.compile else model
    half = torch.autocast("cpu", torch.bfloat16) if args.dtype == "bf16" else contextlib.nullcontext()
    before, graphs = peak_mb(), 0
    seconds, waits, losses, events, padded = [], [], [], [], []
    for step, users in enumerate(batches):
        if step == args.warmup and args.compile:
            graphs = compiles()
        asked = time.perf_counter()
        batch = batch_of([taken[user] for user in users], args.length)
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with half:
            loss = run(batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
        waits.append(start - asked)
        events.append(len(batch["events"]))
        padded.append(batch["items"].numel())
    seconds, waits, events, padded = (each[args.warmup :] for each in (seconds, waits, events, padded))
    per_user, waited = sum(seconds) / args.steps / args.users, sum(waits) / args.steps / args.users
    return {
        "ms_per_step_median": round(1000 * statistics.median(seconds), 2),
        "ms_per_step_mean": round(1000 * statistics.fmean(seconds), 2),
        "ms_per_step_min": round(1000 * min(seconds), 2),
        "wait_ms_per_step_median": round(1000 * statistics.median(waits), 2),
        "users_per_s": round(1 / per_user, 2),
        "epoch_s": round(len(taken) * per_user, 2),
        "epoch_with_waits_s": round(len(taken) * (per_user + waited), 2),
        "peak_rss_mb": peak_mb(),
        "peak_rss_before_steps_mb": before,
        "mapped_files_mb": mapped_mb(),
        "first_loss": round(losses[0], 4),
        "last_loss": round(losses[-1], 4),
        "parameters": parameters,
        "all_users": len(taken),
        "items": items,
        "items_in_play": in_play,
        "events_per_s": round(sum(events) / sum(seconds), 1),
        "events_per_step": round(statistics.fmean(events), 1),
        "padded_events_per_step": round(statistics.fmean(padded), 1),
        "compiles_in_timed_steps": compiles() - graphs if args.compile else 0,
    }


def main() -> None:
    """Measure and print one line."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    setting = {
        "workload": f"recommender-{args.variant}" + ("-sorted" if args.sorted else ""),
        "isa": torch.backends.cpu.get_cpu_capability(),
        "precision": args.dtype + ("+compile" if args.compile else ""),
        "attention": args.attention,
        "attention_dropout": args.attention_dropout,
        "loss": args.loss,
        "keeps_pages": "GLIBC_TUNABLES" in os.environ,
        "threads": torch.get_num_threads(),
        "steps": args.steps,
        "users": args.users,
    }
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    print(json.dumps(setting | measure(args) | {"versions": versions}))


if __name__ == "__main__":
    main()
