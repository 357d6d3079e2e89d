#!/usr/bin/env python3
"""Compare a folder written by `retune export --hf` with transformers.

    pip install -r bench/peers/requirements.txt
    python golden/check_export.py FOLDER

The folder holds `parity.json`, written by the export: {"texts": [...], "logits": [[...]]},
a text being a list of one or two strings, or one string; optionally "ids" and "max_length".
The folder is loaded by AutoModelForSequenceClassification and AutoTokenizer alone; each
text is run by itself and once more in one padded batch.

Exit code 1 where a logit differs by more than 1e-4, an answer differs, token ids differ
(where given), a weight is missing or not used, or labels have no names.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
import transformers as tf

TOLERANCE = 1e-4


def load(folder: Path) -> tuple:
    """Model, tokenizer, and what is wrong with the folder itself."""
    names = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("id2label") or {}
    if not names:
        sys.exit(f"{folder}/config.json: id2label is missing")
    model, report = tf.AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    problems = [f"{kind}: {sorted(rows)}" for kind, rows in report.items() if rows]
    width = model.config.num_labels
    if sorted(map(int, names)) != list(range(width)):
        problems.append(f"config.json: id2label names {sorted(names)}, expected 0 to {width - 1}")
    return model.eval(), tf.AutoTokenizer.from_pretrained(folder), problems


def logits_of(model: tf.PreTrainedModel, tokenizer, texts: list, limit: int | None) -> torch.Tensor:
    """Logits [texts, labels] of one padded batch."""
    columns = list(zip(*(t if isinstance(t, list) else (t,) for t in texts), strict=True))
    columns = [list(column) for column in columns]
    batch = tokenizer(
        *columns, truncation=True, max_length=limit, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        return model(**batch).logits


def different_ids(tokenizer, texts: list, expected: list, limit: int | None) -> list[int]:
    """Rows whose token ids are not the ones expected."""
    wrong = []
    for row, (text, ids) in enumerate(zip(texts, expected, strict=True)):
        parts = text if isinstance(text, list) else [text]
        if tokenizer(*parts, truncation=True, max_length=limit)["input_ids"] != ids:
            wrong.append(row)
    return wrong


def compare(kind: str, found: torch.Tensor, expected: torch.Tensor) -> list[str]:
    """Print the largest difference; return what is wrong."""
    gap = (found - expected).abs().max().item()
    print(f"{kind}: max |difference| {gap:.2e} over {len(expected)} texts")
    # A NaN fails this comparison, too.
    problems = [] if gap <= TOLERANCE else [f"{kind}: logits differ by {gap:.2e}"]
    rows = (found.argmax(1) != expected.argmax(1)).nonzero().flatten().tolist()
    return problems + ([f"{kind}: answers differ in rows {rows}"] if rows else [])


def main() -> None:
    """Check one folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ids", type=Path, help="JSON list of token id lists, one per text")
    args = parser.parse_args()
    tf.utils.logging.disable_progress_bar()

    parity = json.loads((args.folder / "parity.json").read_text(encoding="utf-8"))
    texts, expected = parity["texts"], torch.tensor(parity["logits"])
    if not texts:
        sys.exit(f"{args.folder}/parity.json: no texts to compare")
    limit = parity.get("max_length")
    model, tokenizer, problems = load(args.folder)
    print(f"{type(model).__name__}, labels {model.config.id2label}")

    alone = torch.cat([logits_of(model, tokenizer, [text], limit) for text in texts])
    if alone.shape != expected.shape:
        sys.exit(f"logits have shape {list(alone.shape)}, expected {list(expected.shape)}")
    problems += compare("one by one", alone, expected)
    problems += compare("padded batch", logits_of(model, tokenizer, texts, limit), expected)
    ids = json.loads(args.ids.read_text()) if args.ids else parity.get("ids")
    if ids:
        wrong = different_ids(tokenizer, texts, ids, limit)
        problems += [f"token ids differ in rows {wrong}"] if wrong else []
        print(f"token ids: {len(ids) - len(wrong)} of {len(ids)} equal")
    for problem in problems:
        print(f"problem: {problem}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
