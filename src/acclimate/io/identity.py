"""What identifies settings: the values that differ from their defaults and change what comes out.

A field that only concerns speed says so where it is defined (:func:`speed_only`), and one that is added later, with a
default under which everything stays as it was, changes no identity.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from acclimate.io.files import hash_of_file

_SPEED, _FILE = "concerns speed alone", "names a file"


def speed_only(default: Any, **constraints: Any) -> Any:
    """A field that changes how fast something is done, or how often it is saved, and nothing of the result."""
    return Field(default=default, json_schema_extra={_SPEED: True}, **constraints)


def file_named(default: Any, **constraints: Any) -> Any:
    """A field whose text may be the path of a file: what counts is the file's content, not where it lies."""
    return Field(default=default, json_schema_extra={_FILE: True}, **constraints)


def identity(settings: BaseModel) -> dict[str, Any]:
    """The values of ``settings`` that differ from their fields' defaults, as JSON, nested settings likewise.

    Two settings with the same identity leave the same behind; fields marked by :func:`speed_only` are left out.
    """
    found: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        value, default = getattr(settings, name), field.get_default(call_default_factory=True)
        if _SPEED in extra or value == default:
            continue
        if isinstance(value, BaseModel) and type(value) is type(default) and identity(value) == identity(default):
            continue  # they differ in what concerns speed alone
        if _FILE in extra and isinstance(value, str) and Path(value).is_file():
            value = {"sha256": _content_of(Path(value))}
        found[name] = _plain(value)
    for name, value in (settings.model_extra or {}).items():
        found[name] = _plain(value)
    return found


def _content_of(path: Path) -> str:
    """The file's digest; every stage of a recipe asks for that of the same weights, which are read once."""
    state = path.stat()
    return _digest(path, (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino))


@lru_cache(maxsize=16)
def _digest(path: Path, state: tuple[int, ...]) -> str:
    return hash_of_file(path)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return identity(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value
