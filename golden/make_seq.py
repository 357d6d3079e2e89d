"""A tiny recommender written out in torch, in f64: `seq/weights.safetensors` and `seq/expected.json`.

python golden/make_seq.py

The formulas are those of the papers that `seq.rs` and `recommend/recommender.rs` name: norms before their parts,
SwiGLU, a valve `sigmoid(V x)` before each residual sum, places counted from the end of a history, item vectors from whitened
texts through an adaptor plus those of their categories and gated vectors of their own, cosines with a learned sharpness, the logarithm of popularity
with a learned weight, softmax over all items. Vectors of items end with that logarithm, and states with its weight over
the sharpness.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from steps import kept

FOLDER = Path(__file__).parent / "seq"
WIDTH, INNER, HEADS, LAYERS, LONGEST, GAPS = 8, 12, 2, 2, 6, 4
TEXT, ITEMS = 5, 7
# Values of categories by item: two columns, of three values and of one; several values of a column share 1.
SHARES = [[1, 0, 0, 0], [0.5, 0.5, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [1 / 3, 1 / 3, 1 / 3, 0], [0, 0, 0, 1]]
HISTORIES = [[3, 1, 4, 1, 5], [2, 6], [0, 3, 2, 6, 1, 4]]
SECONDS = [[0, 1, 1, 9, 100], [5, 5], [0, 3, 3, 4, 20, 21]]


def parameters() -> dict[str, torch.Tensor]:
    draw = np.random.default_rng(17)
    shapes = {
        "adaptor.inner.weight": (4 * WIDTH, TEXT), "adaptor.inner.bias": (4 * WIDTH,),
        "adaptor.out.weight": (WIDTH, 4 * WIDTH), "adaptor.out.bias": (WIDTH,),
        "ids": (ITEMS, WIDTH), "gate": (1,), "sharpness": (1,),
        "body.places": (LONGEST, WIDTH), "body.gaps": (GAPS, WIDTH),
        "body.norm.weight": (WIDTH,), "body.norm.bias": (WIDTH,),
    }  # fmt: skip
    for i in range(LAYERS):
        at = f"body.layers.{i}"
        for name in ["query", "key", "value", "output", "attention_valve", "valve"]:
            shapes |= {f"{at}.{name}.weight": (WIDTH, WIDTH), f"{at}.{name}.bias": (WIDTH,)}
        for name in ["gate", "up"]:
            shapes |= {f"{at}.{name}.weight": (INNER, WIDTH), f"{at}.{name}.bias": (INNER,)}
        shapes |= {f"{at}.down.weight": (WIDTH, INNER), f"{at}.down.bias": (WIDTH,)}
        for name in ["attention_norm", "norm"]:
            shapes |= {f"{at}.{name}.weight": (WIDTH,), f"{at}.{name}.bias": (WIDTH,)}
    shapes["popularity"] = (1,)
    shapes["categories"] = (len(SHARES[0]), WIDTH)
    ones = ("gate", "sharpness", "popularity")
    one = lambda name: 1.0 if name.endswith("norm.weight") or name in ones else 0.0
    draws = {name: one(name) + 0.4 * draw.standard_normal(shape) for name, shape in shapes.items()}
    return {name: torch.tensor(v.astype(np.float32)) for name, v in draws.items()}


def item_vectors(p, texts):
    inner = F.gelu(texts @ p["adaptor.inner.weight"].T + p["adaptor.inner.bias"])
    told = inner @ p["adaptor.out.weight"].T + p["adaptor.out.bias"]
    shared = torch.tensor(SHARES, dtype=texts.dtype) @ p["categories"]
    return F.normalize(told + shared + p["gate"] * p["ids"], dim=1)


def popularity():
    taken = np.bincount(np.concatenate(HISTORIES), minlength=ITEMS)
    return torch.tensor(np.log1p(taken / taken.mean()))


def factor(p):
    return torch.exp(p["sharpness"] + 1.66)


def linear(p, at, x):
    return x @ p[f"{at}.weight"].T + p[f"{at}.bias"]


def norm(p, at, x):
    return F.layer_norm(x, (WIDTH,), p[f"{at}.weight"], p[f"{at}.bias"], 1e-6)


def bucket(seconds):
    gaps = [0] + [b - a for a, b in zip(seconds, seconds[1:])]
    return [min(int(math.log2(gap + 1)), GAPS - 1) for gap in gaps]


def states(p, items, history, seconds):
    n = len(history)
    places = torch.arange(n - 1, -1, -1)
    x = items[history] * math.sqrt(WIDTH) + p["body.places"][places] + p["body.gaps"][bucket(seconds)]
    causal = torch.full((n, n), -torch.inf, dtype=x.dtype).triu(1)
    for i in range(LAYERS):
        at = f"body.layers.{i}"
        y = norm(p, f"{at}.attention_norm", x)
        heads = lambda name: linear(p, f"{at}.{name}", y).view(n, HEADS, -1).transpose(0, 1)
        q, k, v = heads("query"), heads("key"), heads("value")
        weights = (q @ k.transpose(1, 2) / math.sqrt(WIDTH // HEADS) + causal).softmax(-1)
        context = (weights @ v).transpose(0, 1).reshape(n, WIDTH)
        x = x + torch.sigmoid(linear(p, f"{at}.attention_valve", x)) * linear(p, f"{at}.output", context)
        y = norm(p, f"{at}.norm", x)
        inner = F.silu(linear(p, f"{at}.gate", y)) * linear(p, f"{at}.up", y)
        x = x + torch.sigmoid(linear(p, f"{at}.valve", x)) * linear(p, f"{at}.down", inner)
    return F.normalize(norm(p, "body.norm", x), dim=1)


def loss_of(p, texts):
    """Mean over events of -log p(next item); the last event of each history is asked for, not read."""
    items = item_vectors(p, texts)
    total, count = 0.0, 0
    for history, seconds in zip(HISTORIES, SECONDS):
        state = states(p, items, history[:-1], seconds[:-1])
        logits = factor(p) * state @ items.T + p["popularity"] * popularity()
        total = total + F.cross_entropy(logits, torch.tensor(history[1:]), reduction="sum")
        count += len(history) - 1
    return total / count


def steps(p, texts, count):
    """AdamW at 1e-2 without weight decay or clipping."""
    optimizer = torch.optim.AdamW(p.values(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = loss_of(p, texts)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main():
    FOLDER.mkdir(exist_ok=True)
    single = parameters()
    save_file(single, FOLDER / "weights.safetensors")
    texts = torch.tensor(np.random.default_rng(18).standard_normal((ITEMS, TEXT)).astype(np.float32))
    p = {name: v.double().requires_grad_() for name, v in single.items()}
    items = item_vectors(p, texts.double())
    whole = [states(p, items, h, s) for h, s in zip(HISTORIES, SECONDS)]
    ended = lambda rows, last: torch.cat([rows, last.expand(len(rows), 1)], 1).flatten().tolist()
    loss_of(p, texts.double()).backward()
    expected = {
        "histories": HISTORIES, "seconds": SECONDS, "texts": texts.flatten().tolist(),
        "categories": [share for item in SHARES for share in item],
        "popularity": popularity().tolist(), "items": ended(items, popularity()[:, None]),
        "states": ended(torch.cat(whole), p["popularity"] / factor(p)),
        "gradients": {name: kept(v.grad) for name, v in p.items()},
        "losses": steps({n: v.double().requires_grad_() for n, v in single.items()}, texts.double(), 5),
    }  # fmt: skip
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
