"""Where a run happened: versions, hardware, commit. Written beside every result."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from acclimate.errors import UserError

PACKAGES = ("acclimate", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow", "safetensors")


def environment() -> dict[str, Any]:
    """Versions of what matters, the processor, the accelerator, and the commit acclimate itself was run from."""
    import torch

    accelerator = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": torch.get_num_threads(),
        "accelerator": accelerator,
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def default_device() -> str:
    """Where single commands and loaded models work: the GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def device_named(name: str | None) -> str:
    """A device that is there: the one of that name, or :func:`default_device`.

    Raises:
        UserError: there is none of that name on this machine.
    """
    import torch

    if name is None:
        return default_device()
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it holds no values")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        cards = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        there = ["cpu", *cards, *(["mps"] if torch.backends.mps.is_available() else [])]
        raise UserError(f"there is no device {name!r} here; there is {', '.join(there)}") from None
    return name


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str | None:
    """The commit of the checkout this package lives in, ``-dirty`` when files differ; None for an installed package."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
