"""What `acclimate adapt` lays over the shipped recipe ``adapt`` on each kind of machine: one table of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SYSTEM = "adapt"
"""The shipped recipe whose stages and methods are run."""
BASE, CONTROL, ADAPTED = "base", "source-only", "adapted"
"""Its stages: what both others go on from, the control without any adaptation, and the result."""


@dataclass(frozen=True)
class Fit:
    """Network, sizes, batch, rates and steps for one kind of machine.

    Attributes:
        network: as a recipe writes it, without its weights.
        why: this network, in a few words.
        stride: sides of training pictures are multiples of it.
        areas: pixels of training pictures that may be chosen, ascending.
        usual: which of them is chosen where no time is given.
        batch_size: of each domain.
        base_steps, steps: of the first stage, and of each of the two that go on from it. ``LIGHT`` has those of
        docs/results.md.
        base_rate, rate: learning rates of the same.
        optimizer: its other settings.
        warmup: share of a stage's steps over which its rate rises.
        precision: as a recipe writes it.
        from_random: whether it learns from random weights.
        memory_gb: of the GPU that it needs.
    """

    network: Mapping[str, Any]
    why: str
    stride: int
    areas: tuple[int, ...]
    usual: int
    batch_size: int
    base_steps: int
    steps: int
    base_rate: float
    rate: float
    optimizer: Mapping[str, Any]
    warmup: float = 0.0
    precision: str = "auto"
    from_random: bool = False
    memory_gb: float = 0.0


LIGHT = Fit(
    network={"name": "mobilenet-v3plus"},
    why="what gained most on both real pairs measured, and light enough for a processor",
    stride=16,
    areas=(160 * 128, 224 * 160, 320 * 240, 448 * 336, 640 * 480),
    usual=2,
    batch_size=2,
    base_steps=1000,
    steps=1000,
    base_rate=0.0005,
    rate=0.0005,
    optimizer={"kind": "adamw", "weight_decay": 0.01},
    warmup=0.05,
    precision="32-true",
)
RANDOM = Fit(
    network={"name": "small"},
    why="the network that learns most from random weights in a short time",
    stride=16,
    areas=(160 * 80, 256 * 128, 384 * 192),
    usual=1,
    batch_size=4,
    base_steps=1000,
    steps=600,
    base_rate=0.02,
    rate=0.01,
    optimizer={"kind": "sgd", "weight_decay": 0.0005},
    from_random=True,
)
FOUNDATION = Fit(
    network={"name": "dinov2-s"},
    why="a foundation model",
    stride=14,
    areas=(336 * 252, 518 * 518, 700 * 700),
    usual=1,
    batch_size=4,
    base_steps=3000,
    steps=3000,
    base_rate=3e-5,
    rate=3e-5,
    optimizer={"kind": "adamw", "weight_decay": 0.01},
    warmup=0.1,
    memory_gb=6.0,
)
LEAST, MOST = 0.5, 3.0
"""Steps relative to the table's below which pictures become smaller, and above which larger."""
FEWEST_STEPS, FEW_STEPS = 20, 200
"""Steps of the first stage below which nothing is trained, and below which the user is told to expect little."""
EXAMINED = 24
"""Pictures that the doctor looks at on a machine without a GPU."""
FAR_COLOURS = 40.0
"""Grey levels between the domains' colours from which the user is told to think of a colour match."""
SAME_ASPECT = 1.04
"""Aspect ratios nearer than by this factor are taken for the same: pictures are squeezed by less than an eye sees."""


def teacher_decay(steps: int) -> float:
    """How much of itself the mean teacher keeps per step: a memory of a tenth of the training, at most 1,000 steps.

    DAFormer's 0.999 is for 40,000 steps; docs/results.md has 0.99 for 1,000.
    """
    return round(min(0.999, max(0.9, 1.0 - 10.0 / steps)), 4)
