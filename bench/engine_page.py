"""The page of `bench/run`: ratios beside the project's bars, then the figures they come from.

A ratio is taken between two programs of the same round; the page gives the median over the
rounds. "Best peer" is the setting with the best median of the compared figure, over all rounds:
one setting for a whole row, not the luckiest of each round.
"""

import argparse
import platform
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from text_classification_page import machine  # beside this file

MS, TOKENS, MEMORY, SECONDS = "ms_per_step_median", "tokens_per_s", "peak_rss_bytes", "seconds"
HIGHER_IS_BETTER = {TOKENS}
OTHER_WORK = 0.10  # share of the processors above which a run proves nothing about speed


@dataclass
class Bar:
    """One comparison of a group, and what the project asks of it.

    `ours` is set against `peers` by `figure`, as a speed-up unless `least` is False: then the
    quotient ours / theirs is given and must be at most `bar`. `chosen_by` finds the best peer
    where that is another figure than the compared one.
    """

    about: str
    group: str
    figure: str
    peers: str
    bar: float | None = None
    least: bool = True
    ours: str = "retune"
    chosen_by: str | None = None


RAGGED_BARS = {"movie": (2.6, 4.2, 1.6), "clothing": (2.6, 4.2, 1.6), "log-normal": (3.5, 6.0, None)}
AVX2_BARS = {"movie": 2.0, "clothing": 2.0, "log-normal": 2.0}


def dense_bars() -> list[Bar]:
    """Full batches."""
    name = "16 x 128"
    return [
        Bar(f"{name}, speed over the best peer", "dense", MS, "best", 2.0),
        Bar(f"{name}, speed over transformers' default", "dense", MS, "fp32", 3.0),
        Bar(f"{name}, time over the prototype's", "dense", MS, "prototype", 1.08, least=False),
        Bar(f"{name}, memory over the best peer's", "dense", MEMORY, "best", 0.45, least=False, chosen_by=MS),
        Bar(f"{name}, memory over the leanest peer's", "dense", MEMORY, "best", least=False),
        Bar(f"{name}, f32 against f32, speed", "dense", MS, "fp32", ours="retune f32"),
    ]


def ragged_bars() -> list[Bar]:
    """Texts of different lengths."""
    rows = []
    for text, (best, default, grouped) in RAGGED_BARS.items():
        group, name = f"ragged-{text}", f"ragged, {text}, tokens/s over"
        rows += [
            Bar(f"{name} the best peer, random batches", group, TOKENS, "random", best),
            Bar(f"{name} transformers' default", group, TOKENS, "fp32", default),
            Bar(f"{name} the best peer, batches by length", group, TOKENS, "grouped", grouped),
        ]
    return rows


def frozen_bars() -> list[Bar]:
    """LoRA and a frozen backbone."""
    lora, frozen, full = "retune lora", "retune frozen", "retune full"
    return [
        Bar("LoRA step over the full step, time", "frozen", MS, full, 0.75, least=False, ours=lora),
        Bar("frozen step over the full step, time", "frozen", MS, full, 0.40, least=False, ours=frozen),
        Bar("LoRA step, speed over the best of PEFT", "frozen", MS, "lora", ours=lora),
        Bar("frozen step, speed over the best peer", "frozen", MS, "frozen", ours=frozen),
    ]


def avx2_bars() -> list[Bar]:
    """Both programs held to AVX2."""
    rows = [Bar("AVX2, 16 x 128, speed over transformers fp32", "avx2-dense", MS, "fp32", 1.3)]
    for text, bar in AVX2_BARS.items():
        about = f"AVX2, ragged, {text}, tokens/s over transformers fp32"
        rows.append(Bar(about, f"avx2-{text}", TOKENS, "fp32", bar))
    return rows


def bars() -> list[Bar]:
    """All comparisons, in the order of the page."""
    name = "BERT-base, 16 x 128"
    return [
        *dense_bars(),
        *ragged_bars(),
        Bar("whole process, speed over the best peer script", "process", SECONDS, "best", 2.3),
        Bar("whole process, speed over the default script", "process", SECONDS, "fp32", 3.8),
        Bar("predict one sentence, speed over the peer's", "predict", SECONDS, "fp32", 10.0),
        *frozen_bars(),
        Bar(f"{name}, speed over the best peer", "base", MS, "best", 1.6),
        Bar(f"{name}, memory over the best peer's", "base", MEMORY, "best", 0.7, least=False, chosen_by=MS),
        *avx2_bars(),
    ]


def verdict(met: bool, record: dict, timed: bool = True) -> str:
    """Whether a bar is met; no verdict where the run proves nothing."""
    if record["quick"]:
        return "no verdict: `--quick`"
    if timed and max(other_work(record), default=0.0) > OTHER_WORK:
        return "no verdict: machine not idle"
    return "met" if met else "**missed**"


def other_work(record: dict) -> list[float]:
    """The share of the processors that other programs took, of each run where it is known."""
    runs = [run for found in record["rounds"] for run in found.values()]
    return [run["foreign_share"] for run in runs if run.get("foreign_share") is not None]


def candidates(names: list[str], peers: str) -> list[str]:
    """The settings that a comparison's `peers` means; a name stands for itself."""
    theirs = [name for name in names if not name.startswith(("retune", "prototype"))]
    match peers:
        case "best":
            return theirs
        case "random":
            return [name for name in theirs if not name.endswith("grouped")]
        case "grouped" | "lora" | "frozen":
            return [name for name in theirs if name.endswith(peers)]
        case _:
            return [name for name in names if name == peers]


def median(rounds: list[dict], name: str, figure: str) -> float | None:
    """The median over the rounds of one setting's figure; None where it has none."""
    values = [found[name].get(figure) for found in rounds if name in found]
    return statistics.median(values) if values and None not in values else None


def best(rounds: list[dict], names: list[str], figure: str) -> str | None:
    """The setting with the best median."""
    known = {name: median(rounds, name, figure) for name in names}
    known = {name: value for name, value in known.items() if value is not None}
    choose = max if figure in HIGHER_IS_BETTER else min
    return choose(known, key=known.__getitem__) if known else None


def compare(bar: Bar, kept: dict) -> list[str] | None:
    """The cells of one comparison; None where its programs did not run."""
    if bar.group not in kept:
        return None
    rounds = kept[bar.group]["rounds"]
    names = [name for name in rounds[0] if name != bar.ours]
    chosen = best(rounds, candidates(names, bar.peers), bar.chosen_by or bar.figure)
    if chosen is None or bar.ours not in rounds[0]:
        return None
    ratios = [found[bar.ours][bar.figure] / found[chosen][bar.figure] for found in rounds]
    if bar.least and bar.figure not in HIGHER_IS_BETTER:
        ratios = [1 / ratio for ratio in ratios]
    ratio = statistics.median(ratios)
    spread = f"{min(ratios):.2f}–{max(ratios):.2f}" if len(ratios) > 1 else "one round"
    if bar.bar is None:
        return [bar.about, chosen, f"{ratio:.2f}", spread, "", ""]
    met = ratio >= bar.bar if bar.least else ratio <= bar.bar
    sign = "≥" if bar.least else "≤"
    return [
        bar.about,
        chosen,
        f"**{ratio:.2f}**",
        spread,
        f"{sign} {bar.bar:g}",
        verdict(met, kept[bar.group], timed=bar.figure != MEMORY),
    ]


def absolute(kept: dict) -> list[list[str]]:
    """Bars on figures of retune alone."""
    rows = []
    for about, group, figure, bar, least in (
        ("16 x 128, share of the measured GEMM peak", "dense", "share_of_peak", 0.70, True),
        ("16 x 128, share of the time spent waiting for data", "dense", "wait_share", 0.01, False),
        (
            "ragged, movie, share of the time spent waiting for data",
            "ragged-movie",
            "wait_share",
            0.01,
            False,
        ),
        ("predict one sentence, fresh process, seconds", "predict", "seconds", 0.3, False),
    ):
        value = median(kept[group]["rounds"], "retune", figure) if group in kept else None
        if value is None:
            continue
        values = [found["retune"][figure] for found in kept[group]["rounds"]]
        met = value >= bar if least else value <= bar
        spread = f"{min(values):.3f}–{max(values):.3f}" if len(values) > 1 else "one round"
        sign = "≥" if least else "≤"
        rows.append([about, "", f"**{value:.3f}**", spread, f"{sign} {bar:g}", verdict(met, kept[group])])
    return rows


def threads(kept: dict) -> list[list[str]]:
    """Whether the weights depend on the number of threads."""
    if "threads" not in kept:
        return []
    rows, rounds = [], kept["threads"]["rounds"]
    workloads = dict.fromkeys(name.rsplit(",", 1)[0] for name in rounds[0])
    for workload in workloads:
        sums = {f["weights_sha256"] for r in rounds for n, f in r.items() if n.rsplit(",", 1)[0] == workload}
        steps = next(f["steps"] for n, f in rounds[0].items() if n.rsplit(",", 1)[0] == workload)
        about = f"{workload}, different SHA-256 of the weights after {steps} steps at 1, 2, 3, 4 threads"
        rows.append(
            [about, "", f"**{len(sums)}**", "", "= 1", verdict(len(sums) == 1, kept["threads"], timed=False)]
        )
    return rows


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, *rows]]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def cell(rounds: list[dict], name: str, figure: str, form: str, scale: float = 1.0) -> str:
    """A median as text, empty where it is not known."""
    value = median(rounds, name, figure)
    return "" if value is None else format(value * scale, form)


def accuracy(found: dict) -> float | None:
    """Test accuracy as either program names it."""
    if "test_accuracy" in found:
        return found["test_accuracy"]
    return found.get("metrics", {}).get("accuracy", {}).get("value")


def figures(kept: dict, group: str) -> list[str]:
    """All settings of a group, medians over the rounds."""
    record = kept[group]
    rounds = record["rounds"]
    if group in ("process", "predict"):
        head = ["program", "seconds", "peak memory, GB", "test accuracy"]
        rows = []
        for name in rounds[0]:
            right = [accuracy(found[name]) for found in rounds]
            shown = "" if None in right else f"{statistics.median(right):.4f}"
            rows.append(
                [name, cell(rounds, name, SECONDS, ".2f"), cell(rounds, name, MEMORY, ".2f", 1e-9), shown]
            )
    else:
        head = ["program", "ms/step, median", "ms/step, least", "tokens/s", "tokens/step", "padded", "GFLOP/s",
                "peak memory, GB", "page faults/step"]  # fmt: skip
        shown = ((MS, ".1f", 1), ("ms_per_step_min", ".1f", 1), (TOKENS, ".0f", 1), ("tokens_per_step", ".0f", 1),
                 ("padded_tokens_per_step", ".0f", 1), ("gflops", ".0f", 1), (MEMORY, ".2f", 1e-9),
                 ("page_faults_per_step", ".0f", 1))  # fmt: skip
        rows = [[name, *(cell(rounds, name, *item) for item in shown)] for name in rounds[0]]
    return [*table(head, rows), "", notes(record)]


def notes(record: dict) -> str:
    """When and how a group ran, and what makes it doubtful."""
    rounds = record["rounds"]
    ran = f"{len(rounds)} round{'s' if len(rounds) > 1 else ''}, {record['threads']} threads unless named"
    text = f"{ran}, commit {record['commit']}, {record['date']}."
    if record["quick"]:
        text += " **`--quick`: too few steps to be quoted.**"
    shares = other_work(record)
    if shares:
        typical, most = statistics.median(shares), max(shares)
        text += f" Other programs took {typical:.0%} of the processors (at most {most:.0%})."
        if most > OTHER_WORK:
            text += " **The machine was not idle.**"
    late = [name for name in rounds[0] if any(found[name].get("compiles_in_timed_steps") for found in rounds)]
    if late:
        text += f" torch.compile compiled again within the timed steps of: {', '.join(late)}."
    return text


TITLES = {
    "dense": "MiniLM, 16 x 128, full step",
    "ragged-movie": "Ragged: movie sentences",
    "ragged-clothing": "Ragged: clothing reviews",
    "ragged-log-normal": "Ragged: log-normal lengths",
    "process": "Whole process: CSV files to an evaluated, saved model, movie sentences, 3 epochs",
    "predict": "One sentence, fresh process",
    "frozen": "LoRA and a frozen backbone",
    "base": "BERT-base, 16 x 128, full step",
    "avx2-dense": "AVX2: 16 x 128",
    "avx2-movie": "AVX2, ragged: movie sentences",
    "avx2-clothing": "AVX2, ragged: clothing reviews",
    "avx2-log-normal": "AVX2, ragged: log-normal lengths",
    "threads": "Number of threads",
}


def facts(kept: dict, args: argparse.Namespace) -> list[str]:
    """Machine, versions, command."""
    runs = [run for record in kept.values() for found in record["rounds"] for run in found.values()]
    versions: dict[str, str] = {}
    for run in runs:
        versions |= run.get("versions", {}) if isinstance(run.get("versions"), dict) else {}
    done = subprocess.run([args.retune, "--version"], capture_output=True, text=True, check=True)
    peers = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    isas = sorted({run["isa"] for run in runs if run.get("isa")})
    release = Path("/etc/os-release")
    lines = release.read_text().splitlines() if release.exists() else []
    names = [line.split("=", 1)[1].strip('"') for line in lines if line.startswith("PRETTY_NAME=")]
    libc = " ".join(platform.libc_ver())
    return [
        f"- Machine: {machine()}",
        f"- System: {names[0] if names else platform.system()}, kernel {platform.release()}, {libc}",
        f"- Versions: {done.stdout.strip()}; {peers}",
        f"- Instructions used: {', '.join(isas)}",
        f"- Dates: {', '.join(sorted({record['date'] for record in kept.values()}))}; "
        f"commits: {', '.join(sorted({record['commit'] for record in kept.values()}))}",
    ]


COMMAND = """    bench/run --retune target/release/retune --python peers/bin/python --model FOLDER \\
        --movie movie/ --clothing clothing/"""


def texts(known: dict) -> list[str]:
    """What is in the files of sequences."""
    names = ("rows", "tokens", "mean", "median", "largest", "useful_share")
    head = ["file", "rows", "tokens", "mean", "median", "longest", "useful share, random batches padded"]
    rows = [[text, *(str(found[name]) for name in names)] for text, found in known.items()]
    return ["", "## The ragged files", "", *table(head, rows)] if rows else []


def page(kept: dict, args: argparse.Namespace) -> str:
    """The whole page; what never ran is absent."""
    kept = dict(kept)
    lengths = kept.pop("sequences", {})
    kept = {name: kept[name] for name in TITLES if name in kept}
    head = ["what", "against", "result", "rounds", "bar", ""]
    rows = [cells for cells in (compare(bar, kept) for bar in bars()) if cells]
    rows += absolute(kept) + threads(kept)
    lines = [
        "# The engine: retune next to transformers",
        "",
        *facts(kept, args),
        "",
        "Each program in a fresh process, one after another, in rounds; ratios within a round, median of the rounds. "
        "Every step: dropout 0.1, AdamW with weight decay 0.01, clipping at 1; 16 rows. retune: default precision.",
        "Peers: `fp32` is transformers' default, `bf16` CPU autocast, `pages` an allocator told to keep its pages "
        "(`compile` has it too), `grouped` batches by length. Tokens are useful ones, without padding.",
        "",
        "## Ratios and bars",
        "",
        *table(head, rows),
        *texts(lengths),
    ]
    for group in kept:
        lines += ["", f"## {TITLES[group]}", "", *figures(kept, group)]
    return "\n".join([*lines, "", "## Command", "", COMMAND]) + "\n"
