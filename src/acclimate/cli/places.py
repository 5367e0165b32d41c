"""Where single commands work, and where they keep what they computed."""

from __future__ import annotations

import os
from pathlib import Path


def default_device() -> str:
    """The GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def user_cache() -> Path:
    """Where single commands keep what they computed: ``$XDG_CACHE_HOME/acclimate`` or ``~/.cache/acclimate``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "acclimate"
