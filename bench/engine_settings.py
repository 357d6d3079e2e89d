"""What `bench/run` runs: the sections, their groups of programs, and the command of each.

A group is a set of programs that do the same work in turn. The peers' settings:

- `fp32`: transformers' default.
- `bf16`: CPU autocast.
- `bf16 pages`: the same, with an allocator that keeps its pages. glibc gives large blocks back
  at once by default, which costs tens of thousands of page faults a step.
- `bf16 compile`: the same, with torch.compile; dynamic shapes on ragged batches.

`grouped` batches rows of like length, as the Trainer's group_by_length does; without it
batches are random. Both pad to the longest row of the batch.
"""

import argparse
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

PEERS = Path(__file__).resolve().parent / "peers"
KEEP_PAGES = ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=8589934592:"
              "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.top_pad=268435456")  # fmt: skip
PEER_AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
PLAIN, HALF = ["--precision", "fp32"], ["--precision", "bf16"]
PAGES = dict([KEEP_PAGES])
# Name, options and environment of each way to run a peer.
WAYS = {
    "fp32": (PLAIN, {}),
    "bf16": (HALF, {}),
    "bf16 pages": (HALF, PAGES),
    "bf16 compile": ([*HALF, "--compile"], PAGES),
}
TEXTS = ("movie", "clothing", "log-normal")
SENTENCE = "A gripping story, told with wit and without a wasted minute."


@dataclass
class Setting:
    """One program with its options. `fresh` names folders to remove before it starts."""

    name: str
    command: list[str]
    ours: bool = False
    env: dict[str, str] = field(default_factory=dict)
    fresh: list[Path] = field(default_factory=list)


@dataclass
class Group:
    """Programs that run in turn; `repeats` multiplies the rounds where one run is short."""

    name: str
    settings: list[Setting]
    repeats: int = 1


def words(*parts: object) -> list[str]:
    """A command line of any values."""
    return [str(part) for part in parts]


def ours(
    args: argparse.Namespace, name: str, workload: str, steps: int, *more: object, **env: str
) -> Setting:
    """`retune bench` of one workload."""
    steps = 3 if args.quick else steps
    command = words(
        args.retune, "bench", workload, "--json", "--steps", steps, "--threads", args.threads, *more
    )
    return Setting(name, command, ours=True, env=env)


def peer(
    args: argparse.Namespace, way: str, steps: int, *more: object, name: str = "", env: dict | None = None
) -> Setting:
    """`peers/steps.py` in one of the WAYS."""
    options, own = WAYS[way]
    steps = 3 if args.quick else steps
    command = words(
        args.python, PEERS / "steps.py", "--steps", steps, "--threads", args.threads, *options, *more
    )
    return Setting(name or way, command, env=own | (env or {}))


def dense(args: argparse.Namespace) -> list[Group]:
    """Full batches of 16 x 128 tokens."""
    settings = [
        ours(args, "retune", "bert-minilm", 20),
        ours(args, "retune f32", "bert-minilm", 10, "--precision", "f32"),
    ]
    if args.prototype:
        settings.append(Setting("prototype", args.prototype, ours=True))
    settings += [peer(args, way, 20, "--warmup", 3) for way in WAYS]
    return [Group("dense", settings)]


def file_of(args: argparse.Namespace, text: str) -> Path:
    """The sequences of one source of texts."""
    return args.work / "sequences" / f"{text}.txt"


def sequences(args: argparse.Namespace) -> None:
    """Write the files of sequences that are not there yet, and what is in them."""
    sources = {
        "movie": [
            "--model",
            args.model,
            "--csv",
            *(args.movie / f"{p}.csv" for p in ("train", "valid", "test")),
        ],
        "clothing": ["--model", args.model, "--csv", args.clothing / "train.csv"],
        "log-normal": ["--log-normal", 4096],
    }
    facts = args.work / "sequences.json"
    known = json.loads(facts.read_text()) if facts.exists() else {}
    for text, source in sources.items():
        if text in known and file_of(args, text).exists():
            continue
        command = words(args.python, PEERS / "sequences.py", "--out", file_of(args, text), *source)
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        known[text] = json.loads(done.stdout.splitlines()[-1])
    facts.write_text(json.dumps(known, indent=1) + "\n")


def ragged(args: argparse.Namespace) -> list[Group]:
    """Texts of different lengths, 16 to a batch."""
    groups = []
    for text in TEXTS:
        lines = ["--sequences", file_of(args, text)]
        settings = [ours(args, "retune", "bert-minilm-ragged", 60, *lines)]
        for way in WAYS:
            # torch.compile meets new shapes at first and compiles again.
            warm = ["--warmup", 10 if "compile" in way else 3]
            settings.append(peer(args, way, 60, *lines, *warm))
            settings.append(peer(args, way, 60, *lines, *warm, "--group-by-length", name=f"{way} grouped"))
        groups.append(Group(f"ragged-{text}", settings))
    return groups


def process(args: argparse.Namespace) -> list[Group]:
    """From the CSV files to an evaluated, saved model; then one sentence by a fresh process."""
    parts = {part: args.movie / f"{part}.csv" for part in ("train", "valid", "test")}
    shared = ["--model", args.model, "--epochs", 3, "--lr", 5e-5, "--batch-size", 16, "--warmup-share", 0.1,
              "--weight-decay", 0.01, "--max-length", 256, "--seed", 17, "--threads", args.threads]  # fmt: skip
    if args.quick:
        shared += ["--max-steps", 10]
    bundle, model = args.work / "bundle", args.work / "peer-model"
    train = words(args.retune, "train", parts["train"], "--valid", parts["valid"], "--test", parts["test"], "--text",
                  "text", "--label", "label", "--clip-norm", 1, "--verdict", "off", "--out", bundle, "--json", *shared)  # fmt: skip
    settings = [Setting("retune", train, ours=True, fresh=[bundle])]
    script = words(args.python, PEERS / "text_classification.py", "--save", model, *shared)
    for part, path in parts.items():
        script += words(f"--{part}", path)
    for way, (options, env) in WAYS.items():
        # The default is left as it is; the others get the faster attention, see peers/steps.py.
        options = options if way == "fp32" else [*options, "--attention", "eager"]
        settings.append(Setting(way, script + options, env=env, fresh=[model]))
        if way != "fp32":
            grouped = [*script, *options, "--group-by-length"]
            settings.append(Setting(f"{way} grouped", grouped, env=env, fresh=[model]))
    predict = [
        Setting("retune", words(args.retune, "predict", bundle, SENTENCE, "--json"), ours=True),
        Setting("fp32", words(args.python, PEERS / "predict.py", model, SENTENCE)),
    ]
    return [Group("process", settings), Group("predict", predict, repeats=3)]


def frozen(args: argparse.Namespace) -> list[Group]:
    """LoRA and a frozen backbone against the full step, and PEFT."""
    settings = [ours(args, name, workload, 20) for name, workload in
                (("retune full", "bert-minilm"), ("retune lora", "lora"), ("retune frozen", "frozen"))]  # fmt: skip
    for method in ("lora", "frozen"):
        for way in ("fp32", "bf16 pages", "bf16 compile"):
            settings.append(peer(args, way, 15, "--method", method, name=f"{way} {method}"))
    return [Group("frozen", settings)]


def base(args: argparse.Namespace) -> list[Group]:
    """BERT-base, 16 x 128."""
    settings = [ours(args, "retune", "bert-base", 8, "--warmup", 2)]
    settings += [peer(args, way, 6, "--size", "base", "--warmup", 2) for way in WAYS]
    return [Group("base", settings)]


def avx2(args: argparse.Namespace) -> list[Group]:
    """Both programs held to AVX2, as on most machines."""
    force = {"RETUNE_ISA": "avx2"}
    groups = [Group("avx2-dense", [ours(args, "retune", "bert-minilm", 10, **force),
                                   peer(args, "fp32", 10, env=PEER_AVX2)])]  # fmt: skip
    for text in TEXTS:
        lines = ["--sequences", file_of(args, text)]
        settings = [
            ours(args, "retune", "bert-minilm-ragged", 60, *lines, **force),
            peer(args, "fp32", 60, *lines, env=PEER_AVX2),
            peer(args, "fp32", 60, *lines, "--group-by-length", name="fp32 grouped", env=PEER_AVX2),
        ]
        groups.append(Group(f"avx2-{text}", settings))
    return groups


def threads(args: argparse.Namespace) -> list[Group]:
    """The weights after 50 steps must not depend on the number of threads."""
    settings = []
    for workload, lines in (("bert-minilm", []), ("bert-minilm-ragged", [])):
        for count in (1, 2, 3, 4):
            name = f"{workload}, {count} thread{'s' if count > 1 else ''}"
            steps = 3 if args.quick else 50
            command = words(
                args.retune,
                "bench",
                workload,
                "--json",
                "--steps",
                steps,
                "--warmup",
                0,
                "--threads",
                count,
                *lines,
            )
            settings.append(Setting(name, command, ours=True))
    return [Group("threads", settings)]


SECTIONS = {
    "dense": dense,
    "ragged": ragged,
    "process": process,
    "frozen": frozen,
    "base": base,
    "avx2": avx2,
    "threads": threads,
}
