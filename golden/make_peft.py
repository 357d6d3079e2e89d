#!/usr/bin/env python3
"""Write tiny adapters as PEFT saves them, and the logits that PEFT computes with them.

Each folder `golden/peft-<family>-tiny/` is an adapter on `golden/<family>-tiny/`, which
`base_model_name_or_path` names from the adapter's own folder, and `expected.json`:

    ids, types     lists of token ids and segment ids, one list per sequence
    logits         [sequences, labels]

The three differ in what a reader has to get right: BERT has a head of four other classes and a
config.json that names them, DistilBERT the factor of rsLoRA, RoBERTa updates of every layer
with one rank for some of them and another for the rest. Weights are f32 and not zero; the logits are
computed in f64, by a model that is loaded from the folder anew.

    pip install -r bench/peers/requirements.txt peft==0.21.2
    python golden/make_peft.py
"""

import json
from pathlib import Path

import numpy as np
import peft
import torch
import transformers as tf
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent
CLASSES = ["bug", "praise", "question", "wish"]
# family -> options of the adapter, classes where they are not those of the base model
ADAPTERS = {
    "bert": (
        {
            "r": 3,
            "lora_alpha": 6,
            "lora_dropout": 0.1,
            "target_modules": ["query", "value"],
            "modules_to_save": ["pooler", "classifier"],
        },
        CLASSES,
    ),
    "distilbert": (
        {"r": 4, "lora_alpha": 5, "use_rslora": True, "target_modules": ["q_lin", "v_lin", "lin2"]},
        None,
    ),
    "roberta": (
        {"r": 2, "lora_alpha": 4, "target_modules": "all-linear", "rank_pattern": {"value": 5}},
        None,
    ),
}


def base_model(family: str, classes: list[str] | None) -> tf.PreTrainedModel:
    """The tiny base model, with a head for the classes."""
    options = {}
    if classes:
        options = {
            "num_labels": len(classes),
            "id2label": dict(enumerate(classes)),
            "label2id": {name: i for i, name in enumerate(classes)},
            "ignore_mismatched_sizes": True,
        }
    folder = HERE / f"{family}-tiny"
    return tf.AutoModelForSequenceClassification.from_pretrained(folder, **options)


def make(family: str) -> None:
    """One adapter folder."""
    options, classes = ADAPTERS[family]
    folder = HERE / f"peft-{family}-tiny"
    random = np.random.default_rng(17)
    model = peft.get_peft_model(
        base_model(family, classes), peft.LoraConfig(task_type="SEQ_CLS", **options)
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                weight.copy_(torch.tensor(random.normal(0, 0.2, weight.shape)))
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    (folder / "adapter_model.safetensors").chmod(0o644)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = f"../{family}-tiny"
    for key in ("target_modules", "modules_to_save"):
        config[key] = sorted(set(config[key]))
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if classes:
        model.config.save_pretrained(folder)

    saved = peft.PeftModel.from_pretrained(base_model(family, classes), folder).double().eval()
    batch = load_file(HERE / f"{family}-tiny" / "expected.safetensors")
    ids, types, logits = [], [], []
    for row, length in enumerate(batch["lengths"].tolist()):
        cut = {"input_ids": batch["input_ids"][row : row + 1, :length]}
        types.append([0] * length)
        if family == "bert":
            cut["token_type_ids"] = batch["token_type_ids"][row : row + 1, :length]
            types[-1] = cut["token_type_ids"][0].tolist()
        ids.append(cut["input_ids"][0].tolist())
        with torch.no_grad():
            logits.append(saved(**cut).logits[0].tolist())
    expected = json.dumps({"ids": ids, "types": types, "logits": logits})
    (folder / "expected.json").write_text(expected + "\n", encoding="utf-8")
    print(f"{folder.name}: logits up to {np.abs(logits).max():.2f}")


if __name__ == "__main__":
    tf.utils.logging.set_verbosity_error()
    tf.utils.logging.disable_progress_bar()
    for name in ADAPTERS:
        make(name)
