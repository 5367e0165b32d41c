"""Where single commands work."""

from __future__ import annotations


def default_device() -> str:
    """The GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
