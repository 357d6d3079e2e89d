"""Kills runs with SIGKILL at random moments, lets them go on, and compares the weights with those of a run that was
never stopped.

    python bench/kill.py --retune target/release/retune --model golden/bert-tiny --model golden/roberta-tiny

Each model gets its share of the kills: a run is started, killed after a random time and taken up with
`retune train --resume`, again and again until it is through; then the next run begins. Counted are kills, finished
runs, runs whose SHA-256 of model.safetensors differs, and saved states that could not be read.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retune", type=Path, required=True, help="the program")
    parser.add_argument("--model", action="append", required=True, help="a checkpoint folder or name; repeatable")
    parser.add_argument("--data", type=Path, default=ROOT / "data/movie-sentences.csv")
    parser.add_argument("--kills", type=int, default=50, help="over all models")
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--every", type=int, default=20, help="optimiser steps between saved states")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def start(args: argparse.Namespace, model: str, out: Path) -> list[str]:
    """The command of a run from the beginning."""
    words = [args.retune.resolve(), "train", args.data, "--model", model, "--out", out, "--epochs", args.epochs,
             "--checkpoint-every", args.every, "--verdict", "off", "--threads", args.threads, "--json"]  # fmt: skip
    return [str(word) for word in words]


def weights(out: Path) -> str:
    """SHA-256 of the weights, as the finished run has it."""
    return json.loads((out / "bundle.json").read_text())["files"]["model.safetensors"]


def whole(args: argparse.Namespace, model: str, folder: Path) -> tuple[str, float]:
    """Weights and seconds of a run that nobody stops."""
    began = time.monotonic()
    subprocess.run(start(args, model, folder / "whole"), check=True, capture_output=True)
    return weights(folder / "whole"), time.monotonic() - began


def killed(command: list[str], after: float | None) -> tuple[bool, str]:
    """Whether the command was killed before its end, and what it said."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, said = child.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        child.kill()
        _, said = child.communicate()
        return True, said
    if child.returncode:
        raise SystemExit(f"exit code {child.returncode}: {said}")
    return False, said


def main() -> None:
    """Kill, go on, compare."""
    args = arguments()
    chance = random.Random(args.seed)
    found = []
    for model in args.model:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            wanted, seconds = whole(args, model, folder)
            kills = finished = different = unreadable = early = 0
            share = args.kills // len(args.model)
            while kills < share:
                out = folder / "run"
                shutil.rmtree(out, ignore_errors=True)
                command = start(args, model, out)
                while True:
                    # Short times hit start-up and the first states, long ones the last steps and the saving.
                    stopped, said = killed(command, chance.uniform(0.02, 0.6 * seconds) if kills < share else None)
                    unreadable += said.count("is left out")
                    if not stopped:
                        break
                    kills += 1
                    if (out / "bundle.json").is_file():
                        break  # Killed after the whole bundle was in its place.
                    begun = (out / "started.json").is_file()
                    early += not begun
                    if begun:
                        command = [str(args.retune.resolve()), "train", "--resume", str(out), "--json"]
                finished += 1
                different += weights(out) != wanted
            found.append({"model": Path(model).name, "seconds": round(seconds, 1), "kills": kills,
                          "before the folder was there": early, "finished": finished, "other weights": different,
                          "unreadable states": unreadable})  # fmt: skip
            print(found[-1], file=sys.stderr, flush=True)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
