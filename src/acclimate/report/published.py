"""Numbers printed in papers, as a recipe's ``published`` list gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acclimate.errors import UserError


@dataclass(frozen=True)
class Published:
    """One published row; its scores are fractions here, like ours.

    Attributes:
        name: the name of the row of ours it stands beside.
        miou: as printed, which is not always the mean of the printed classes.
        iou: by class name, or in the order of the class space.
        subsets: means over named subsets of the classes.
        source: paper and table.
    """

    name: str
    miou: float | None
    iou: Mapping[str, float | None] | tuple[float | None, ...] = ()
    subsets: Mapping[str, float | None] = field(default_factory=dict)
    source: str = ""

    def by_class(self, classes: Sequence[str]) -> dict[str, float | None]:
        """IoU by class name; empty where the row gives none."""
        if isinstance(self.iou, Mapping):
            return {name: self.iou.get(name) for name in classes}
        return dict(zip(classes, self.iou, strict=False))

    def fits(self, classes: Sequence[str]) -> bool:
        """Whether its per-class numbers are about these classes; a row without any fits everywhere."""
        if isinstance(self.iou, Mapping):
            return set(self.iou) <= set(classes)
        return len(self.iou) in (0, len(classes))


def published_rows(content: object, *, where: Path | str) -> list[Published]:
    """Reads a recipe's ``published`` list.

    Its scores are in percent, as papers print them.

    Raises:
        UserError: an entry is not a mapping with a name, or a score is not a number.
    """
    if content is None:
        return []
    if not isinstance(content, list) or not all(isinstance(entry, dict) and entry.get("name") for entry in content):
        raise UserError(
            f"{where}: 'published' must be a list of entries with a name, a miou and perhaps iou and source"
        )
    return [_row(entry, where) for entry in content]


def _row(entry: dict[str, Any], where: Path | str) -> Published:
    def fraction(value: object) -> float | None:
        if value is None or value == "-":
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
            raise UserError(
                f"{where}: published row {entry['name']!r}: {value!r} is not a score; use a percentage or null"
            )
        return value / 100

    iou, subsets = entry.get("iou") or (), entry.get("subsets") or {}
    return Published(
        name=str(entry["name"]),
        miou=fraction(entry.get("miou")),
        iou={str(key): fraction(value) for key, value in iou.items()}
        if isinstance(iou, dict)
        else tuple(fraction(value) for value in iou),
        subsets={str(key): fraction(value) for key, value in subsets.items()},
        source=str(entry.get("source") or ""),
    )
