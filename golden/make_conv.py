"""Writes conv.json: convolutions, pools and batch norms with their gradients, as torch computes them in f64, against
which the kernels are tested.

    pip install torch==2.15.0
    python golden/make_conv.py

Images are written with channels last, `[images, height, width, channels]`; weights as torch stores them. Padding that
differs from side to side is done by `F.pad` before the operation.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

OUT = pathlib.Path(__file__).with_name("conv.json")


def draw(*shape):
    """Multiples of 1/16 in [-2, 2): f32 and bfloat16 hold them."""
    return torch.randint(-32, 32, shape).to(torch.float64) / 16


def leaf(t):
    return t.clone().requires_grad_(True)


def floats(t):
    values = [float(f"{v:.8g}") for v in t.detach().reshape(-1).tolist()]
    return [int(v) if v == int(v) else v for v in values]


def last(t):
    return floats(t.permute(0, 2, 3, 1))


def padded(x, padding):
    (top, bottom), (left, right) = padding
    return F.pad(x, (left, right, top, bottom))


def window(kernel, stride, padding):
    return {"kernel": kernel, "stride": stride, "padding": padding}


def same(kernel, stride, size):
    """TensorFlow's padding rule SAME."""
    sides = []
    for k, s, n in zip(kernel, stride, size):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        sides.append([total // 2, total - total // 2])
    return sides


def shape(x):
    n, c, h, w = x.shape
    return [n, h, w, c]


def conv(name, size, outputs, kernel, stride, padding, groups=1):
    n, c, h, w = size
    x, weight, bias = leaf(draw(*size)), leaf(draw(outputs, c // groups, *kernel)), leaf(draw(outputs))
    y = F.conv2d(padded(x, padding), weight, bias, stride=stride, groups=groups)
    dy = draw(*y.shape)
    y.backward(dy)
    return {
        "name": name, "window": window(kernel, stride, padding), "shape": shape(x), "outputs": outputs, "groups": groups,
        "x": last(x), "weight": floats(weight), "bias": floats(bias), "y": last(y), "dy": last(dy),
        "dx": last(x.grad), "dw": floats(weight.grad), "db": floats(bias.grad),
    }


def convolutions():
    none, one = [[0, 0], [0, 0]], [[1, 1], [1, 1]]
    return [
        conv("1 x 1", (2, 5, 3, 4), 3, [1, 1], [1, 1], none),
        conv("1 x 1, stride 2", (2, 3, 5, 4), 4, [1, 1], [2, 2], none),
        conv("3 x 3", (2, 3, 5, 6), 4, [3, 3], [1, 1], one),
        conv("3 x 3, stride 2, SAME", (1, 3, 8, 6), 5, [3, 3], [2, 2], same([3, 3], [2, 2], [8, 6])),
        conv("7 x 7, stride 2", (1, 3, 9, 8), 2, [7, 7], [2, 2], [[3, 3], [3, 3]]),
        conv("2 x 3, padding unlike on every side", (1, 2, 4, 5), 3, [2, 3], [1, 2], [[1, 0], [0, 2]]),
        conv("4 x 4, stride 4", (1, 3, 8, 8), 4, [4, 4], [4, 4], none),
        conv("groups", (1, 6, 3, 4), 4, [3, 3], [1, 1], one, groups=2),
        conv("depthwise 3 x 3", (1, 17, 4, 7), 17, [3, 3], [1, 1], one, groups=17),
        conv("depthwise 3 x 3, stride 2, SAME", (1, 16, 4, 12), 16, [3, 3], [2, 2], same([3, 3], [2, 2], [4, 12]), 16),
        conv("depthwise 5 x 5, stride 2, SAME", (1, 16, 3, 13), 16, [5, 5], [2, 2], same([5, 5], [2, 2], [3, 13]), 16),
        conv("depthwise 7 x 7", (1, 3, 6, 9), 3, [7, 7], [1, 1], [[3, 3], [3, 3]], 3),
    ]


def pool(name, kind, size, kernel, stride, padding, f):
    x = leaf(draw(*size))
    y = f(x)
    dy = draw(*y.shape)
    y.backward(dy)
    return {
        "name": name, "kind": kind, "window": window(kernel, stride, [[p, p] for p in padding]), "shape": shape(x),
        "x": last(x), "y": last(y), "dy": last(dy), "dx": last(x.grad),
    }


def pools():
    for kernel, stride, padding in [([3, 3], [2, 2], [1, 1]), ([2, 2], [2, 2], [0, 0]), ([3, 2], [1, 2], [1, 0])]:
        size = (2, 3, 5, 6)
        yield pool("max", "max", size, kernel, stride, padding, lambda x: F.max_pool2d(x, kernel, stride, padding))
        for kind, counted in [("window", True), ("image", False)]:
            yield pool(
                "average", kind, size, kernel, stride, padding,
                lambda x: F.avg_pool2d(x, kernel, stride, padding, count_include_pad=counted),
            )
    yield pool("global", "global", (3, 4, 3, 5), [3, 5], [1, 1], [0, 0], lambda x: F.adaptive_avg_pool2d(x, 1))


def batch_norm(train, size, act):
    n, c, h, w = size
    # Channels of different mean and spread, one of them far from 0.
    spread, level = draw(c).abs() + 0.25, draw(c) * torch.tensor([1.0, 100.0, 1.0])
    x = leaf((draw(*size) * spread[:, None, None] + level[:, None, None]).to(torch.float32).to(torch.float64))
    gamma, beta, residual = leaf(draw(c)), leaf(draw(c)), leaf(draw(*size))
    mean, var = level + draw(c) / 4, draw(c).abs() + 0.5
    before = {"mean": floats(mean), "var": floats(var)}
    norm = F.batch_norm(x, mean, var, gamma, beta, training=train, momentum=0.1, eps=1e-3)
    y = act(norm + residual)
    dy = draw(*y.shape)
    y.backward(dy)
    return {
        "name": f"{'train' if train else 'eval'}, {act.__name__}", "train": train, "activation": act.__name__,
        "shape": shape(x), "eps": 1e-3, "momentum": 0.1, "x": last(x), "residual": last(residual), "gamma": floats(gamma),
        "beta": floats(beta), "before": before, "after": {"mean": floats(mean), "var": floats(var)}, "y": last(y),
        "dy": last(dy), "dx": last(x.grad), "dresidual": last(residual.grad), "dgamma": floats(gamma.grad),
        "dbeta": floats(beta.grad),
    }


def main():
    torch.manual_seed(17)
    norms = [batch_norm(train, (2, 3, 3, 4), act) for train in [True, False] for act in [F.relu, F.relu6, F.silu]]
    parts = {"convolutions": convolutions(), "pools": list(pools()), "norms": norms}
    lines = [f'{{"made_by": {json.dumps({"torch": torch.__version__.split("+")[0]})}']
    lines += [f'"{name}": [\n' + ",\n".join(json.dumps(c) for c in cases) + "]" for name, cases in parts.items()]
    OUT.write_text(",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
