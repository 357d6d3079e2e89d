#!/usr/bin/env python3
"""Fine-tune a text classifier with transformers' Trainer: the peer of `retune train`.

Its usual loop (dynamic padding, AdamW, linear schedule with warm-up, clipping at 1), with
the hyper-parameters that retune uses. The best epoch by validation accuracy is restored
and measured on the test file. Progress goes to stderr; stdout gets one JSON line.

    python bench/peers/text_classification.py --model FOLDER \\
        --train movie/train.csv --valid movie/valid.csv --test movie/test.csv --epochs 3

To compare loss curves step by step, let both programs start from equal weights (the new
head is random), read the rows in file order and leave dropout out:

    ... --order file --dropout 0 --max-steps 200 --save-start START --loss-log losses.json
"""

import argparse
import contextlib
import csv
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import sklearn.metrics
import torch
import transformers as tf

DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "dropout",
    "attention_dropout",
    "seq_classif_dropout",
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="local folder of the checkpoint")
    for name in ("train", "valid", "test"):
        parser.add_argument(f"--{name}", required=True, type=Path, help="CSV file")
    parser.add_argument("--text", nargs="+", default=["text"], help="one column, or two")
    parser.add_argument("--label", default="label")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--warmup-share", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--max-length", type=int, default=256, help="tokens")
    parser.add_argument("--dropout", type=float, help="every rate; default: the checkpoint's")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--attention", choices=["eager", "sdpa"], help="default: transformers' choice")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--order", choices=["shuffled", "file"], default="shuffled")
    parser.add_argument("--max-steps", type=int, default=-1, help="also shortens the schedule")
    parser.add_argument("--group-by-length", action="store_true")
    parser.add_argument("--loss-log", type=Path, help="write the loss of each step as JSON")
    parser.add_argument("--predictions", type=Path, help="write the answer to each test row as JSON")
    parser.add_argument("--save-start", type=Path, help="write the model before the first step")
    parser.add_argument("--save", type=Path, help="write the best model and its tokenizer")
    return parser.parse_args()


def read(path: Path, args: argparse.Namespace) -> tuple[list[tuple[str, ...]], list[str]]:
    """Texts (one or two per row) and labels of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    return [tuple(row[c] for c in args.text) for row in rows], [row[args.label] for row in rows]


def load(args: argparse.Namespace, names: list[str]) -> tuple:
    """Tokenizer and model; a head of the checkpoint is kept where its size fits."""
    tokenizer = tf.AutoTokenizer.from_pretrained(args.model)
    config = tf.AutoConfig.from_pretrained(args.model)
    if sorted(config.id2label.values()) != names:
        config.id2label = dict(enumerate(names))
        config.label2id = {name: i for i, name in enumerate(names)}
    if args.dropout is not None:
        for field in DROPOUTS:
            if hasattr(config, field):
                setattr(config, field, args.dropout)
    tf.set_seed(args.seed)
    model = tf.AutoModelForSequenceClassification.from_pretrained(
        args.model,
        config=config,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        attn_implementation=args.attention,
    )
    if args.save_start:
        model.save_pretrained(args.save_start)
        tokenizer.save_pretrained(args.save_start)
    return tokenizer, model


def encode(tokenizer, texts: list, labels: list[str], label2id: dict, limit: int) -> list[dict]:
    """Token ids without padding: the collator pads each batch to its longest row."""
    columns = [list(column) for column in zip(*texts, strict=True)]
    encoded = tokenizer(*columns, truncation=True, max_length=limit, padding=False)
    return [
        {name: values[i] for name, values in encoded.items()} | {"labels": label2id[label]}
        for i, label in enumerate(labels)
    ]


class Recorder(tf.Trainer):
    """The Trainer, with the loss and the time of each step kept."""

    def __init__(self, **options):
        super().__init__(**options)
        self.losses: list[torch.Tensor] = []
        self.clock = Clock()
        self.add_callback(self.clock)

    def training_step(self, *inputs, **options):
        loss = super().training_step(*inputs, **options)
        self.losses.append(loss.detach())
        return loss


class Clock(tf.TrainerCallback):
    """Milliseconds from the start of a step to its end, the optimizer included."""

    def __init__(self):
        self.start = 0.0
        self.steps: list[float] = []

    def on_step_begin(self, *_, **__):
        self.start = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.steps.append(1000 * (time.perf_counter() - self.start))


def accuracy(prediction: tf.EvalPrediction) -> dict[str, float]:
    """What chooses the best epoch."""
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def options(args: argparse.Namespace, folder: str) -> tf.TrainingArguments:
    """The Trainer's settings; what is not named here has its default value."""
    sampling = {"file": "sequential", "shuffled": "random"}[args.order]
    return tf.TrainingArguments(
        output_dir=folder,
        num_train_epochs=args.epochs,
        max_steps=args.max_steps,
        per_device_train_batch_size=args.batch_size,
        per_device_eval_batch_size=64,
        learning_rate=args.lr,
        weight_decay=args.weight_decay,
        warmup_steps=args.warmup_share if args.warmup_share < 1 else 0,
        lr_scheduler_type="linear",
        adam_beta1=0.9,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
        max_grad_norm=1.0,
        train_sampling_strategy="group_by_length" if args.group_by_length else sampling,
        bf16=args.precision == "bf16",
        torch_compile=args.compile,
        use_cpu=True,
        seed=args.seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        greater_is_better=True,
        report_to="none",
    )


def main() -> None:
    """Train, restore the best epoch, measure on the test file, print one line."""
    args = arguments()
    if not 0 <= args.warmup_share < 1:
        sys.exit(f"--warmup-share is {args.warmup_share}, expected at least 0 and below 1")
    torch.set_num_threads(args.threads)
    files = {name: read(getattr(args, name), args) for name in ("train", "valid", "test")}
    tokenizer, model = load(args, sorted(set(files["train"][1])))
    label2id = model.config.label2id
    data = {
        name: encode(tokenizer, texts, labels, label2id, args.max_length)
        for name, (texts, labels) in files.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        trainer = Recorder(
            model=model,
            args=options(args, folder),
            train_dataset=data["train"],
            eval_dataset=data["valid"],
            data_collator=tf.DataCollatorWithPadding(tokenizer),
            compute_metrics=accuracy,
        )
        # The Trainer prints its log to stdout, which is for the result.
        with contextlib.redirect_stdout(sys.stderr):
            start = time.perf_counter()
            trainer.train()
            seconds = time.perf_counter() - start
            prediction = trainer.predict(data["test"])
            if args.save:
                trainer.save_model(args.save)
                tokenizer.save_pretrained(args.save)
    answer, truth = prediction.predictions.argmax(-1), prediction.label_ids
    losses = [loss.item() for loss in trainer.losses]
    if args.loss_log:
        args.loss_log.write_text(json.dumps(losses) + "\n")
    if args.predictions:
        names = [model.config.id2label[int(i)] for i in answer]
        args.predictions.write_text(json.dumps(names) + "\n")
    steps = trainer.clock.steps
    result = {
        "test_accuracy": float(np.mean(answer == truth)),
        "f1_macro": float(sklearn.metrics.f1_score(truth, answer, average="macro")),
        "best_valid_accuracy": trainer.state.best_metric,
        "train_seconds": round(seconds, 2),
        "steps": len(steps),
        "step_seconds": round(sum(steps) / 1000, 2),
        "median_step_ms": round(statistics.median(steps), 2),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "settings": {name: getattr(args, name) for name in ("seed", "precision", "threads")},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": tf.__version__,
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
