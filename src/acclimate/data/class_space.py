"""Class spaces: an ordered list of classes with colours, and how each dataset's raw ids map into it.

Train ids are positions in the list; 255 is void (a pixel no class owns). Mapping happens in memory: label files of the
user are never rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassSpace:
    """An ordered list of classes and the mappings of datasets' raw ids into it.

    Attributes:
        name: how recipes and checkpoints refer to it.
        classes: class names in train-id order.
        colours: one RGB triple (0-255) per class.
        mappings: for each dataset kind, raw id -> train id. Raw ids that are known and void map to 255; a raw id that
            is not a key is unknown, and an error when it is met.
        subsets: named lists of class names over which a mean is also printed (the 13 of SYNTHIA's 16, say).
    """

    name: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    mappings: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    subsets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.classes) != len(self.colours):
            raise ValueError(f"{self.name}: {len(self.classes)} classes but {len(self.colours)} colours")

    def __len__(self) -> int:
        return len(self.classes)

    def palette(self) -> NDArray[np.uint8]:
        """Colours by train id, shape (256, 3); void and unused ids are black."""
        table = np.zeros((256, 3), dtype=np.uint8)
        table[: len(self)] = np.array(self.colours, dtype=np.uint8).reshape(-1, 3)
        return table
