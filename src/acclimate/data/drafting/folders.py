"""Which files of a folder are pictures and which are labels, in which splits, and how their names go together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from acclimate.data.readers.files import IMAGE_SUFFIXES, LABEL_SUFFIXES
from acclimate.data.readers.listing import found
from acclimate.errors import UserError
from acclimate.io.images import lossy, opened

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
          "testing": "test"}  # fmt: skip
"""What a part of a path may be called -> the split."""
_LABEL_WORDS = ("label", "mask", "annot", "gt", "seg", "ground", "truth", "ids", "semantic", "trainid", "train_id")
_IMAGE_WORDS = ("image", "img", "rgb", "photo", "frame", "picture", "jpeg", "camera", "left", "color", "colour")
_FEW_VALUES = 200
"""Different grey levels or colours from which a picture is none of classes."""
_LOOKED = 3
_PREFERRED = ("labelids", "label_ids", "ids", "id", "labels", "label", "mask", "trainids", "labeltrainids", "train_id")
"""Of several labels of one picture, by how their names end, which one is taken."""
_AVOIDED = ("instance", "color", "colour", "panoptic", "polygons", "depth", "vis", "edge")


@dataclass
class Part:
    """The pictures of one split, and their labels.

    Attributes:
        images, labels: as a ``dataset.yaml`` names them: a folder or a pattern below the root; no labels: empty.
        image_files, label_files: the files.
        unlabelled: pictures of a labelled split without a label.
    """

    images: str
    labels: str
    image_files: list[Path]
    label_files: list[Path] = field(default_factory=list)
    unlabelled: int = 0


@dataclass
class Found:
    """What a folder holds.

    Attributes:
        root: the folder.
        parts: split -> its files, ``train`` first.
        label_name: how a label's name follows from its picture's; empty: it is the same.
        remarks: what could not be told.
    """

    root: Path
    parts: dict[str, Part]
    label_name: str | dict[str, str]
    remarks: list[str]


@dataclass(frozen=True)
class _File:
    name: str
    path: Path
    folder: str
    split: str


def looked_through(root: Path) -> Found:
    """Pictures and labels below ``root``, told by the names of folders and files, and by what is in a few of them.

    Raises:
        UserError: there is no such folder, or no picture in it.
    """
    if not root.is_dir():
        raise UserError(f"there is no folder {root}")
    files = [
        _File(name, Path(str(path)), str(PurePosixPath(name).parent), _split_of(name))
        for name, path in found(root, IMAGE_SUFFIXES)
    ]
    if not files:
        raise UserError(f"{root} holds no pictures; read are {', '.join(IMAGE_SUFFIXES)}")
    groups: dict[tuple[str, str, str], list[_File]] = {}
    for file in files:
        groups.setdefault((file.folder, _ending(file.path.stem), file.path.suffix.lower()), []).append(file)
    labelled = {key: _are_labels(key, group, alone=len(groups) == 1) for key, group in groups.items()}
    images = [file for key, group in groups.items() if not labelled[key] for file in group]
    labels = _one_kind([file for key, group in groups.items() if labelled[key] for file in group])
    if not images:  # flat pictures that look like label maps
        images, labels = labels, []
    remarks: list[str] = []
    rule = _naming(images, labels, remarks) if labels else ""
    if rule is None:
        rule, labels = "", []
    parts: dict[str, Part] = {}
    for split in sorted({file.split for file in images}, key=lambda name: ("train", "val", "test").index(name)):
        mine = [file for file in images if file.split == split]
        theirs = [file for file in labels if file.split == split]
        part = Part(
            _place(root, mine, labels + [other for other in images if other.split != split]),
            _place(root, theirs, [file for file in files if file not in set(theirs)]) if theirs else "",
            [file.path for file in mine],
            [file.path for file in theirs],
        )
        if theirs:
            part.unlabelled = sum(_label_of(file, rule, part) not in part.label_files for file in mine)
        parts[split] = part
    return Found(root, parts, rule, remarks)


def _split_of(name: str) -> str:
    for part in PurePosixPath(name).parts[:-1]:
        word = part.lower()
        if word in SPLITS:
            return SPLITS[word]
        start = next((each for each in sorted(SPLITS, key=len, reverse=True) if word.startswith(each)), None)
        if start is not None and (word[len(start) :].lstrip("_- ").startswith((*_LABEL_WORDS, *_IMAGE_WORDS))):
            return SPLITS[start]
        tail = re.split(r"[_\- ]", word)[-1]
        if tail in SPLITS:
            return SPLITS[tail]
    return "train"


def _ending(stem: str) -> str:
    """``0001_mask`` -> ``_mask``: the last part of a name that holds letters and is a word of its own."""
    match = re.search(r"_(?:gt[A-Za-z]*_)?[A-Za-z][A-Za-z_]*$|_leftImg8bit$", stem)
    return match[0] if match and any(word in match[0].lower() for word in (*_LABEL_WORDS, *_IMAGE_WORDS)) else ""


def _are_labels(key: tuple[str, str, str], group: Sequence[_File], *, alone: bool) -> bool:
    folder, ending, suffix = key
    if suffix not in LABEL_SUFFIXES or not _look_like_labels(group):
        return False
    for words in ([ending.lower()], [part.lower() for part in reversed(PurePosixPath(folder).parts)]):
        for word in words:
            if any(hint in word for hint in _LABEL_WORDS):
                return True
            if any(hint in word for hint in _IMAGE_WORDS):
                return False
    return not alone


def _look_like_labels(group: Sequence[_File]) -> bool:
    """Whether a few of the files hold few different values, in a format that keeps them exactly."""
    for file in group[:: max(1, len(group) // _LOOKED)][:_LOOKED]:
        try:
            with opened(file.path, whole=True) as picture:
                if lossy(picture) is not None:
                    return False
                if picture.mode == "P":
                    continue
                values = np.array(picture)
        except UserError:
            continue
        if values.ndim == 3:
            values = values[..., :3].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
        if len(np.unique(values)) > _FEW_VALUES:
            return False
    return True


def _one_kind(labels: Sequence[_File]) -> list[_File]:
    """Of several kinds of label of the same pictures (ids, colours, instances), one: by how their names end."""
    endings = Counter(_ending(file.path.stem) for file in labels)
    if len(endings) < 2:
        return list(labels)

    def rank(ending: str) -> tuple[int, int]:
        word = ending.lower().strip("_")
        avoided = any(each in word for each in _AVOIDED)
        place = next((i for i, each in enumerate(_PREFERRED) if word.endswith(each)), len(_PREFERRED))
        return (len(_PREFERRED) + 1 if avoided else place, -endings[ending])

    best = min(endings, key=rank)
    return [file for file in labels if _ending(file.path.stem) == best]


def _naming(images: Sequence[_File], labels: Sequence[_File], remarks: list[str]) -> str | dict[str, str] | None:
    """How a label's name follows from its picture's, by the rule that fits most of them; None: none fits."""
    wanted = Counter(file.path.stem for file in labels)
    picture_ending = Counter(_ending(file.path.stem) for file in images).most_common(1)[0][0]
    label_ending = Counter(_ending(file.path.stem) for file in labels).most_common(1)[0][0]
    rules: list[str | dict[str, str]] = [""]
    if label_ending:
        rules += ["{name}" + label_ending, "{file}" + label_ending]
    rules.append("{file}")
    if picture_ending and label_ending:
        rules.append({picture_ending: label_ending})

    def fits(rule: str | dict[str, str]) -> int:
        return sum(_named(file.path, rule) in wanted for file in images)

    best = max(rules, key=fits)
    if fits(best) == 0:
        remarks.append(
            f"no label has a name that goes with a picture's ({labels[0].path.name} and {images[0].path.name}, for "
            "instance): add labels and label_name by hand"
        )
        return None
    return best


def _named(path: Path, rule: str | dict[str, str]) -> str:
    """The stem of a picture's label."""
    if isinstance(rule, dict):
        stem = path.stem
        for old, new in rule.items():
            stem = stem.replace(old, new)
        return stem
    return (rule or "{name}").replace("{name}", path.stem).replace("{file}", path.name)


def _label_of(file: _File, rule: str | dict[str, str], part: Part) -> Path | None:
    stem = _named(file.path, rule)
    return next((label for label in part.label_files if label.stem == stem), None)


def _place(root: Path, mine: Sequence[_File], others: Sequence[_File]) -> str:
    """The folder that holds these files and none of the others, or else a pattern."""
    folders = [PurePosixPath(file.folder).parts for file in mine]
    common: list[str] = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    folder = "/".join(part for part in common if part != ".")
    prefix = f"{folder}/" if folder else ""
    if not any(file.name.startswith(prefix) for file in others):
        return folder or "."
    endings = {_ending(file.path.stem) for file in mine}
    suffixes = {file.path.suffix for file in mine}
    name = f"*{endings.pop() if len(endings) == 1 else ''}{suffixes.pop() if len(suffixes) == 1 else ''}"
    deep = any(file.folder not in (folder or ".",) for file in mine)
    return f"{prefix}{'**/' if deep else ''}{name}"
