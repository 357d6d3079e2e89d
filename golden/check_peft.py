#!/usr/bin/env python3
"""Compare a folder written by `retune export --peft` with PEFT.

    pip install -r bench/peers/requirements.txt peft==0.21.2
    python golden/check_peft.py FOLDER [--base FOLDER]

The folder holds `parity.json`, written by the export: {"texts": [...], "logits": [[...]]}, a text being a list of
one or two strings. The adapter is loaded in the two ways that PEFT has, by PeftModel on a base model that knows
the classes, and by AutoPeftModelForSequenceClassification; then it is merged (merge_and_unload).
`--base` names the base model's folder where `base_model_name_or_path` is a name of the hub.

Exit code 1 where a logit differs by more than 1e-4 or an answer differs, where PEFT saves other tensor names
than the folder has, or where a tensor of the adapter is missing or not used. PEFT computes in f32: export a run of
`--precision f32`; of a run in bf16 the logits differ by about 1e-3.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import peft
import torch
import transformers as tf
from safetensors.torch import load_file

TOLERANCE = 1e-4


def logits_of(model: torch.nn.Module, tokenizer, texts: list) -> torch.Tensor:
    """Logits [texts, labels], each text by itself."""
    rows = []
    for text in texts:
        with torch.no_grad():
            rows.append(model(**tokenizer(*text, truncation=True, return_tensors="pt")).logits)
    return torch.cat(rows)


def compare(kind: str, found: torch.Tensor, expected: torch.Tensor) -> list[str]:
    """Print the largest difference; return what is wrong."""
    gap = (found - expected).abs().max().item()
    print(f"{kind}: max |difference| {gap:.2e} over {len(expected)} texts")
    # A NaN fails this comparison, too.
    problems = [] if gap <= TOLERANCE else [f"{kind}: logits differ by {gap:.2e}"]
    same = found.argmax(1).equal(expected.argmax(1))
    return problems if same else [*problems, f"{kind}: answers differ"]


def saved_again(model: peft.PeftModel, folder: Path) -> list[str]:
    """What PEFT would write otherwise than the folder has it."""
    ours = load_file(folder / "adapter_model.safetensors")
    with tempfile.TemporaryDirectory() as place:
        model.save_pretrained(place)
        theirs = load_file(Path(place) / "adapter_model.safetensors")
    differing = set(ours) ^ set(theirs)
    differing |= {k for k in set(ours) & set(theirs) if not ours[k].equal(theirs[k])}
    print(f"{len(ours)} tensors, PEFT saves {len(theirs)}")
    return [f"tensors that PEFT saves otherwise: {sorted(differing)}"] if differing else []


def main() -> None:
    """Check one folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", type=Path)
    args = parser.parse_args()
    tf.utils.logging.disable_progress_bar()

    folder = args.folder
    parity = json.loads((folder / "parity.json").read_text(encoding="utf-8"))
    texts, expected = parity["texts"], torch.tensor(parity["logits"])
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    config = tf.AutoConfig.from_pretrained(folder)
    base = args.base or peft.PeftConfig.from_pretrained(folder).base_model_name_or_path
    print(f"base {base}, labels {config.id2label}")

    def start() -> tf.PreTrainedModel:
        return tf.AutoModelForSequenceClassification.from_pretrained(
            base, config=config, dtype=torch.float32, ignore_mismatched_sizes=True
        )

    model = peft.PeftModel.from_pretrained(start(), folder).eval()
    problems = compare("PeftModel", logits_of(model, tokenizer, texts), expected)
    problems += saved_again(model, folder)
    if args.base is None:
        auto = peft.AutoPeftModelForSequenceClassification.from_pretrained(
            folder, num_labels=len(config.id2label), ignore_mismatched_sizes=True
        ).eval()
        problems += compare("AutoPeftModel", logits_of(auto, tokenizer, texts), expected)
    merged = model.merge_and_unload()
    problems += compare("merged", logits_of(merged, tokenizer, texts), expected)
    for problem in problems:
        print(f"problem: {problem}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
