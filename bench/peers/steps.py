#!/usr/bin/env python3
"""Training steps of a BERT classifier in transformers: the peer of `retune bench`.

A model of random weights with two classes and dropout 0.1; each step is zero_grad, forward,
backward, clipping at 1 and fused AdamW with weight decay 0.01. Batches are ready before the
first step; their making is not timed. Stdout gets one line of JSON with the field names of
`retune bench --json`; what only this program has is `padded_tokens_per_step`,
`cpu_ms_per_step_median` (of all threads) and `compiles_in_timed_steps`. A token is a useful
one: padding is not counted.

    python bench/peers/steps.py --size minilm --precision bf16 --steps 20
    python bench/peers/steps.py --sequences FILE --group-by-length --precision bf16 --compile

FILE holds one sequence per line, token ids separated by blanks. Step i takes the 16 lines from
16*i on (wrapping), padded to the longest of them. With --group-by-length the lines are first
sorted within windows of 50 batches, as the Trainer does; of each window evenly spaced batches
are taken, so that a short run sees short and long ones alike.

Attention is `eager`: at 16 x 128 with dropout and one thread it took as much processor time as
`sdpa` in fp32 (1.92 s a step) and less in bf16 (1.14 against 1.33 s), since SDPA's fast CPU path
knows no dropout. With torch.compile the two were equal.
"""

import argparse
import contextlib
import json
import platform
import random
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
import transformers as tf

MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}
SIZES = {"minilm": MINILM, "base": {}}  # BertConfig's own values are those of BERT-base
WINDOW = 50  # batches that the Trainer sorts together
LORA_RANK = 8


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="minilm")
    parser.add_argument("--method", choices=["full", "lora", "frozen"], default="full",
                        help="lora: PEFT, rank 8, query and value; frozen: the head alone learns")  # fmt: skip
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32",
                        help="bf16: CPU autocast, fp32 weights")  # fmt: skip
    parser.add_argument("--compile", action="store_true", help="torch.compile, dynamic with --sequences")
    parser.add_argument("--attention", choices=["eager", "sdpa"], default="eager")
    parser.add_argument("--sequences", type=Path, help="file of token ids; random ones when left out")
    parser.add_argument("--group-by-length", action="store_true")
    parser.add_argument("--rows", type=int, default=16, help="per batch")
    parser.add_argument("--length", type=int, default=128, help="tokens per row without --sequences")
    parser.add_argument("--steps", type=int, default=20, help="timed")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=17)
    return parser.parse_args()


def build(args: argparse.Namespace) -> torch.nn.Module:
    """The model in training mode, dropout as the configuration has it (0.1)."""
    config = tf.BertConfig(num_labels=2, attn_implementation=args.attention, **SIZES[args.size])
    model = tf.BertForSequenceClassification(config)
    if args.method == "lora":
        import peft

        targets = ["query", "value"]
        lora = peft.LoraConfig(r=LORA_RANK, target_modules=targets, task_type="SEQ_CLS")
        model = peft.get_peft_model(model, lora)
    elif args.method == "frozen":
        model.bert.requires_grad_(False)
    return model.train()


def read(path: Path) -> list[list[int]]:
    """Sequences of token ids, one per line."""
    return [[int(word) for word in line.split()] for line in path.read_text().splitlines()]


def in_file_order(lines: list, rows: int, count: int) -> list[list]:
    """Batches of the lines as they come, from the start again after the last."""
    return [[lines[(rows * i + k) % len(lines)] for k in range(rows)] for i in range(count)]


def by_length(lines: list, rows: int, count: int, seed: int) -> list[list]:
    """Batches of like length: evenly spaced ones of sorted windows, in random order."""
    windows = -(-count // WINDOW)
    batches: list[list] = []
    for window in range(windows):
        span = [lines[(rows * WINDOW * window + k) % len(lines)] for k in range(rows * WINDOW)]
        span.sort(key=len, reverse=True)
        batches += [span[i : i + rows] for i in range(0, len(span), rows)]
    # The middle of `count` equal stretches: neither the longest nor the shortest is favoured.
    taken = [batches[(2 * i + 1) * len(batches) // (2 * count)] for i in range(count)]
    random.Random(seed).shuffle(taken)
    return taken


def pad(batch: list[list[int]]) -> dict[str, torch.Tensor]:
    """Ids, mask and labels, padded with 0 to the longest row."""
    longest = max(len(row) for row in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(batch):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.arange(len(batch)) % 2}


def batches(args: argparse.Namespace, count: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """`count` batches, from the file or of random ids."""
    if not args.sequences:
        source = random.Random(seed)
        return [
            pad([[source.randrange(1000, 30000) for _ in range(args.length)] for _ in range(args.rows)])
            for _ in range(count)
        ]
    lines = read(args.sequences)
    if args.group_by_length:
        return [pad(batch) for batch in by_length(lines, args.rows, count, seed)]
    return [pad(batch) for batch in in_file_order(lines, args.rows, count)]


def stepper(args: argparse.Namespace):
    """A function that does one step on a batch and returns the loss."""
    model = build(args)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-5, weight_decay=0.01, fused=True)
    if args.compile:
        model = torch.compile(model, dynamic=True if args.sequences else None)

    def step(batch: dict[str, torch.Tensor]) -> float:
        optimizer.zero_grad(set_to_none=True)
        half = torch.autocast("cpu", dtype=torch.bfloat16)
        with half if args.precision == "bf16" else contextlib.nullcontext():
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        return loss.item()

    return step


def compiles() -> int:
    """Graphs that torch.compile has made so far."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def measure(args: argparse.Namespace) -> dict:
    """Warm up, run the steps, return what they took."""
    warm, timed = batches(args, args.warmup, args.seed + 1), batches(args, args.steps, args.seed)
    step = stepper(args)
    for batch in warm:
        step(batch)
    graphs = compiles() if args.compile else 0
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    seconds, cpu, losses = [], [], []
    for batch in timed:
        start, used = time.perf_counter(), time.process_time()
        losses.append(step(batch))
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    useful = sum(int(batch["attention_mask"].sum()) for batch in timed)
    padded = sum(batch["input_ids"].numel() for batch in timed)
    return {
        "ms_per_step_median": round(1000 * statistics.median(seconds), 2),
        "ms_per_step_min": round(1000 * min(seconds), 2),
        "ms_per_step_mean": round(1000 * statistics.fmean(seconds), 2),
        "cpu_ms_per_step_median": round(1000 * statistics.median(cpu), 2),
        "tokens_per_step": useful / len(timed),
        "padded_tokens_per_step": padded / len(timed),
        "tokens_per_s": round(useful / sum(seconds), 1),
        # Linux counts in kibibytes, macOS in bytes.
        "peak_rss_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "page_faults_per_step": round((usage.ru_minflt - faults) / len(timed)),
        "compiles_in_timed_steps": compiles() - graphs if args.compile else 0,
        "last_loss": losses[-1],
    }


def main() -> None:
    """Measure and print one line."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    kind = f"-{'grouped' if args.group_by_length else 'ragged'}" if args.sequences else ""
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": tf.__version__,
    }
    if args.method == "lora":
        import peft

        versions["peft"] = peft.__version__
    result = {
        "workload": f"bert-{args.size}-{args.method}{kind}",
        "isa": torch.backends.cpu.get_cpu_capability(),
        "precision": args.precision + ("+compile" if args.compile else ""),
        "attention": args.attention,
        "threads": torch.get_num_threads(),
        "steps": args.steps,
        "rows": args.rows,
    }
    print(json.dumps(result | measure(args) | {"versions": versions}))


if __name__ == "__main__":
    main()
