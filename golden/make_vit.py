#!/usr/bin/env python3
"""Write tiny vision transformers as transformers and timm save them, and what these compute with them.

Each folder holds `config.json`, `model.safetensors` (random weights in f16) and `expected.json`:

    side          of the pictures
    pictures      their values, [pictures, side, side, 3] in row-major order
    labels        their classes
    features      what the classifier reads, [pictures, width]
    logits, loss  [pictures, classes] and mean cross-entropy
    gradients     per parameter, by the names of the checkpoint: L2 norm, and values at some places; of a part of a
                  tensor under its name with [part/parts]
    losses        of five steps of AdamW
    final         values of parameters after them, at the same places
    autocast      how far torch's autocast to bfloat16 is from this: share of the features' L2 norm, and mean over
                  parameters of the distance of the kept values of the gradient as a share of its norm
    resized       side, values and logits of a picture of another size, positions resampled

    vit-tiny                 ViTForImageClassification
    deit-tiny                DeiTForImageClassification, with the token that learned from a teacher
    dinov2-tiny              Dinov2ForImageClassification
    dinov2-registers-tiny    Dinov2WithRegistersForImageClassification, with a gate inside
    timm-vit-tiny            vit_tiny_patch16_224 with other sizes under `model_args`
    timm-dinov2-tiny         vit_small_patch14_reg4_dinov2, the same

Everything is computed in f64 without dropout, but for positions that transformers and timm resample in f32.

    pip install -r bench/peers/requirements.txt timm==1.0.31
    python golden/make_vit.py
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch
import transformers as tf
from safetensors.torch import save_file
from steps import kept, places, train
from timm.layers import resample_abs_pos_embed

HERE = Path(__file__).resolve().parent
SIDE, LABELS = 20, [1, 2]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 5, "image_size": SIDE}
RATES = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
INNER, RATIO = {"intermediate_size": 48}, {"mlp_ratio": 2}
ARGUMENTS = {"img_size": SIDE, "patch_size": 5, "embed_dim": 32, "depth": 2, "num_heads": 2, "mlp_ratio": 2}
# From names in memory to those in checkpoints, before version 5 and as it saves them still.
OLD = {
    "vit": [(".layers.", ".encoder.layer."), ("attention.o_proj", "attention.output.dense"),
            ("mlp.fc1", "intermediate.dense"), ("mlp.fc2", "output.dense")],
    "dinov2": [("attention.o_proj", "attention.output.dense"), ("mlp.gate_proj.*", "mlp.weights_in.*[0/2]"),
               ("mlp.up_proj.*", "mlp.weights_in.*[1/2]"), ("mlp.down_proj", "mlp.weights_out")],
}  # fmt: skip
PARTS = [(f"attention.{name[0]}_proj", f"attention.attention.{name}") for name in ("query", "key", "value")]


@dataclass
class Case:
    """A model: how it is made, and what is computed with it."""

    model: torch.nn.Module
    # Features and logits of pictures.
    run: Callable
    # The model for pictures of another size, with this side.
    resize: Callable
    side: int
    names: list[tuple[str, str]] | None


def of_transformers(config: type, model: type, more: dict, side: int) -> Case:
    """A model of transformers, which resamples positions as it goes."""
    labels = {"id2label": {0: "a", 1: "b", 2: "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}
    made = model(config(**SIZES, **RATES, **more, **labels)).double().eval()
    given = {} if "Dinov2" in config.__name__ else {"interpolate_pos_encoding": True}

    def run(model, pictures):
        out = model(pictures, output_hidden_states=True, **given)
        backbone = getattr(model, model.base_model_prefix)
        hidden = backbone.layernorm(out.hidden_states[-1])
        first = hidden[:, 0]
        if "Dinov2" in config.__name__:
            front = 1 + getattr(model.config, "num_register_tokens", 0)
            first = torch.cat([first, hidden[:, front:].mean(1)], 1)
        return first, out.logits

    names = PARTS + OLD["dinov2" if "Dinov2" in config.__name__ else "vit"]
    return Case(made, run, lambda model, side: model, side, names)


def of_timm(name: str, side: int) -> Case:
    """A model of timm, which resamples positions when weights are loaded."""

    def create(size):
        return timm.create_model(name, pretrained=False, num_classes=3, **ARGUMENTS | {"img_size": size})

    def run(model, pictures):
        features = model.forward_head(model.forward_features(pictures), pre_logits=True)
        return features, model.head(features)

    def resize(model, side):
        other = create(side).double().eval()
        weights = model.state_dict()
        front = 0 if model.no_embed_class else model.num_prefix_tokens
        weights["pos_embed"] = resample_abs_pos_embed(
            weights["pos_embed"], other.patch_embed.grid_size, num_prefix_tokens=front)  # fmt: skip
        other.load_state_dict(weights)
        return other

    return Case(create(SIDE).double().eval(), run, resize, side, None)


CASES = {
    "vit-tiny": lambda: of_transformers(tf.ViTConfig, tf.ViTForImageClassification, INNER, 30),
    "deit-tiny": lambda: of_transformers(tf.DeiTConfig, tf.DeiTForImageClassification, INNER, 15),
    "dinov2-tiny": lambda: of_transformers(tf.Dinov2Config, tf.Dinov2ForImageClassification, RATIO, 15),
    "dinov2-registers-tiny": lambda: of_transformers(
        tf.Dinov2WithRegistersConfig, tf.Dinov2WithRegistersForImageClassification, RATIO | {"use_swiglu_ffn": True}, 15),
    "timm-vit-tiny": lambda: of_timm("vit_tiny_patch16_224", 15),
    "timm-dinov2-tiny": lambda: of_timm("vit_small_patch14_reg4_dinov2", 30),
}  # fmt: skip


def fill(model: torch.nn.Module) -> None:
    """Weights with which activations neither vanish nor grow, rounded to f16."""
    torch.manual_seed(0)
    for name, value in model.state_dict().items():
        unit = torch.rand(value.shape, dtype=torch.float64) - 0.5
        if "token" in name or "pos" in name:
            new = 2.0 * unit
        elif value.ndim == 1:
            new = 0.5 * unit + (0.1 if name.endswith("bias") else 1.0)
        else:
            new = 4.0 / np.prod(value.shape[1:]) ** 0.5 * unit
        value.copy_(new.half().double())


def named(case: Case, of: Callable) -> dict[str, torch.Tensor]:
    """What `of` a parameter gives, by the names of the checkpoint."""
    found = {}
    for name, parameter in case.model.named_parameters():
        value = of(parameter)
        if value is None:
            continue
        owner, _, leaf = name.rpartition(".")
        if case.names is None:
            if owner.endswith("attn.qkv"):
                found |= {f"{name}[{i}/3]": part for i, part in enumerate(value.chunk(3))}
            else:
                found[name] = value
            continue
        for new, old in case.names:
            name = name.replace(new.replace("*", leaf), old.replace("*", leaf))
        found[name] = value
    return found


def halved(case: Case, pictures, labels, features, gradients: dict) -> dict:
    """How far autocast to bfloat16 is from what was found in f64."""
    single = copy.deepcopy(case.model).float()
    single.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        found, logits = case.run(single, pictures.float())
        torch.nn.functional.cross_entropy(logits, labels).backward()
    got = named(Case(single, case.run, case.resize, case.side, case.names), lambda p: p.grad)
    errors = []
    for name, want in gradients.items():
        # Those of key biases are 0: attention does not change with them.
        if want["norm"] > 1e-9:
            off = torch.tensor(kept(got[name].double())) - torch.tensor(want["values"])
            errors.append(off.norm().item() / want["norm"])
    off = (found.double() - features).norm() / features.norm()
    return {"features": off.item(), "gradients": float(np.mean(errors))}


def noise(seed: int, count: int, side: int) -> torch.Tensor:
    """Pictures, [count, side, side, 3]."""
    torch.manual_seed(seed)
    return (torch.randint(-256, 257, (count, side, side, 3)) / 128).double()


def save(name: str, case: Case) -> None:
    """Configuration and weights."""
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    if case.names is not None:
        copy.deepcopy(case.model).half().save_pretrained(folder)
        return
    halves = {key: value.half() for key, value in case.model.state_dict().items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    known = {"timm-vit-tiny": "vit_tiny_patch16_224", "timm-dinov2-tiny": "vit_small_patch14_reg4_dinov2"}
    config = {"architecture": known[name], "num_classes": 3, "num_features": 32, "global_pool": "token"}
    config |= {"drop_rate": 0.05, "model_args": ARGUMENTS}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def make(name: str) -> None:
    """Compute and write."""
    case = CASES[name]()
    model = case.model
    fill(model)
    save(name, case)
    values, labels = noise(1, len(LABELS), SIDE), torch.tensor(LABELS)
    pictures = values.permute(0, 3, 1, 2)
    features, logits = case.run(model, pictures)
    loss = torch.nn.functional.cross_entropy(logits, labels)
    loss.backward()
    gradients = {
        key: {"norm": g.norm().item(), "at": places(g.numel()), "values": kept(g)}
        for key, g in named(case, lambda p: p.grad).items()
    }
    autocast = halved(case, pictures, labels, features, gradients)
    other = noise(2, 1, case.side)
    with torch.no_grad():
        _, resized = case.run(case.resize(model, case.side), other.permute(0, 3, 1, 2))
    losses = train(model, lambda: torch.nn.functional.cross_entropy(case.run(model, pictures)[1], labels), 5)
    found = {
        "side": SIDE,
        "pictures": values.flatten().tolist(),
        "labels": LABELS,
        "features": features.tolist(),
        "logits": logits.tolist(),
        "loss": loss.item(),
        "gradients": gradients,
        "autocast": autocast,
        "losses": losses,
        "final": {key: kept(p) for key, p in named(case, lambda p: p).items() if key in gradients},
        "resized": {"side": case.side, "pictures": other.flatten().tolist(), "logits": resized.tolist()},
    }
    (HERE / name / "expected.json").write_text(json.dumps(found) + "\n")
    norms = [g["norm"] for g in gradients.values()]
    print(f"{name}: losses {losses}, gradient norms {min(norms):.1e} to {max(norms):.1e}, {autocast}")


def main() -> None:
    """Every folder."""
    tf.utils.logging.disable_progress_bar()
    for name in CASES:
        make(name)


if __name__ == "__main__":
    main()
