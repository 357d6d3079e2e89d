"""Writes losses.json: losses and gradients of small cases in f64, against which the options of the loss are tested.

    pip install torch==2.15.0 scikit-learn==1.9.1
    python golden/make_losses.py

Smoothing, class weights and positive weights are torch's own `cross_entropy` and
`binary_cross_entropy_with_logits`; balanced weights of classes are scikit-learn's. torch has no focal loss and no
logit adjustment: these are written out here from their papers (Lin et al., arXiv:1708.02002; Menon et al.,
arXiv:2007.07314), and with exponent 0 they are checked to be torch's.
"""

import itertools
import json
import pathlib

import numpy as np
import sklearn
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

OUT = pathlib.Path(__file__).with_name("losses.json")
NAMES = ["ham", "news", "spam"]
BY_NAME = {"spam": 3.5, "ham": 0.25}


def floats(a):
    return [float(v) for v in a.reshape(-1)]


def recipes(adjustments):
    """Every combination of the options."""
    for smoothing, focal, adjustment, weights in itertools.product(
        [0.0, 0.1], [0.0, 0.5, 2.0], adjustments, [None, "balanced", BY_NAME]
    ):
        recipe = {"label_smoothing": smoothing, "focal": focal, "logit_adjustment": adjustment}
        if weights is not None:
            recipe["class_weights"] = weights
        yield recipe


def weights_of(recipe, balanced):
    option = recipe.get("class_weights")
    if option == "balanced":
        return torch.as_tensor(balanced)
    return torch.tensor([(option or {}).get(name, 1.0) for name in NAMES], dtype=torch.float64)


def soft_focal(log_p, log_missing, wanted, gamma):
    """-(1 - p)^gamma log p of each class, times how much of it is wanted."""
    return -wanted * torch.exp(gamma * log_missing) * log_p


def class_loss(logits, targets, rows, train, recipe):
    weights = weights_of(recipe, compute_class_weight("balanced", classes=np.arange(3), y=train))
    prior = torch.tensor(np.bincount(train, minlength=3) / len(train))
    logits = logits + recipe["logit_adjustment"] * torch.log(prior)
    smoothing = recipe["label_smoothing"]
    log_p = F.log_softmax(logits, dim=1)
    wanted = (1 - smoothing) * F.one_hot(targets, 3) + smoothing / 3
    each = soft_focal(log_p, torch.log1p(-log_p.exp()), wanted * weights, recipe["focal"]).sum(dim=1)
    if recipe["focal"] == 0.0:
        theirs = F.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing)
        assert torch.allclose(each.sum() / weights[targets].sum(), theirs)
        each = F.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing, reduction="none")
    return (rows * each).sum() / (rows * weights[targets]).sum()


def label_loss(logits, targets, rows, train, recipe):
    known = ~torch.isnan(targets)
    flags = torch.nan_to_num(targets)
    weights = weights_of(recipe, (train == 0).sum(axis=0) / (train == 1).sum(axis=0))
    smoothing = recipe["label_smoothing"]
    wanted = flags * (1 - smoothing) + smoothing / 2
    yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
    each = soft_focal(yes, no, wanted * weights, recipe["focal"]) + soft_focal(no, yes, 1 - wanted, recipe["focal"])
    if recipe["focal"] == 0.0:
        theirs = F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weights, reduction="none")
        assert torch.allclose(each, theirs)
        each = theirs
    counted = rows[:, None] * known
    return (each * counted).sum() / counted.sum()


def case(kind, logits, targets, rows, train, recipe):
    logits = logits.clone().requires_grad_()
    loss = {"classes": class_loss, "labels": label_loss}[kind](logits, targets, rows, train, recipe)
    loss.backward()
    return {"recipe": recipe, "loss": loss.item(), "gradient": floats(logits.grad)}


def nullable(flags):
    return [[None if np.isnan(f) else bool(f) for f in row] for row in flags]


def main():
    rng = np.random.default_rng(17)
    logits = torch.tensor(rng.normal(0, 2.5, (8, 3)).astype(np.float32)).double()
    rows = torch.tensor(rng.choice([0.5, 1.0, 2.0], 8))
    classes = torch.tensor([0, 1, 2, 2, 0, 1, 0, 0])
    train_classes = np.repeat([0, 1, 2], [14, 5, 2])
    flags = rng.choice([0.0, 1.0, np.nan], (8, 3), p=[0.5, 0.3, 0.2])
    train_flags = rng.choice([0.0, 1.0, np.nan], (30, 3), p=[0.6, 0.3, 0.1])
    shared = {"names": NAMES, "logits": floats(logits), "weights": floats(rows)}
    out = {
        "classes": shared
        | {
            "train": train_classes.tolist(),
            "targets": classes.tolist(),
            "cases": [
                case("classes", logits, classes, rows, train_classes, recipe) for recipe in recipes([0.0, 1.0, 1.5])
            ],
        },
        "labels": shared
        | {
            "train": nullable(train_flags),
            "targets": nullable(flags),
            "cases": [
                case("labels", logits, torch.tensor(flags), rows, train_flags, recipe) for recipe in recipes([0.0])
            ],
        },
    }
    made_by = {"torch": torch.__version__.split("+")[0], "scikit-learn": sklearn.__version__}
    parts = [f'"made_by": {json.dumps(made_by)}']
    for kind, part in out.items():
        cases = ",\n".join(json.dumps(case) for case in part.pop("cases"))
        parts.append(f'"{kind}": {json.dumps(part)[:-1]}, "cases": [\n{cases}\n]}}')
    OUT.write_text("{" + ",\n".join(parts) + "}\n")


if __name__ == "__main__":
    main()
