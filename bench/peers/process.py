"""What a peer's process has taken so far; part of the other programs here."""

import resource
import sys
from pathlib import Path

import torch


def compiles() -> int:
    """Graphs that torch.compile has made so far."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def peak_mb() -> float:
    """Largest resident size so far, in 10^6 bytes."""
    # Linux counts in kibibytes, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def mapped_mb() -> float | None:
    """Resident pages of mapped files, which are the libraries', in 10^6 bytes; Linux alone tells."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((round(int(line.split()[1]) * 1024 / 1e6, 1) for line in lines if line.startswith("RssFile")), None)
