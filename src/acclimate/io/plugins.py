"""What there is by name: what the files of a folder define, and what installed packages add by their entry points."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Literal, TypeVar

from acclimate.errors import UserError, unknown

Group = Literal["acclimate.networks", "acclimate.methods", "acclimate.datasets"]
Kind = TypeVar("Kind")


def shipped(
    package: str, kind: type[Kind], *, key: str = "name", where: Callable[[type[Kind]], bool] = lambda _: True
) -> dict[str, type[Kind]]:
    """The subclasses of ``kind`` that the files of a package define, by the name each gives itself.

    Args:
        package: a package whose every file is imported.
        kind: what is looked for.
        key: the attribute that holds the name; a class that only inherits it, or has none, is not listed.
        where: which of them are asked for.
    """
    found = {}
    for module in (import_module(f"{package}.{each.name}") for each in iter_modules(import_module(package).__path__)):
        for value in vars(module).values():
            if inspect.isclass(value) and issubclass(value, kind) and value.__module__ == module.__name__:
                name = vars(value).get(key)
                if isinstance(name, str) and where(value):
                    found[name] = value
    return dict(sorted(found.items()))


def named(what: str, name: str, known: Mapping[str, type[Kind]], group: Group, kind: type[Kind]) -> type[Kind]:
    """The class of that name, of those known or of an installed package's.

    Args:
        what: the classes are, for the message.

    Raises:
        UserError: there is none.
    """
    found = known.get(name) or added(group, name, kind)
    if found is None:
        raise unknown(what, name, [*known, *names_added(group)])
    return found


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
