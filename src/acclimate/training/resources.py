"""What a stage costs: peak memory, and the features of the processor it ran on."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import torch


def reset_peak_memory() -> None:
    """Forgets earlier peaks, so that :func:`peak_memory_mb` speaks of what follows (on Linux and on CUDA devices)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # the kernel's own switch: 5 resets the high-water mark of this process
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """The highest memory used since the last reset, in MiB: the GPU's where there is one, else the process's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 1024
