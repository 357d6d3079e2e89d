#!/usr/bin/env python3
"""Write tiny ResNets and a tiny ConvNeXt as transformers saves them, and what it computes with them.

    golden/resnet-tiny/         bottlenecks
    golden/resnet-tiny/basic/   basic blocks, the first of which makes maps smaller
    golden/resnet-tiny/early/   bottlenecks whose first convolution makes maps smaller
    golden/convnext-tiny/       three stages

Each folder holds

    config.json         transformers', with a rate of the head's dropout that it does not use
    model.safetensors   random weights in f16, with statistics of batch norms that are not 0 and 1
    expected.json       side          of the pictures
                        pictures      their values, [pictures, side, side, 3] in row-major order
                        labels        their classes
                        features      what the classifier reads, [pictures, width]
                        logits, loss  [pictures, classes] and mean cross-entropy
                        gradients     per parameter, by transformers' names: L2 norm, and values at some places
                        losses        of five steps of AdamW
                        final         values of parameters after them, at the same places
                        autocast      how far torch's autocast to bfloat16 is from this: share of the
                                      features' L2 norm, and mean over parameters of the distance of the
                                      kept values of the gradient as a share of its norm

Everything is computed in f64, with the statistics of batch norms as they are (eval mode).

    pip install -r bench/peers/requirements.txt
    python golden/make_convnets.py
"""

import copy
import json
from pathlib import Path

import numpy as np
import torch
import transformers as tf
from safetensors.torch import save_file
from steps import kept, places, train

HERE = Path(__file__).resolve().parent
LABELS = [1, 2]
NAMES = {0: "red", 1: "green", 2: "blue"}
# In bfloat16 a value close to the kink of a ReLU may fall on the other side, for torch as for others, which changes the
# gradients of models as small as these by more than all rounding. With this seed hardly any does.
SEED = 1
SIDES = {"resnet-tiny": 31, "resnet-tiny/basic": 25, "resnet-tiny/early": 21, "convnext-tiny": 34}  # with a rest at most strides


def models() -> dict[str, torch.nn.Module]:
    """By folder."""
    labels = {"id2label": NAMES, "label2id": {name: i for i, name in NAMES.items()}, "drop_rate": 0.05}
    bottleneck = tf.ResNetConfig(
        embedding_size=12, hidden_sizes=[16, 32, 48, 64], depths=[1, 2, 1, 1], layer_type="bottleneck", **labels)  # fmt: skip
    basic = tf.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 20], depths=[2, 1, 1], layer_type="basic",
        downsample_in_first_stage=True, **labels)  # fmt: skip
    early = tf.ResNetConfig(
        embedding_size=8, hidden_sizes=[12, 20], depths=[1, 1], layer_type="bottleneck",
        downsample_in_bottleneck=True, **labels)  # fmt: skip
    convnext = tf.ConvNextConfig(
        num_stages=3, hidden_sizes=[12, 20, 32], depths=[1, 2, 1], layer_norm_eps=1e-6, **labels)  # fmt: skip
    return {
        "resnet-tiny": tf.ResNetForImageClassification(bottleneck),
        "resnet-tiny/basic": tf.ResNetForImageClassification(basic),
        "resnet-tiny/early": tf.ResNetForImageClassification(early),
        "convnext-tiny": tf.ConvNextForImageClassification(convnext),
    }


def fill(model: torch.nn.Module) -> None:
    """Weights with which activations neither vanish nor grow, rounded to f16."""
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        unit = torch.rand(value.shape, dtype=torch.float64) - 0.5
        if name.endswith("running_var"):
            new = 1.0 + 0.5 * unit
        elif name.endswith("running_mean"):
            new = 0.2 * unit
        elif name.endswith("layer_scale_parameter"):
            new = 0.6 + 0.5 * unit
        elif value.ndim == 1:
            new = 0.5 * unit + (1.0 if name.endswith("weight") else 0.1)
        else:
            new = 4.0 / np.prod(value.shape[1:]) ** 0.5 * unit
        value.copy_(new.half().double())


def features_of(model: torch.nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """What the classifier reads, [pictures, width]."""
    return model.base_model(pictures).pooler_output.flatten(1)


def halved(model: torch.nn.Module, pictures, labels, features, gradients: dict) -> dict:
    """How far autocast to bfloat16 is from what was found in f64."""
    single = copy.deepcopy(model).float()
    single.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        found = features_of(single, pictures.float())
        torch.nn.functional.cross_entropy(single(pictures.float()).logits, labels).backward()
    errors = []
    for name, parameter in single.named_parameters():
        want = gradients[name]
        got = parameter.grad.double().flatten()[want["at"]]
        errors.append((got - torch.tensor(want["values"])).norm().item() / want["norm"])
    off = (found.double() - features).norm() / features.norm()
    return {"features": off.item(), "gradients": float(np.mean(errors))}


def write(name: str, model: torch.nn.Module) -> None:
    """Compute and write one folder."""
    folder, side = HERE / name, SIDES[name]
    folder.mkdir(exist_ok=True)
    torch.manual_seed(SEED)
    model = model.double().eval()
    fill(model)
    halves = {key: value.half() if value.is_floating_point() else value
              for key, value in model.state_dict().items()}  # fmt: skip
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_diff_dict()
    config.pop("transformers_version", None)
    config |= {"architectures": [type(model).__name__], "dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    torch.manual_seed(1)
    values = (32 * torch.randn(len(LABELS), side, side, 3).double()).round() / 32
    pictures, labels = values.permute(0, 3, 1, 2), torch.tensor(LABELS)
    features = features_of(model, pictures)
    logits = model(pictures).logits
    loss = torch.nn.functional.cross_entropy(logits, labels)
    loss.backward()
    gradients = {}
    for key, parameter in model.named_parameters():
        flat = parameter.grad.flatten()
        at = places(len(flat))
        gradients[key] = {"norm": flat.norm().item(), "at": at, "values": [flat[i].item() for i in at]}
    autocast = halved(model, pictures, labels, features, gradients)
    losses = train(model, lambda: torch.nn.functional.cross_entropy(model(pictures).logits, labels), 5)
    final = {key: kept(p) for key, p in model.named_parameters()}
    found = {
        "side": side,
        "pictures": values.flatten().tolist(),
        "labels": LABELS,
        "features": features.tolist(),
        "logits": logits.tolist(),
        "loss": loss.item(),
        "gradients": gradients,
        "autocast": autocast,
        "losses": losses,
        "final": final,
    }
    (folder / "expected.json").write_text(json.dumps(found) + "\n")
    norms = [g["norm"] for g in gradients.values()]
    print(name, "loss", loss.item(), "losses", losses, "gradient norms", min(norms), max(norms), autocast)


def main() -> None:
    """Write every folder."""
    for name, model in models().items():
        write(name, model)


if __name__ == "__main__":
    main()
