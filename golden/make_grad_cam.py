#!/usr/bin/env python3
"""Write grad_cam.json: where the tiny models of pictures look, by torch's gradients.

By folder of `golden/`: `grid`, the places of the map, and `maps`, [pictures, outputs, places], of the pictures in its
`expected.json`. Of vision transformers the map is what goes into the last layer, without class and other tokens before
the patches; of ConvNeXt what its last stage makes. Weights are means over places of the gradient of an output, and what
speaks against it is cut (Selvaraju et al., arXiv:1610.02391). Everything is computed in f64.

    pip install -r bench/peers/requirements.txt timm==1.0.31
    python golden/make_grad_cam.py
"""

import json
from pathlib import Path

import timm
import torch
import transformers as tf
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent
# Tokens before the patches.
FRONT = {"vit-tiny": 1, "deit-tiny": 2, "dinov2-tiny": 1, "dinov2-registers-tiny": 5, "timm-vit-tiny": 1, "convnext-tiny": None}


def opened(folder: Path) -> torch.nn.Module:
    config = json.loads((folder / "config.json").read_text())
    if "model_type" in config:
        model = tf.AutoModelForImageClassification.from_pretrained(folder, attn_implementation="eager")
    else:
        model = timm.create_model(config["architecture"], num_classes=3, **config["model_args"])
        model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.double().eval()


def last(model: torch.nn.Module, front: int | None) -> torch.nn.Module:
    """The last layer or stage."""
    lists = [m for name, m in model.named_modules() if isinstance(m, torch.nn.ModuleList | torch.nn.Sequential) and len(m) > 1
             and name.rsplit(".", 1)[-1] in (("stages",) if front is None else ("layer", "layers", "blocks"))]  # fmt: skip
    return lists[0][-1]


def maps(model: torch.nn.Module, pixels: torch.Tensor, front: int | None) -> tuple[list[int], torch.Tensor]:
    seen = {}

    def leaf(x: torch.Tensor) -> torch.Tensor:
        seen["x"] = x.detach().requires_grad_()
        return seen["x"]

    layer = last(model, front)
    if front is None:
        hook = layer.register_forward_hook(lambda _m, _i, out: leaf(out))
    else:
        hook = layer.register_forward_pre_hook(lambda _m, args: (leaf(args[0]), *args[1:]))
    out = model(pixels)
    logits = out if isinstance(out, torch.Tensor) else out.logits
    hook.remove()
    found = []
    for output in range(logits.shape[1]):
        (slope,) = torch.autograd.grad(logits[:, output].sum(), seen["x"], retain_graph=True)
        x = seen["x"].detach()
        if front is None:  # [pictures, channels, height, width]
            grid = list(x.shape[2:])
            x, slope = x.flatten(2).transpose(1, 2), slope.flatten(2).transpose(1, 2)
        else:
            x, slope = x[:, front:], slope[:, front:]
            side = int(x.shape[1] ** 0.5)
            grid = [side, x.shape[1] // side]
        found.append((x * slope.mean(1, keepdim=True)).sum(2).clamp_min(0))
    return grid, torch.stack(found, 1)


def main() -> None:
    written = {}
    for name, front in FRONT.items():
        expected = json.loads((HERE / name / "expected.json").read_text())
        side = expected["side"]
        pixels = torch.tensor(expected["pictures"], dtype=torch.float64).reshape(-1, side, side, 3).permute(0, 3, 1, 2)
        model = opened(HERE / name)
        with torch.no_grad():
            out = model(pixels)
            logits = out if isinstance(out, torch.Tensor) else out.logits
        wanted = torch.tensor(expected["logits"], dtype=torch.float64).reshape(logits.shape)
        assert (logits - wanted).abs().max() < 1e-5, name
        grid, found = maps(model, pixels, front)
        written[name] = {"grid": grid, "maps": [round(v, 9) for v in found.flatten().tolist()]}
        print(name, grid, tuple(found.shape), found.max().item())
    (HERE / "grad_cam.json").write_text(json.dumps(written) + "\n")


main()
