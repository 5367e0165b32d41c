"""Memory: the peak that a stage costs, and what the C library does with what a step frees."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys
from pathlib import Path

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_HIGHEST = 2**31 - 1
_MMAP_FROM = 1 << 30


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


def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory for the next step instead of returning it to the system.

    A training step on the CPU frees and allocates the same large buffers again and again; mapping them anew costs page
    faults, about a tenth of a step of the built-in recipes. Elsewhere than on Linux with glibc this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_FROM)
        mallopt(_M_TRIM_THRESHOLD, _HIGHEST)
