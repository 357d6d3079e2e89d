#!/usr/bin/env python3
"""Write full-size checkpoints with random weights, to check loading and logits at scale.

    pip install -r bench/peers/requirements.txt
    python golden/full_size.py FOLDER [NAME ...]

Each FOLDER/NAME is a checkpoint in a layout met on the hub, with `expected.safetensors`:

    input_ids, token_type_ids, attention_mask [4, 40] i64, lengths [4] i64
    last_hidden_state [4, 40, 768], zero at padding
    logits [4, 3]     where the checkpoint has a classification head

    NAME                    class                       file
    bert-base               ForSequenceClassification   one
    bert-base-backbone      BertModel                   one, names without `bert.`
    bert-base-mlm           ForMaskedLM                 one, layer norms named gamma and beta
    distilbert-base         ForSequenceClassification   one
    distilbert-base-mlm     ForMaskedLM                 one
    roberta-base            ForSequenceClassification   shards and index
    roberta-base-mlm        ForMaskedLM                 one
    xlm-roberta-base        ForSequenceClassification   one, bf16
    xlm-roberta-backbone    XLMRobertaModel             one, f16

The reference loads the saved file into f32, so a bf16 checkpoint is compared from its
rounded weights. XLM-RoBERTa's 250,002 tokens are cut to 20,000. Disk: about 3.2 GB.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers as tf
from safetensors.torch import load_file, save_file

LENGTHS = [40, 1, 9, 23]
SPREAD = 0.05  # of weights and biases: attention is far from uniform, nothing saturates


@dataclass
class Case:
    """One checkpoint: which class saves it, and how."""

    config: type
    model: type
    shard: str = "5GB"
    dtype: torch.dtype = torch.float32
    old_names: bool = False


CASES = {
    "bert-base": Case(tf.BertConfig, tf.BertForSequenceClassification),
    "bert-base-backbone": Case(tf.BertConfig, tf.BertModel),
    "bert-base-mlm": Case(tf.BertConfig, tf.BertForMaskedLM, old_names=True),
    "distilbert-base": Case(tf.DistilBertConfig, tf.DistilBertForSequenceClassification),
    "distilbert-base-mlm": Case(tf.DistilBertConfig, tf.DistilBertForMaskedLM),
    "roberta-base": Case(tf.RobertaConfig, tf.RobertaForSequenceClassification, shard="150MB"),
    "roberta-base-mlm": Case(tf.RobertaConfig, tf.RobertaForMaskedLM),
    "xlm-roberta-base": Case(
        tf.XLMRobertaConfig, tf.XLMRobertaForSequenceClassification, dtype=torch.bfloat16
    ),
    "xlm-roberta-backbone": Case(
        tf.XLMRobertaConfig, tf.XLMRobertaModel, dtype=torch.float16
    ),
}  # fmt: skip


def configuration(case: Case) -> tf.PretrainedConfig:
    """The sizes of the `-base` checkpoints on the hub."""
    sizes = {"id2label": {0: "negative", 1: "neutral", 2: "positive"}}
    sizes["label2id"] = {name: i for i, name in sizes["id2label"].items()}
    if "roberta" in case.config.model_type:
        vocab = 50265 if case.config.model_type == "roberta" else 20000
        sizes |= {"vocab_size": vocab, "max_position_embeddings": 514, "type_vocab_size": 1}
        sizes |= {"layer_norm_eps": 1e-5, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    return case.config(**sizes)


def write_checkpoint(case: Case, folder: Path, seed: int) -> None:
    """Save the model with every parameter random, layer norms and biases too."""
    torch.manual_seed(seed)
    model = case.model(configuration(case))
    with torch.no_grad():
        for parameter in model.parameters():
            centre = 1.0 if parameter.ndim == 1 and bool((parameter == 1).all()) else 0.0
            parameter.normal_(centre, SPREAD)
    model.to(case.dtype).save_pretrained(folder, max_shard_size=case.shard)
    if case.old_names:
        path = folder / "model.safetensors"
        tensors = load_file(path)
        for new, old in (("Norm.weight", "Norm.gamma"), ("Norm.bias", "Norm.beta")):
            tensors = {name.replace(new, old): value.clone() for name, value in tensors.items()}
        save_file(tensors, path, metadata={"format": "pt"})


def make_inputs(config: tf.PretrainedConfig) -> dict[str, torch.Tensor]:
    """Four padded sequences; token types only where the family has two of them."""
    longest = max(LENGTHS)
    mask = torch.arange(longest).lt(torch.tensor(LENGTHS)[:, None])
    ids = torch.randint(5, config.vocab_size, mask.shape).masked_fill(~mask, config.pad_token_id)
    types = torch.zeros_like(ids)
    if getattr(config, "type_vocab_size", 1) > 1:
        types = torch.arange(longest).ge(longest // 3).long() * mask
    return {"input_ids": ids, "token_type_ids": types, "attention_mask": mask.long()}


def expect(case: Case, folder: Path, seed: int) -> None:
    """Load the checkpoint as transformers does and store what it computes."""
    torch.manual_seed(seed)
    classifies = case.model.__name__.endswith("SequenceClassification")
    auto = tf.AutoModelForSequenceClassification if classifies else tf.AutoModel
    model = auto.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    batch = make_inputs(model.config)
    given = dict(batch)
    if model.config.model_type == "distilbert":
        del given["token_type_ids"]
    with torch.no_grad():
        out = model(**given, output_hidden_states=True)
    batch["lengths"] = torch.tensor(LENGTHS)
    hidden = out.hidden_states[-1] * batch["attention_mask"][:, :, None]
    batch["last_hidden_state"] = hidden.contiguous()
    if classifies:
        batch["logits"] = out.logits
        print(f"{folder.name}: logits {out.logits.numpy().round(4).tolist()}")
    save_file(batch, folder / "expected.safetensors", metadata={"format": "pt"})


def main() -> None:
    """Write the checkpoints named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help=", ".join(CASES))
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()
    tf.utils.logging.disable_progress_bar()
    for name in args.names or CASES:
        write_checkpoint(CASES[name], args.folder / name, args.seed)
        expect(CASES[name], args.folder / name, args.seed + 1)


if __name__ == "__main__":
    main()
