#!/usr/bin/env python3
"""Write a tiny EfficientNet-Lite as timm saves it, and what timm computes with it.

`golden/efficientnet-tiny/`:

    config.json         timm's, with the factors of width and depth under `model_args`
    model.safetensors   random weights in f16, with statistics of batch norms that are not 0 and 1
    expected.json       side          of the pictures
                        pictures      their values, [pictures, side, side, 3] in row-major order
                        labels        their classes
                        features      mean over the places of the last map, [pictures, width]
                        logits, loss  [pictures, classes] and mean cross-entropy
                        gradients     per parameter, by timm's names: L2 norm, and values at some places
                        losses        of five steps of AdamW
                        final         values of parameters after them, at the same places
                        autocast      how far torch's autocast to bfloat16 is from this: share of the
                                      features' L2 norm, and mean over parameters of the distance of the
                                      kept values of the gradient as a share of its norm
                        by_batch      losses of three such steps with norms that follow the batch (train
                                      mode), and values of the running statistics after them

Everything else is computed in f64, with the statistics as they are (eval mode).

    pip install -r bench/peers/requirements.txt timm==1.0.31
    python golden/make_efficientnet.py
"""

import copy
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from steps import kept, places, train
from timm.models.efficientnet import _gen_efficientnet_lite

HERE = Path(__file__).resolve().parent / "efficientnet-tiny"
NAME = "tf_efficientnet_lite0"
FACTORS = {"channel_multiplier": 0.1, "depth_multiplier": 0.3}
SIDE, LABELS = 36, [1, 2]


def fill(model: torch.nn.Module) -> None:
    """Weights with which activations neither vanish nor grow, rounded to f16."""
    torch.manual_seed(0)
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        unit = torch.rand(value.shape, dtype=torch.float64) - 0.5
        if name.endswith("running_var"):
            new = 1.0 + 0.5 * unit
        elif name.endswith("running_mean"):
            new = 0.2 * unit
        elif value.ndim == 1:
            new = 0.5 * unit + (1.0 if name.endswith("weight") else 0.1)
        else:
            new = 4.0 / np.prod(value.shape[1:]) ** 0.5 * unit
        value.copy_(new.half().double())


def halved(model: torch.nn.Module, pictures, labels, features, gradients: dict) -> dict:
    """How far autocast to bfloat16 is from what was found in f64."""
    single = copy.deepcopy(model).float()
    single.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        found = single.forward_head(single.forward_features(pictures.float()), pre_logits=True)
        torch.nn.functional.cross_entropy(single(pictures.float()), labels).backward()
    errors = []
    for name, parameter in single.named_parameters():
        want = gradients[name]
        got = parameter.grad.double().flatten()[want["at"]]
        errors.append((got - torch.tensor(want["values"])).norm().item() / want["norm"])
    off = (found.double() - features).norm() / features.norm()
    return {"features": off.item(), "gradients": float(np.mean(errors))}


def main() -> None:
    """Compute and write."""
    HERE.mkdir(exist_ok=True)
    model = _gen_efficientnet_lite(NAME, **FACTORS, pretrained=False, num_classes=3, bn_eps=1e-3, pad_type="same")
    model = model.double().eval()
    fill(model)
    halves = {name: value.half() if value.is_floating_point() else value
              for name, value in model.state_dict().items()}  # fmt: skip
    save_file(halves, HERE / "model.safetensors", metadata={"format": "pt"})
    config = {"architecture": NAME, "num_classes": 3, "num_features": 1280, "drop_rate": 0.05, "model_args": FACTORS}
    (HERE / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    torch.manual_seed(1)
    values = (torch.randn(len(LABELS), SIDE, SIDE, 3)).half().double()
    pictures, labels = values.permute(0, 3, 1, 2), torch.tensor(LABELS)
    features = model.forward_head(model.forward_features(pictures), pre_logits=True)
    logits = model(pictures)
    loss = torch.nn.functional.cross_entropy(logits, labels)
    loss.backward()
    gradients = {}
    for name, parameter in model.named_parameters():
        flat = parameter.grad.flatten()
        at = places(len(flat))
        gradients[name] = {"norm": flat.norm().item(), "at": at, "values": [flat[i].item() for i in at]}
    autocast = halved(model, pictures, labels, features, gradients)
    loss_of = lambda: torch.nn.functional.cross_entropy(model(pictures), labels)  # noqa: E731
    losses = train(model, loss_of, 5)
    final = {name: kept(p) for name, p in model.named_parameters()}
    with torch.no_grad():
        fill(model)
    by_batch = {"losses": train(model.train(), loss_of, 3)}
    by_batch["running"] = {name: kept(b) for name, b in model.named_buffers() if b.is_floating_point()}
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
        "final": final,
        "by_batch": by_batch,
    }
    (HERE / "expected.json").write_text(json.dumps(found) + "\n")
    norms = [g["norm"] for g in gradients.values()]
    print("loss", loss.item(), "losses", losses, "gradient norms", min(norms), max(norms))


if __name__ == "__main__":
    main()
