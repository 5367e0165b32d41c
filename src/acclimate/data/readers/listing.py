"""Finding pictures and labels, and pairing them by name: what is left out is told, never passed over in silence."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from acclimate.data.readers.archives import ArchivePath, Place
from acclimate.data.readers.files import IMAGE_SUFFIXES, ranges
from acclimate.data.readers.patterns import Pattern
from acclimate.errors import UserError
from acclimate.io.images import OTHER_PICTURES
from acclimate.io.outputs import MARK

ORPHAN = "is a label without an image"
NO_DATA = ("@eaDir", "__MACOSX", "lost+found", "$RECYCLE.BIN", "System Volume Information")
"""Folders that systems leave between pictures: thumbnails, resource forks, what was thrown away."""


@dataclass(frozen=True)
class Item:
    """One image, its name in the set, and its label file if there is one."""

    name: str
    image: Place
    label: Place | None


@dataclass
class Listing:
    """What a folder holds.

    Attributes:
        items: in the order of names.
        labelled: whether there is a place for labels at all.
        faults: what keeps the set from being opened.
        remarks: what :func:`acclimate.data.check.check` also wants mended.
        notes: what it tells, though nothing needs mending.
    """

    items: list[Item]
    labelled: bool
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Files:
    """Files of one kind under a folder: (relative path without suffix, path), sorted.

    Attributes:
        entries: the files.
        faults, remarks, notes: as in :class:`Listing`, about what lies between them.
    """

    entries: list[tuple[str, Place]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[str, Place]]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def where(self, wanted: Callable[[str], bool]) -> Files:
        """Those whose name is wanted."""
        return Files([entry for entry in self.entries if wanted(entry[0])], self.faults, self.remarks, self.notes)


def found(folder: Place, suffixes: Iterable[str], *, pattern: str | None = None) -> Files:
    """The files under ``folder`` with its sub-folders; names are composed (NFC), whatever system wrote them.

    Left out are hidden files and folders, what systems leave (:data:`NO_DATA`) and folders that acclimate wrote. A
    folder that links reach again counts once.

    Args:
        folder: where to look.
        suffixes: lower case, with the dot; files match whatever their case.
        pattern: a glob below ``folder``; None: everything.

    Raises:
        UserError: a folder may not be listed.
    """
    suffixes = tuple(suffixes)
    result = Files()
    fitting = None if pattern is None else Pattern(pattern)
    others: Counter[str] = Counter()
    for relative, path in _walk(folder, fitting, result):
        if fitting is not None and not fitting.matches(relative.parts):
            continue
        suffix = path.suffix.lower()
        if suffix not in suffixes:
            others.update([suffix] if suffix in IMAGE_SUFFIXES or suffix in OTHER_PICTURES else [])
            continue
        name = unicodedata.normalize("NFC", relative.with_suffix("").as_posix())
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in relative.as_posix()):
            result.faults.append(f"{str(path)!a} has a name that is not UTF-8 or holds control characters; rename it")
            continue
        result.entries.append((name, path))
    result.entries.sort(key=lambda entry: (entry[0], str(entry[1])))
    if others:
        counts = ", ".join(f"{suffix} {count}" for suffix, count in others.most_common())
        result.notes.append(
            f"{sum(others.values())} files in {folder} have other suffixes ({counts}) and are left out; read are "
            f"{', '.join(suffixes)}"
        )
    return result


def _ignored(name: str) -> bool:
    return name.startswith(".") or name in NO_DATA


def _walk(folder: Place, fitting: Pattern | None, result: Files) -> Iterator[tuple[PurePath, Place]]:
    if isinstance(folder, ArchivePath):
        for path in folder.files():
            relative = path.below(folder)
            if not any(_ignored(part) for part in relative.parts):
                yield relative, path
    else:
        yield from _walk_on_disk(folder, fitting, result)


def _walk_on_disk(root: Path, fitting: Pattern | None, result: Files) -> Iterator[tuple[PurePath, Place]]:
    """Every file below ``root``; folders by their own names before those that links lead to, each folder once."""
    pending, links, seen = [(root, PurePath())], list[tuple[Path, PurePath]](), set[tuple[int, int]]()
    while pending or links:
        folder, relative = pending.pop() if pending else links.pop(0)
        try:
            stat = os.stat(folder)
            if (stat.st_dev, stat.st_ino) in seen:
                result.notes.append(f"{folder} leads to a folder that is read already, and is left out")
                continue
            seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UserError(f"{folder} cannot be listed: {error.strerror or error}") from error
        if folder != root and any(entry.name == MARK for entry in entries):
            result.notes.append(f"{folder} was written by acclimate and is left out")
            continue
        for entry in entries:
            if _ignored(entry.name):
                continue
            path, inner = folder / entry.name, relative / entry.name
            kind = _kind(entry)
            if kind == "folder":
                if fitting is None or fitting.may_hold(inner.parts):
                    (links if entry.is_symlink() else pending).append((path, inner))
            elif kind == "file":
                yield inner, path
            elif path.suffix.lower() in IMAGE_SUFFIXES:
                what = "a link that leads nowhere" if not path.exists() else "a pipe, a socket or a device"
                result.remarks.append(f"{path} is {what}; put a file in its place or remove it")


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "neither"
    except OSError:  # a link to itself
        return "neither"


def label_namer(rule: Mapping[str, str] | str | None) -> Callable[[str, Place], str]:
    """(name of an image, its path) -> name of its label, without suffix.

    Args:
        rule: parts of the image's name to replace; or a pattern with ``{name}`` (the path without suffix) or
            ``{file}`` (with it).
    """
    if rule is None:
        return lambda name, path: name
    if isinstance(rule, str):
        pattern = unicodedata.normalize("NFC", rule)
        return lambda name, path: pattern.replace("{name}", name).replace("{file}", name + path.suffix)
    parts = [(unicodedata.normalize("NFC", old), unicodedata.normalize("NFC", new)) for old, new in rule.items()]

    def replaced(name: str, path: Place) -> str:
        for old, new in parts:
            name = name.replace(old, new)
        return name

    return replaced


def paired(images: Files, labels: Files | None, *, label_name: Mapping[str, str] | str | None = None) -> Listing:
    """Images with their labels, by relative path without suffix.

    Args:
        images: as from :func:`found`.
        labels: as from :func:`found`; None: the set has no labels.
        label_name: how a label's name follows from its image's, see :func:`label_namer`.
    """
    listing = Listing(items=[], labelled=labels is not None)
    for files in (images, labels) if labels is not None else (images,):
        listing.faults.extend(files.faults)
        listing.remarks.extend(files.remarks)
        listing.notes.extend(files.notes)
    by_name: dict[str, Place] = {}
    for name, path in labels or ():
        if name in by_name:
            listing.faults.append(f"{by_name[name]} and {path} are labels of the same image; keep one")
        by_name[name] = path
    namer, used = label_namer(label_name), set[str]()
    seen: dict[str, Place] = {}
    hint = ""
    for name, path in images:
        if (earlier := seen.get(name.lower())) is not None:
            fault = any(item.name == name for item in listing.items[-2:])
            (listing.faults if fault else listing.remarks).append(
                f"{earlier} and {path} have names that differ only in {_difference(earlier, path, fault)}; rename one"
            )
            if fault:
                continue
        seen[name.lower()] = path
        wanted = namer(name, path)
        label = by_name.get(wanted)
        if label is not None:
            used.add(wanted)
        elif labels is not None:
            hint = hint or _hint(wanted, name, path, by_name)
            listing.faults.append(f"{path} has no label (expected a label file named {wanted}.png{hint})")
        listing.items.append(Item(name, path, label))
    listing.remarks.extend(f"{path} {ORPHAN}" for name, path in by_name.items() if name not in used)
    return listing


def _difference(first: Place, second: Place, same_name: bool) -> str:
    if not same_name:
        return "case"
    return "suffix" if first.stem == second.stem else "how accents are written"


def _hint(wanted: str, name: str, path: Place, labels: Mapping[str, Place]) -> str:
    """What to say of label names that go on where the image's ends, told with the first label that is missing."""
    longer = min((label for label in labels if label != wanted and label.startswith(name)), default=None, key=len)
    if longer is None:
        return "; nothing of that name is there" if not labels else ""
    pattern = "{file}" + longer[len(name + path.suffix) :] if longer.startswith(name + path.suffix) else None
    rest = pattern or "{name}" + longer[len(name) :]
    return f'; there is {longer}: say label_name: "{rest}" in the dataset.yaml'


def only(images: Files, names: Iterable[str], *, where: Place) -> Files:
    """The images that a list names, by their path, with or without suffix, or by the end of it.

    Args:
        images: of the whole folder.
        names: lines of the list: a name, perhaps followed by other things.
        where: the list, for messages.
    """
    by_name: dict[str, tuple[str, Place]] = {}
    for entry in images:
        by_name.setdefault(entry[0], entry)
    chosen: dict[str, tuple[str, Place]] = {}
    missing: list[str] = []
    for line in names:
        hit = next((by_name[each] for each in _spellings(line) if each in by_name), None)
        if hit is None:
            missing.append(line)
        else:
            chosen[hit[0]] = hit
    result = Files(
        sorted(chosen.values(), key=lambda entry: entry[0]), list(images.faults), images.remarks, images.notes
    )
    if missing:
        more = f" ({len(missing)} such names)" if len(missing) > 1 else ""
        result.faults.append(f"{where} names {missing[0]!r}, of which there is no image{more}")
    return result


def _spellings(line: str) -> Iterator[str]:
    for text in dict.fromkeys((line, line.split()[0])):
        parts = PurePath(unicodedata.normalize("NFC", text.lstrip("/"))).parts
        for start in range(len(parts)):
            tail = "/".join(parts[start:])
            yield tail
            if PurePath(tail).suffix.lower() in IMAGE_SUFFIXES:
                yield PurePath(tail).with_suffix("").as_posix()


def gaps(listing: Listing, *, digits: int) -> list[str]:
    """A note on the numbers missing between the first and the last image, where all names are numbers."""
    numbers = {int(item.name) for item in listing.items if item.name.isdecimal() and len(item.name) < 12}
    if len(numbers) != len(listing.items) or not numbers or max(numbers) - min(numbers) > 10_000_000:
        return []
    absent = sorted(set(range(min(numbers), max(numbers))) - numbers)
    if not absent:
        return []
    runs = [part.split("-") for part in ranges(absent).split(", ")]
    shown = ["-".join(number.zfill(digits) for number in run) for run in runs[:10]]
    return [f"{len(absent)} images are missing in the numbering: {', '.join(shown)}{', …' * (len(runs) > 10)}"]
