#!/usr/bin/env python3
"""Write small files as torch.save does, and what is in them.

`golden/pickle/`:

    zipped.pth      a state dict in the layout of PyTorch 1.6 and later
    legacy.pth      the same in the layout before it
    training.pth    what a training program keeps: the state dict under `state_dict`, beside an
                    epoch and the state of an optimiser; legacy layout, storages of both mixed
    module.pth      a whole module, which takes code to be read and has to be refused
    expected.json   per tensor of the state dict: shape and values in row-major order

The state dict has views that are not contiguous, share a storage or begin inside it, every
number type of weights, a count of batches, a scalar, and a tensor without values.

    pip install -r bench/peers/requirements.txt
    python golden/make_pickles.py
"""

import collections
import json
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent / "pickle"


def state() -> dict:
    """Tensors that are easy to read wrongly."""
    torch.manual_seed(0)
    base = torch.randn(4, 6)
    found = collections.OrderedDict()
    found["dense"] = base
    found["transposed"] = torch.randn(3, 5).t()
    found["shared.rows"] = base[1:3]
    found["shared.columns"] = base[:, 2:5]
    found["every_other"] = torch.randn(9)[1::2]
    # How convolutions of TensorFlow checkpoints come: [out, in, height, width] over other strides.
    found["convolution"] = torch.randn(3, 3, 2, 4).permute(3, 2, 0, 1)
    found["thin"] = torch.randn(5, 1).t()
    found["parameter"] = torch.nn.Parameter(torch.randn(2, 2))
    found["half"] = torch.randn(3).half()
    found["bfloat"] = torch.randn(3).bfloat16()
    found["double"] = torch.randn(3).double()
    found["scalar"] = torch.tensor(2.5)
    found["none"] = torch.zeros(0, 3)
    found["batches"] = torch.tensor(17)
    found._metadata = {"": {"version": 1}}
    return found


def main() -> None:
    """Write all files."""
    HERE.mkdir(exist_ok=True)
    tensors = state()
    old = {"_use_new_zipfile_serialization": False}
    torch.save(tensors, HERE / "zipped.pth")
    torch.save(tensors, HERE / "legacy.pth", **old)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    training = {
        "epoch": 3,
        "loss": 0.25,
        "optimizer": optimizer.state_dict(),
        "state_dict": tensors,
    }
    torch.save(training, HERE / "training.pth", **old)
    torch.save(model, HERE / "module.pth")
    expected = {
        name: {"shape": list(value.shape), "values": value.detach().double().flatten().tolist()}
        for name, value in tensors.items()
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
