"""What makes a stage the same stage: the settings that change what it leaves behind."""

from __future__ import annotations

from typing import Any


def what_matters(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of training or of a network without those that change nothing but speed or the safety net.

    Settings that came later are left out where they do nothing, so that stages finished before them stay valid.
    """
    unimportant = {"workers", "cache", "checkpoint_minutes", "log_every"}
    idle = {
        "source_portion": 1.0,
        "mining": None,
        "focus": None,
        "source_sampling": "shuffled",
        "batch_norm_epsilon": None,
        "snapshots": None,
    }

    def kept(content: dict[str, Any]) -> dict[str, Any]:
        return {
            key: kept(value) if isinstance(value, dict) else value
            for key, value in content.items()
            if not (key in idle and value == idle[key])
        }

    return kept({key: value for key, value in settings.items() if key not in unimportant})
