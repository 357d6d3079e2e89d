#!/usr/bin/env python3
"""What the steps of a recommender's run took, from its events: retune's row beside `sasrec.py` and `recbole_sasrec.py`.

    python bench/peers/retune_epoch.py FOLDER

FOLDER is that of `retune train`; its `events.jsonl` has a line for each step, with the wall time of forward, backward and
Adam (`ms`) and of waiting for the batch before it (`wait_ms`). Validation is not in it, as it is not in the peers' rows.
Stdout gets one line of JSON for each training of the run, with the field names of the peers. The median, the mean and
`users_per_s` are of full steps after the first three; the last, smaller step of an epoch is left out. `epoch_s` is the sum
of all steps of an epoch, the median of the whole epochs that ran; where none did, it is extrapolated from `users_per_s`.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the run")
    parser.add_argument("--users", type=int, default=128, help="per step")
    parser.add_argument("--all-users", type=int, default=6040, help="of an epoch")
    parser.add_argument("--warmup", type=int, default=3, help="first steps left out")
    return parser.parse_args()


def trainings(path: Path) -> list[list[dict]]:
    """The steps of each training: their numbers begin anew with each."""
    found: list[list[dict]] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            event = json.loads(line)
            if event.get("event") != "step":
                continue
            if not found or event["step"] <= found[-1][-1]["step"]:
                found.append([])
            found[-1].append(event)
    return found


def epochs(steps: list[dict], per_epoch: int, fields: tuple[str, ...]) -> list[float]:
    """Sum of the fields over each whole epoch, in ms."""
    sums: dict[int, list[float]] = {}
    for step in steps:
        value = sum(step.get(field, 0.0) for field in fields)
        sums.setdefault((step["step"] - 1) // per_epoch, []).append(value)
    return [sum(values) for values in sums.values() if len(values) == per_epoch]


def row(steps: list[dict], args: argparse.Namespace) -> dict:
    """The figures of one training."""
    per_epoch = round(steps[0]["step"] / steps[0]["epoch"])
    smaller = args.all_users % args.users > 0
    if per_epoch != -(-args.all_users // args.users):
        sys.exit(f"an epoch of this run has {per_epoch} steps, which {args.all_users} users in steps of {args.users} do not "
                 "make; give the run's own with --users and --all-users")  # fmt: skip
    full = [step for step in steps if not (smaller and step["step"] % per_epoch == 0)][args.warmup :]
    if not full:
        sys.exit(f"the run has {len(steps)} steps, expected more than {args.warmup}; train longer or give --warmup 0")
    ms, waits = [step["ms"] for step in full], [step.get("wait_ms", 0.0) for step in full]
    per_user, waited = statistics.fmean(ms) / args.users, statistics.fmean(waits) / args.users
    alone, with_waits = epochs(steps, per_epoch, ("ms",)), epochs(steps, per_epoch, ("ms", "wait_ms"))
    epoch = statistics.median(alone) if alone else args.all_users * per_user
    epoch_with_waits = statistics.median(with_waits) if with_waits else args.all_users * (per_user + waited)
    return {
        "workload": "recommender-retune",
        "ms_per_step_median": round(statistics.median(ms), 2),
        "ms_per_step_mean": round(statistics.fmean(ms), 2),
        "ms_per_step_min": round(min(ms), 2),
        "wait_ms_per_step_median": round(statistics.median(waits), 2),
        "users_per_s": round(1000 / per_user, 2),
        "epoch_s": round(epoch / 1000, 2),
        "epoch_with_waits_s": round(epoch_with_waits / 1000, 2),
        "first_loss": round(steps[0]["loss"], 4),
        "last_loss": round(steps[-1]["loss"], 4),
        "steps": len(full),
        "whole_epochs": len(alone),
        "users": args.users,
        "all_users": args.all_users,
        "events_per_s": round(1000 * sum(step["tokens"] for step in full) / sum(ms), 1),
        "events_per_step": round(statistics.fmean(step["tokens"] for step in full), 1),
    }


def main() -> None:
    """Print a line for each training."""
    args = arguments()
    path = args.folder / "events.jsonl"
    if not path.is_file():
        sys.exit(f"{path} is not there; give the folder of a run of `retune train`")
    found = trainings(path)
    if not found:
        sys.exit(f"{path} has no steps; give the folder of a run of `retune train` that has begun to train")
    for steps in found:
        print(json.dumps(row(steps, args)))


if __name__ == "__main__":
    main()
