"""What installed packages add: networks, methods and kinds of data, by the entry points they declare."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Literal, TypeVar

from acclimate.errors import UserError

Group = Literal["acclimate.networks", "acclimate.methods", "acclimate.datasets"]
Kind = TypeVar("Kind")


def names_added(group: Group) -> list[str]:
    """The names that installed packages add to a group; nothing is imported."""
    return sorted(entry.name for entry in entry_points(group=group))


def added(group: Group, name: str, kind: type[Kind]) -> type[Kind] | None:
    """The class that an installed package adds under ``name``; None where none does.

    Raises:
        UserError: what it adds is no subclass of ``kind``.
    """
    found = {entry.name: entry for entry in entry_points(group=group)}.get(name)
    if found is None:
        return None
    loaded = found.load()
    if not (isinstance(loaded, type) and issubclass(loaded, kind)):
        raise UserError(
            f"the entry point {name!r} in {group} ({found.value}) is no subclass of {kind.__name__}; the package that "
            "registers it must be mended"
        )
    return loaded
