#!/usr/bin/env python3
"""Training steps of RecBole's own SASRec: a peer of `retune train` without item texts.

    python3 -m venv recbole && . recbole/bin/activate
    pip install torch==2.15.0 numpy==1.26.4 scipy==1.13.1 pandas==2.2.3 ray==2.6.3 scikit-learn==1.5.2 "setuptools<81"
    pip install colorlog==4.7.2 colorama==0.4.4 pyyaml tensorboard tabulate plotly texttable psutil tqdm
    pip install --no-deps recbole==1.2.1 thop
    python bench/peers/recbole_sasrec.py ml-1m/ml-1m.inter --batch 2048 --steps 20

RecBole 1.2.1 needs NumPy 1 and pandas 2, hence an environment of its own. FILE is an atomic file of RecBole with user,
item and timestamp, in a folder of its name.

Data, model and loop are RecBole's: leave-one-out (all but the last two events of each user are learned from), users with
5 events or more, two layers of 64 with two heads and 256 inside, histories up to 200, cross-entropy over all items, Adam
with rate 0.001. It makes a row of every event but the first of a user, padded to 200, and trains one target a row, so a
pass over all users takes as many rows as there are targets. These include those before a user's last 201 events, which
retune and `sasrec.py` leave out: compare `rows_per_s` with their `events_per_s` too.

`--steps` steps are measured. `epoch_s` is extrapolated from them, rows of an epoch over rows per second, and `users_per_s`
is all users over `epoch_s`. `epoch_with_waits_s` has what the data loader takes as well (`wait_ms_per_step_median`). Peak
memory is that of the process, data as RecBole lays it out and libraries (`mapped_files_mb`) included; MB are 10^6 bytes.
`--dtype bf16` is RecBole's `enable_amp`. Stdout gets one line of JSON.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from process import mapped_mb, peak_mb


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="NAME/NAME.inter")
    parser.add_argument("--batch", type=int, default=2048, help="rows per step, RecBole's train_batch_size")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="bf16: RecBole's enable_amp")
    parser.add_argument("--length", type=int, default=200, help="events of a history at most")
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--steps", type=int, default=20, help="timed")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()
    args.data = args.data.resolve()
    if args.data.name != f"{args.data.parent.name}.inter":
        parser.error(f"RecBole reads NAME/NAME.inter, and got {args.data}; rename the folder or the file")
    return args


def settings(args: argparse.Namespace) -> dict:
    """What differs from RecBole's defaults."""
    return {
        "data_path": str(args.data.parent.parent),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "user_inter_num_interval": "[5,inf)",
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "MAX_ITEM_LIST_LENGTH": args.length,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_size": 64,
        "inner_size": 256,
        "hidden_dropout_prob": args.dropout,
        "attn_dropout_prob": args.dropout,
        "loss_type": "CE",
        "train_neg_sample_args": None,
        "train_batch_size": args.batch,
        "enable_amp": args.dtype == "bf16",
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
        "seed": args.seed,
    }


class Stopwatch:
    """The batches of a data loader, so many full ones, and what each and its step took in seconds."""

    def __init__(self, loader, count: int, batch: int) -> None:
        self.loader, self.count, self.batch = loader, count, batch
        self.waits: list[float] = []
        self.steps: list[float] = []

    def __iter__(self):
        while True:
            asked = time.perf_counter()
            for rows in self.loader:
                start = time.perf_counter()
                if len(rows) == self.batch:
                    self.waits.append(start - asked)
                    yield rows
                    self.steps.append(time.perf_counter() - start)
                    if len(self.steps) == self.count:
                        return
                asked = time.perf_counter()


def measure(args: argparse.Namespace) -> dict:
    """Let RecBole read the data and train for so many steps; return what they took."""
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    sys.argv = sys.argv[:1]  # RecBole reads it too
    config = Config(model="SASRec", dataset=args.data.parent.name, config_dict=settings(args))
    torch.set_num_threads(args.threads)
    init_seed(config["seed"], config["reproducibility"])
    started = time.perf_counter()
    dataset = create_dataset(config)
    loader, _, _ = data_preparation(config, dataset)
    prepared = time.perf_counter() - started
    rows, users = loader.sample_size, dataset.user_num - 1
    if rows < args.batch:
        sys.exit(f"the file makes {rows} rows to learn from, fewer than a step takes; give --batch {rows} or less")
    model = get_model("SASRec")(config, loader.dataset)
    trainer = get_trainer(config["MODEL_TYPE"], "SASRec")(config, model)
    losses: list[torch.Tensor] = []

    def loss_of(batch) -> torch.Tensor:
        loss = model.calculate_loss(batch)
        losses.append(loss.detach())
        return loss

    before = peak_mb()
    watch = Stopwatch(loader, args.warmup + args.steps, args.batch)
    trainer._train_epoch(watch, 0, loss_func=loss_of)
    seconds, waits = watch.steps[args.warmup :], watch.waits[args.warmup :]
    epoch = rows * statistics.fmean(seconds) / args.batch
    return {
        "ms_per_step_median": round(1000 * statistics.median(seconds), 2),
        "ms_per_step_mean": round(1000 * statistics.fmean(seconds), 2),
        "ms_per_step_min": round(1000 * min(seconds), 2),
        "wait_ms_per_step_median": round(1000 * statistics.median(waits), 2),
        "rows_per_s": round(args.batch / statistics.fmean(seconds), 1),
        "users_per_s": round(users / epoch, 2),
        "epoch_s": round(epoch, 2),
        "epoch_with_waits_s": round(epoch + rows * statistics.fmean(waits) / args.batch, 2),
        "prepare_s": round(prepared, 2),
        "peak_rss_mb": peak_mb(),
        "peak_rss_before_steps_mb": before,
        "mapped_files_mb": mapped_mb(),
        "first_loss": round(float(losses[0]), 4),
        "last_loss": round(float(losses[-1]), 4),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "all_users": users,
        "items": dataset.item_num - 1,
        "rows_per_epoch": rows,
        "rows_per_user": round(rows / users, 2),
    }


def main() -> None:
    """Measure and print one line."""
    args = arguments()
    warnings.simplefilter("ignore")
    setting = {
        "workload": "recommender-recbole-sasrec",
        "isa": torch.backends.cpu.get_cpu_capability(),
        "precision": args.dtype,
        "keeps_pages": "GLIBC_TUNABLES" in os.environ,
        "threads": args.threads,
        "steps": args.steps,
        "batch": args.batch,
    }
    # RecBole writes logs and folders where it runs.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        result = measure(args)
        os.chdir("/")
    import recbole

    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "recbole": recbole.__version__,
    }
    print(json.dumps(setting | result | {"versions": versions}))


if __name__ == "__main__":
    main()
