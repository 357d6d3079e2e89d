"""Tables of `text_classification.py`: what its parts found, as a Markdown page.

Differences are retune minus the peer, in points of accuracy. Their interval is a paired
bootstrap over the test rows: each resample takes whole rows, with the answers of both
programs under every seed. It covers the choice of test rows; of the seeds it knows only
those that ran.
"""

import argparse
import datetime
import os
import platform
import random
import statistics
import subprocess
from pathlib import Path

MARGIN = 1.0  # points of accuracy
CURVE_LIMIT = 2e-3  # nats, mean absolute difference of the losses
RESAMPLES = 4000
FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")


def interval(rows: list[float]) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean of `rows`."""
    source = random.Random(17)
    means = sorted(
        statistics.fmean(source.choices(rows, k=len(rows))) for _ in range(RESAMPLES)
    )
    return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]


def differences(runs: list[dict]) -> list[float]:
    """Points of accuracy each test row adds to the difference, mean over the seeds."""
    pairs = [zip(run["retune"]["right"], run["peer"]["right"], strict=True) for run in runs]
    each_seed = [[100 * (ours - theirs) for ours, theirs in pair] for pair in pairs]
    return [statistics.fmean(row) for row in zip(*each_seed, strict=True)]


def verdict(mean: float, low: float) -> str:
    """What the difference says about the margin, and what it does not."""
    if mean < -MARGIN:
        return f"retune is more than {MARGIN:g} point below the peer in these runs."
    if low > -MARGIN:
        margin = f"Non-inferior at the {MARGIN:g}-point margin"
        return f"{margin}: the whole interval lies above -{MARGIN:g}."
    return (
        f"The mean difference is within the {MARGIN:g}-point margin, but the interval reaches below "
        f"-{MARGIN:g}: these rows and seeds alone do not prove non-inferiority."
    )


def accuracy(part: dict) -> list[str]:
    """Accuracy of both programs by seed, their difference, and the floors."""
    runs = part["runs"]
    lines = ["| seed | retune | transformers | difference, points |", "|---|---|---|---|"]
    sides: dict[str, list] = {"retune": [], "peer": []}
    for run in runs:
        ours, theirs = (run[side]["accuracy"] for side in sides)
        lines.append(f"| {run['seed']} | {ours:.4f} | {theirs:.4f} | {100 * (ours - theirs):+.2f} |")
        for side, value in zip(sides, (ours, theirs)):
            sides[side].append(value)
    rows = differences(runs)
    mean, (low, high) = statistics.fmean(rows), interval(rows)
    ours, theirs = (statistics.fmean(values) for values in sides.values())
    floors = runs[0]["retune"]["floors"]
    return [
        *lines,
        f"| mean | {ours:.4f} | {theirs:.4f} | {mean:+.2f} |",
        "",
        f"Test rows: {len(rows)}. Difference {mean:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f} "
        f"(paired bootstrap over test rows, {RESAMPLES} resamples). {verdict(mean, low)}",
        "",
        f"Floors on the same rows: majority class {floors['majority']:.4f}, "
        f"frozen features with a linear head {floors['frozen']:.4f}.",
    ]


def cost(part: dict) -> list[str]:
    """Time and memory of both programs; a ratio only where they ran in turn."""
    table = [
        "| program | seed | seconds in steps | median step, ms | whole program, s | peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    for run in part["runs"]:
        for side, name in (("retune", "retune"), ("peer", "transformers")):
            found = run[side]
            table.append(
                f"| {name} | {run['seed']} | {found['step_seconds']:.0f} | {found['median_step_ms']:.0f} "
                f"| {found['seconds']:.0f} | {found['peak_rss'] / 1e6:.0f} |"
            )
    notes = (
        "A step is forward, backward, clipping and optimizer. The whole program covers, for retune, "
        "also the measurement of the model before tuning and the frozen floor; for the peer, the "
        "import of its libraries. Peak memory is that of the training process. "
    )
    if part["together"]:
        return [*table, "", f"{notes}**The two programs ran at the same time, with {part['threads']} "
                "thread asked of each, on a machine that other work used too; these times serve no "
                "comparison, and no ratio is given.**"]  # fmt: skip
    medians = [run["retune"]["median_step_ms"] / run["peer"]["median_step_ms"] for run in part["runs"]]
    return [*table, "", f"{notes}The programs ran in turn, {part['threads']} thread(s) each. "
            f"Median step of retune over that of transformers: {statistics.median(medians):.2f}."]  # fmt: skip


def curve(part: dict) -> list[str]:
    """How far the losses are apart, in either format of products."""
    theirs, ours = part["peer"], {name: part[name] for name in ("f32", "bf16")}
    marks = [i for i in (1, 2, 10, 50, 100, 150, 200) if i <= len(theirs)]
    cells = [
        [f"{i}", f"{theirs[i - 1]:.6f}"]
        + [cell for o in ours.values() for cell in (f"{o['retune'][i - 1]:.6f}", f"{o['gaps'][i - 1]:.1e}")]
        for i in marks
    ]
    lines = [
        "| step | transformers f32 | retune f32 | difference | retune bf16 | difference |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in cells),
        "",
    ]
    for name, found in ours.items():
        mean, worst = statistics.fmean(found["gaps"]), max(found["gaps"])
        says = "within" if mean <= CURVE_LIMIT else "NOT within"
        lines.append(
            f"- {name}, {len(theirs)} steps: mean absolute difference {mean:.2e}, largest {worst:.2e} at step "
            f"{found['gaps'].index(worst) + 1}; the mean is {says} the limit of {CURVE_LIMIT:g}."
        )
    return lines


def machine() -> str:
    """Cores, processor, its vector instructions, memory."""
    model, flags = platform.machine(), []
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        model = fields.get("model name", model)
        flags = [flag for flag in FLAGS if flag in fields.get("flags", "").split()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {model} ({' '.join(flags) or 'no flags known'}), {memory:.0f} GiB"


def command(name: str, part: dict, args: argparse.Namespace) -> str:
    """The command line of one part, with this machine's paths left out."""
    words = f"--parts {name.split('-')[0]} --batch-size {args.batch_size} --lr {args.lr:g}"
    if "runs" in part:
        seeds = " ".join(str(run["seed"]) for run in part["runs"])
        words += f" --order {part['order']} --epochs {part['epochs']:g} --seeds {seeds}"
        words += f" --threads {part['threads']}" + (" --together" if part["together"] else "")
    return (
        "    python bench/text_classification.py --retune target/release/retune "
        "--python peers/bin/python \\\n"
        f"        --model FOLDER --data movie/ --out PAGE.md \\\n        {words}"
    )


def settings(part: dict) -> str:
    """What differs between the parts that compare accuracy."""
    orders = {
        "bucketed": "batches rows of like length (`--order bucketed`)",
        "shuffled": "shuffles as well (`--order shuffled`)",
    }
    epochs = f"{part['epochs']:g} epoch{'' if part['epochs'] == 1 else 's'}"
    return (
        f"{epochs}, dropout of the checkpoint, best epoch by validation accuracy. "
        f"The Trainer shuffles; retune {orders[part['order']]}."
    )


TITLES = {
    "full": "All movie sentences",
    "sample": "The quickstart's sample",
    "curve": "Loss curve from equal weights",
}
ABOUT = {
    "full": "The files of `data/make_movie_sentences.py --splits`: the same rows for both programs.",
    "sample": "`data/movie-sentences.csv`, 2,000 rows, cut 70/10/20 once for both programs.",
    "curve": "Both programs start from one saved folder, head included, and read the rows in file order, "
    "without dropout. Transformers computes in f32, retune in f32 and in bf16. Step 1 has rate 0.",
}


def page(found: dict, args: argparse.Namespace) -> str:
    """The whole page; sections of parts that never ran are absent."""
    versions = next(iter(found.values()))["versions"]
    ours = subprocess.run([args.retune, "--version"], capture_output=True, text=True, check=True)
    names = {"torch": "torch", "transformers": "transformers", "python": "Python"}
    peers = ", ".join(f"{names[key]} {versions[key]}" for key in names)
    lines = [
        "# Text classification: retune and transformers' Trainer",
        "",
        f"- Date: {datetime.date.today().isoformat()}",
        f"- Machine: {machine()}",
        f"- Versions: retune {ours.stdout.split()[-1]}; {peers}",
        "",
        f"Model: all-MiniLM-L6-v2, f32. Both programs: AdamW, rate {args.lr:g}, linear with 10 % warm-up, "
        f"batch {args.batch_size}, weight decay 0.01, clipping at 1, at most 256 tokens.",
    ]
    for kind, title in TITLES.items():
        for name in (n for n in found if n.split("-")[0] == kind):
            part = found[name]
            order = f" ({part['order']})" if "runs" in part else ""
            lines += ["", f"## {title}{order}", "", ABOUT[kind], ""]
            if "runs" in part:
                lines += [settings(part), "", *accuracy(part)]
            else:
                lines += curve(part)
            if kind == "full":
                lines += ["", "### Time and memory of these runs", "", *cost(part)]
            lines += ["", "Command:", "", command(name, part, args)]
    return "\n".join(lines) + "\n"
