#!/usr/bin/env python3
"""Write the tiny checkpoints and what the reference implementation computes with them.

Each folder `golden/<family>-tiny/` is a checkpoint as transformers saves it (random
weights, two layers of width 32) and `expected.safetensors` beside it:

    input_ids, token_type_ids, attention_mask   [5, 17] i64, padded on the right
    lengths                 [5] i64, tokens per sequence
    last_hidden_state       [5, 17, 32], zero at padding
    logits                  [5, 3]
    labels, loss            [5] i64, mean cross-entropy
    grad_logits             [5, 3], gradient of `loss`
    grad.<parameter>        gradient of `loss`, for every parameter of the checkpoint
    losses, grad_norms      [steps], loss before each step, global gradient norm before clipping
    final.<parameter>       every parameter after the steps
    bce_targets, bce_loss, bce_grad_logits      several labels: mean over all 15 entries
    mse_targets, mse_loss, mse_grad_logits      regression on logits[:, :1]

`autocast.json` beside it holds, for the hidden states, logits, loss and every gradient of it, the L2
norm of what is expected, and the L2 distance from it of what the same model computes under torch's CPU
autocast to bfloat16, with transformers' default attention and with its plain one:
`{name: {"norm", "sdpa", "eager"}}`.

No dropout is applied, although the configuration holds the usual 0.1. The steps are
torch's AdamW (lr 1e-3, betas 0.9 and 0.999, eps 1e-8, weight decay 0.01 except on biases
and layer norms), gradients clipped to norm 1, always the same batch.

Weights are f32. The reference runs in f64 and is rounded to f32 at the end, so that what
is stored is right to the last digit; a second run in f32 shows what f32 alone loses, and
the script fails if that is more than a test may tolerate.

    pip install -r bench/peers/requirements.txt
    python golden/make_golden.py [bert] [distilbert] [roberta] [xlm-roberta]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import transformers as tf
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

HERE = Path(__file__).resolve().parent
LABELS = ["negative", "neutral", "positive"]
LENGTHS = [17, 1, 6, 2, 11]
STEPS = 5
STD = 0.2
TOLERANCE = 1e-4

WORDS = """
the a an is was are and not very it i this that of to in but so too no plot acting story
film movie good bad great awful boring fun funny best worst love hate terrible wonderful
""".split()
PUNCTUATION = list(".,!?'-;:()/&\"")
LETTERS = list("abcdefghijklmnopqrstuvwxyz")
DIGITS = list("0123456789")
SUFFIXES = ["##ed", "##ing", "##ly"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCAB = (
    SPECIAL + PUNCTUATION + DIGITS + [x for x in LETTERS if x not in WORDS] + WORDS
    + [f"##{x}" for x in LETTERS + DIGITS] + SUFFIXES
)  # fmt: skip

SIZES = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
ROBERTA = SIZES | {
    "max_position_embeddings": 66,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "layer_norm_eps": 1e-5,
}
# family -> (configuration class, model class, sizes, [pad, first, last] token, first free token)
FAMILIES = {
    "bert": (
        tf.BertConfig,
        tf.BertForSequenceClassification,
        SIZES | {"vocab_size": len(VOCAB), "type_vocab_size": 2},
        (0, 2, 3, 5),
    ),
    "distilbert": (
        tf.DistilBertConfig,
        tf.DistilBertForSequenceClassification,
        {
            "vocab_size": 100,
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 48,
            "max_position_embeddings": 64,
        },
        (0, 2, 3, 5),
    ),
    "roberta": (tf.RobertaConfig, tf.RobertaForSequenceClassification, ROBERTA, (1, 0, 2, 4)),
    "xlm-roberta": (
        tf.XLMRobertaConfig,
        tf.XLMRobertaForSequenceClassification,
        ROBERTA,
        (1, 0, 2, 4),
    ),
}


def make_model(family: str, seed: int) -> tf.PreTrainedModel:
    """Build the tiny model; every parameter, layer norms and biases too, is random."""
    config_class, model_class, sizes, _ = FAMILIES[family]
    config = config_class(**sizes, id2label=dict(enumerate(LABELS)))
    config.label2id = {name: i for i, name in enumerate(LABELS)}
    model = model_class(config)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = STD * rng.standard_normal(tuple(parameter.shape))
            if is_norm(name) and name.endswith("weight"):
                values += 1.0
            parameter.copy_(torch.from_numpy(values))
    return model


def is_norm(name: str) -> bool:
    """BERT says `LayerNorm`, DistilBERT also `sa_layer_norm` and `output_layer_norm`."""
    return "layernorm" in name.replace("_", "").lower()


def make_batch(family: str, seed: int) -> dict[str, torch.Tensor]:
    """Five sequences of unequal length, padded, with targets for three kinds of task."""
    sizes, (pad, first, last, free) = FAMILIES[family][2:]
    rng = np.random.default_rng(seed)
    ids = np.full((len(LENGTHS), max(LENGTHS)), pad)
    types = np.zeros_like(ids)
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = rng.integers(free, sizes["vocab_size"], length)
        ids[row, 0] = first
        if length > 1:
            ids[row, length - 1] = last
        if sizes.get("type_vocab_size", 1) > 1:
            types[row, length // 2 + 1 : length] = 1
    return {
        "input_ids": torch.from_numpy(ids),
        "token_type_ids": torch.from_numpy(types),
        "attention_mask": torch.arange(max(LENGTHS)).lt(torch.tensor(LENGTHS)[:, None]).long(),
        "lengths": torch.tensor(LENGTHS),
        "labels": torch.tensor([2, 0, 1, 1, 0]),
        "bce_targets": torch.from_numpy(rng.integers(0, 2, (5, 3))).float(),
        "mse_targets": torch.from_numpy(rng.standard_normal(5)).float(),
    }


def inputs(model: tf.PreTrainedModel, batch: dict) -> dict:
    """What the model takes: DistilBERT knows no token types."""
    names = ["input_ids", "attention_mask"]
    if model.config.model_type != "distilbert":
        names.append("token_type_ids")
    return {name: batch[name] for name in names}


def forward(model: tf.PreTrainedModel, batch: dict) -> dict:
    """Outputs, the three losses and their gradients."""
    out = model(**inputs(model, batch), output_hidden_states=True)
    logits = out.logits
    cross_entropy = torch.nn.functional.cross_entropy(logits, batch["labels"])
    bce = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, batch["bce_targets"].to(logits.dtype)
    )
    first = logits[:, :1]
    mse = torch.nn.functional.mse_loss(first[:, 0], batch["mse_targets"].to(logits.dtype))
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(cross_entropy, parameters, retain_graph=True)
    result = {
        "last_hidden_state": out.hidden_states[-1] * batch["attention_mask"][:, :, None],
        "logits": logits,
        "loss": cross_entropy,
        "grad_logits": torch.autograd.grad(cross_entropy, logits, retain_graph=True)[0],
        "bce_loss": bce,
        "bce_grad_logits": torch.autograd.grad(bce, logits, retain_graph=True)[0],
        "mse_loss": mse,
        "mse_grad_logits": torch.autograd.grad(mse, first)[0],
    }
    result |= {f"grad.{n}": g for n, g in zip(names, gradients, strict=True)}
    return {name: value.detach().clone() for name, value in result.items()}


def steps(model: tf.PreTrainedModel, batch: dict) -> dict:
    """Losses of a few optimizer steps on one batch, and the parameters after them."""
    plain, decayed = [], []
    for name, parameter in model.named_parameters():
        exempt = is_norm(name) or name.endswith("bias")
        (plain if exempt else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": 0.01},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    losses, norms = [], []
    for _ in range(STEPS):
        loss = model(**inputs(model, batch), labels=batch["labels"]).loss
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        optimizer.step()
        losses.append(loss.detach())
    result = {"losses": torch.stack(losses), "grad_norms": torch.stack(norms)}
    result |= {f"final.{n}": p.detach().clone() for n, p in model.named_parameters()}
    return result


def reference(folder: Path, batch: dict, dtype: torch.dtype) -> dict:
    """Everything that is expected, computed in `dtype` from the checkpoint as saved."""
    model = tf.AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager"
    ).eval()
    return forward(model, batch) | steps(model, batch)


def autocast(folder: Path, batch: dict, exact: dict) -> dict:
    """How far autocast to bfloat16 is from `exact`, by quantity."""
    names = ["last_hidden_state", "logits", "loss"]
    names += [name for name in exact if name.startswith("grad.")]
    errors = {name: {"norm": rounded(exact[name].norm())} for name in names}
    for attention in ("sdpa", "eager"):
        model = tf.AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=attention
        ).eval()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = forward(model, batch)
        for name in names:
            errors[name][attention] = rounded((half[name].double() - exact[name]).norm())
    return errors


def rounded(x: torch.Tensor) -> float:
    """Four digits."""
    return float(f"{x.item():.4g}")


def write_tokenizer(folder: Path) -> None:
    """A lower-casing WordPiece tokenizer that encodes any ASCII text without [UNK] letters."""
    tokens = {token: i for i, token in enumerate(VOCAB)}
    tokenizer = Tokenizer(models.WordPiece(tokens, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, tokens[t]) for t in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": 64,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def compare(exact: dict, single: dict) -> str:
    """Say how far f32 is from f64; fail where a test with TOLERANCE could not pass.

    A key bias adds the same amount to every score of a query, so its gradient is zero in
    exact arithmetic and rounding noise in f32, which AdamW scales up: `final` of it is
    not comparable.
    """
    worst = {"forward": 0.0, "grad": 0.0, "final": 0.0}
    for name, value in exact.items():
        kind = name.split(".")[0] if name.startswith(("grad.", "final.")) else "forward"
        if kind == "final" and name.endswith(("key.bias", "k_lin.bias")):
            continue
        gap = (value - single[name].double()).abs().max().item()
        worst[kind] = max(worst[kind], gap)
    if max(worst.values()) > TOLERANCE:
        raise SystemExit(f"f32 differs from f64 by {worst}: the case is too sensitive")
    return ", ".join(f"{kind} {gap:.1e}" for kind, gap in worst.items())


def main() -> None:
    """Write the folders of the families named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help=", ".join(FAMILIES))
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()
    tf.utils.logging.disable_progress_bar()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for family in args.families or FAMILIES:
        folder = HERE / f"{family}-tiny"
        make_model(family, args.seed).save_pretrained(folder)
        batch = make_batch(family, args.seed + 1)
        exact = reference(folder, batch, torch.float64)
        gaps = compare(exact, reference(folder, batch, torch.float32))
        tensors = batch | {name: value.float() for name, value in exact.items()}
        tensors = {name: value.contiguous() for name, value in tensors.items()}
        save_file(tensors, folder / "expected.safetensors", metadata={"format": "pt"})
        errors = autocast(folder, batch, exact)
        (folder / "autocast.json").write_text(json.dumps(errors, indent=1) + "\n")
        if family == "bert":
            write_tokenizer(folder)
        size = sum(f.stat().st_size for f in folder.iterdir())
        losses = ", ".join(f"{x:.4f}" for x in exact["losses"])
        print(f"{folder.name}: {size // 1000} kB; losses {losses}; f32 - f64: {gaps}")


if __name__ == "__main__":
    main()
