"""The tables of a ``label`` stage's manifest: thresholds, what was kept, and how good it is where labels exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ManifestTable:
    """Rows of per-class values, and what the manifest says besides."""

    facts: list[tuple[str, str]]
    columns: list[str]
    rows: list[tuple[str, list[str]]]


def pseudo_label_tables(manifest: Mapping[str, Any]) -> ManifestTable:
    """What a manifest holds, by shape rather than by key: lists as long as the classes, and mappings by class name.

    Reading by shape keeps the page useful for manifests with more columns than this version knows.
    """
    classes = [str(name) for name in manifest.get("classes") or []]
    columns: dict[str, list[str]] = {}
    facts: list[tuple[str, str]] = []
    _collect(manifest, "", classes, columns, facts)
    rows = [(name, [values[position] for values in columns.values()]) for position, name in enumerate(classes)]
    return ManifestTable(facts, list(columns), rows if columns else [])


def _collect(
    content: Mapping[str, Any],
    prefix: str,
    classes: Sequence[str],
    columns: dict[str, list[str]],
    facts: list[tuple[str, str]],
) -> None:
    for key, value in content.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if key == "classes" and not prefix:
            continue
        if isinstance(value, Mapping):
            if classes and set(map(str, value)) <= set(classes):
                columns[name] = [_shown(value.get(label)) for label in classes]
            else:
                _collect(value, f"{name}: ", classes, columns, facts)
        elif isinstance(value, list):
            if classes and len(value) == len(classes) and all(v is None or isinstance(v, int | float) for v in value):
                columns[name] = [_shown(item) for item in value]
        elif value is not None:
            facts.append((name, _shown(value)))


def _shown(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
