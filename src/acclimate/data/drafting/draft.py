"""The draft of a ``dataset.yaml``: valid as it is, with names to fill in."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from acclimate.data.drafting.folders import Found, looked_through
from acclimate.data.drafting.names import Names, names_for
from acclimate.data.drafting.values import Values, values_in
from acclimate.data.readers.description import VOID_NAME
from acclimate.data.readers.files import image_size
from acclimate.errors import UserError
from acclimate.io.outputs import signed_draft

_SIZES = 50


@dataclass(frozen=True)
class Draft:
    """A description in the making.

    Attributes:
        text: the YAML with comments.
        labelled: whether it has labels.
        unsure: how many classes still need a name.
        remarks: what could not be told.
    """

    text: str
    labelled: bool
    unsure: int
    remarks: list[str]


def draft_of(root: Path, *, names: list[str] | None = None, elsewhere: bool = False) -> Draft:
    """The draft for a folder: what its files are called and hold, looked at and never changed.

    Args:
        root: the folder.
        names: of the classes, in the order of the ids or colours found; None: told where they are well known.
        elsewhere: whether the description will lie outside the folder, so that paths are absolute.

    Raises:
        UserError: no pictures are there, or ``names`` are too few or too many.
    """
    found = looked_through(root)
    labels = [path for part in found.parts.values() for path in part.label_files]
    if names is not None and not labels:
        raise UserError(f"{root}: --classes names classes, but there are no labels")
    lines = [f"# acclimate init {root}", *(f"# {line}" for line in _seen(found))]
    lines.append("# Change it as you like: from then on it is yours, and is never replaced.")
    if elsewhere:
        lines.append(f"name: {_text(root.resolve().name)}")
    base = root.resolve() if elsewhere else None
    lines += _places("images", {split: part.images for split, part in found.parts.items()}, base)
    lines += _places("labels", {split: part.labels for split, part in found.parts.items() if part.labels}, base)
    if isinstance(found.label_name, dict):
        pairs = ", ".join(f"{_text(old)}: {_text(new)}" for old, new in found.label_name.items())
        lines.append(f"label_name: {{{pairs}}}")
    elif found.label_name:
        lines.append(f"label_name: {json.dumps(found.label_name)}")
    remarks, unsure = list(found.remarks), 0
    if labels:
        values = values_in(labels)
        if not values.files:
            raise UserError(f"no label of {root} can be read: {(values.problems or ['none is there'])[0]}")
        hint = f"{PurePosixPath(labels[0].as_posix()).parent.name}/{labels[0].stem}"
        named = names_for(values, root, hint=hint, given=names)
        unsure = len(named.unsure)
        lines += _classes(values, named)
        remarks += _remarks(values, named)
    remarks += [
        f"{part.unlabelled} of {len(part.image_files)} pictures of the split {split} have no label"
        for split, part in found.parts.items()
        if part.unlabelled
    ]
    return Draft(signed_draft("\n".join(lines) + "\n"), bool(labels), unsure, remarks)


def _seen(found: Found) -> list[str]:
    lines = []
    for split, part in found.parts.items():
        sizes = Counter(
            size
            for path in part.image_files[:: max(1, len(part.image_files) // _SIZES)]
            if (size := _size(path)) is not None
        )
        most = f", {sizes.most_common(1)[0][0]}" + (" and other sizes" if len(sizes) > 1 else "") if sizes else ""
        labelled = f"{len(part.label_files)} labels" if part.label_files else "no labels"
        lines.append(f"{split}: {len(part.image_files)} pictures{most}, {labelled}")
    return lines


def _size(path: Path) -> str | None:
    try:
        height, width = image_size(path)
    except UserError:
        return None
    return f"{width}x{height}"


def _places(key: str, places: dict[str, str], base: Path | None) -> list[str]:
    if not places:
        return []
    full = {split: place if base is None else (base / place).as_posix() for split, place in places.items()}
    if list(full) == ["train"]:
        return [f"{key}: {_text(full['train'])}"]
    return [f"{key}:", *(f"  {split}: {_text(place)}" for split, place in full.items())]


def _classes(values: Values, named: Names) -> list[str]:
    """The classes, once each, and what every value means."""
    classes = list(dict.fromkeys(name for name in named.of.values() if name != VOID_NAME))
    lines = ["classes:"]
    for name in classes:
        unsure = any(named.of[value] == name for value in named.unsure)
        lines.append(f"  - {_text(name)}" + ("  # a name to fill in, here and under ids" if unsure else ""))
    lines.append(f"ids:  # names are {named.by}" if named.by else "ids:")
    for value in sorted(named.of):
        written = values.written(value)
        key = json.dumps(written) if values.colours else written
        lines.append(
            f"  {key}: {_text(named.of[value])}  # {values.share(value):.2g} % of the pixels, in "
            f"{values.files[value]} of {values.looked} labels"
        )
    if values.cut:
        lines.append("others: void  # smoothed edges: colours too rare to be classes")
    return lines


def _remarks(values: Values, named: Names) -> list[str]:
    remarks = [f"{len(values.problems)} labels cannot be read: {values.problems[0]}"] if values.problems else []
    if named.unsure:
        names = ", ".join(named.of[value] for value in sorted(named.unsure)[:8])
        more = ", ..." if len(named.unsure) > 8 else ""
        remarks.append(f"classes without a name yet: {names}{more}")
    if values.cut:
        remarks.append(f"{len(values.pixels)} different colours: masks seem smoothed, so rare colours are void")
    return remarks


_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 ./_-]*[A-Za-z0-9._/-]|[A-Za-z.]")
_RESERVED = ("yes", "no", "on", "off", "true", "false", "null", "y", "n")


def _text(text: str) -> str:
    """A text as YAML, in quotes where it needs them."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _RESERVED
    return text if plain else json.dumps(text, ensure_ascii=False)
