"""What lies in the two folders: splits, sizes, classes and colours, from a few of their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acclimate.data.class_space import ClassSpace
from acclimate.data.cut import Cut, rim_of
from acclimate.data.drafting.draft import draft_of
from acclimate.data.readers.base import FileDataset
from acclimate.data.readers.description import DESCRIPTION
from acclimate.data.readers.files import image_size
from acclimate.data.readers.scenes import SPLITS
from acclimate.data.registry import DATASETS, open_dataset, parse_spec
from acclimate.data.sample import Dataset, evenly_spaced
from acclimate.data.seen_classes import pixels_of
from acclimate.errors import UserError
from acclimate.io.files import write_text
from acclimate.io.outputs import claim_file, is_untouched_draft
from acclimate.recipe.text import read_text
from acclimate.translation.colour import channel_histograms, sampled_images, wasserstein

Say = Callable[[str], None]

LOOKED = 24
"""Images of each set whose colours are counted, evenly spaced; and labels whose classes are."""
MEASURED = 200
"""Images of each set whose sizes are looked at."""
FEW_IMAGES = 20


@dataclass
class Domain:
    """One of the two sets.

    Attributes:
        spec: ``kind:path``.
        split: what is trained on.
        dataset: the split, opened.
        size: (width, height), the most frequent one.
        sizes: ``WIDTHxHEIGHT`` -> of how many images looked at.
        histograms: (3, 256) counts of grey levels per channel.
        scored: the split of a target that can be scored on, with labels; None where there is none.
        remarks: what is worth knowing.
        cut: a source's margins without labels, which are left out.
    """

    spec: str
    split: str
    dataset: Dataset
    size: tuple[int, int]
    sizes: Counter[str]
    histograms: NDArray[np.int64]
    scored: str | None = None
    remarks: list[str] = field(default_factory=list)
    cut: Cut = field(default_factory=Cut)


def spec_of(text: str) -> str | None:
    """``kind:path`` for what a user gives: a spec as it is, the folder of a description, or the description itself.

    Returns:
        None for a folder that nobody described.

    Raises:
        UserError: there is nothing of that name.
    """
    kind, sign, _ = text.partition(":")
    path = Path(text).expanduser()
    if sign and (kind in DATASETS or not path.exists()):
        parse_spec(text)
        return text
    if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        return f"folder:{text}"
    if (path / DESCRIPTION).is_file():
        return f"folder:{text}"
    if path.is_dir():
        return None
    parse_spec(text)
    return text


def described(text: str, place: Path, *, names: list[str] | None, say: Say) -> str:
    """The spec of a folder that nobody described: a draft of its description is written to ``place``.

    Args:
        text: the folder.
        place: where the description goes, which is no part of the data.
        names: of its classes, in the order of what its labels hold; None: as they are found.
        say: told what the draft could not know.

    Raises:
        UserError: it holds no pictures, or another number of classes.
    """
    if place.exists() and not is_untouched_draft(read_text(place)):
        say(f"{text}: as {place} describes it, which was changed since it was drafted")
        return f"folder:{place}"
    draft = draft_of(Path(text).expanduser(), names=names, elsewhere=True)
    for remark in draft.remarks:
        say(f"{text}: {remark}")
    if draft.unsure:
        say(f"to name them, give --classes, or draft a description with `acclimate init {text}` and change it")
    claim_file(place, "draft")
    write_text(place, draft.text)
    return f"folder:{place}"


def splits_of(spec: str) -> list[str]:
    """The splits of a data set, in its own order."""
    kind, path = parse_spec(spec)
    reader = DATASETS[kind].reader
    if reader is None:
        return list(SPLITS)
    root = reader.locate(Path(path))
    return reader.splits(root) if root.exists() else []


def source_domain(spec: str, *, space: ClassSpace | None) -> Domain:
    """The labelled source.

    Raises:
        UserError: it cannot be read, or has no labels.
    """
    domain = _domain(spec, "source", space=space)
    if not domain.dataset.has_labels:
        raise UserError(
            f"the source {spec} ({domain.split}) has no labels to learn from; a source is pictures with label maps "
            "(did you mean it as --target?)"
        )
    labels = [domain.dataset.label(place) for place in evenly_spaced(LOOKED, len(domain.dataset))]
    seen = sum(map(pixels_of, labels), start=np.zeros(256, dtype=np.int64))
    names = domain.dataset.class_space.classes
    domain.cut = rim_of(labels)
    if domain.cut:
        domain.remarks.append(f"no label of the source has a class in {domain.cut.words()}: that margin is left out")
        width, height = domain.size
        rows, columns = domain.cut.window(height, width)
        domain.size = (columns.stop - columns.start, rows.stop - rows.start)
    rare = [name for index, name in enumerate(names) if 0 < seen[index] < 0.001 * seen[:255].sum()]
    if rare:
        domain.remarks.append(f"rare in the source (below 0.1 % of the pixels): {', '.join(rare)}")
    return domain


def target_domain(spec: str, *, space: ClassSpace) -> Domain:
    """The target, whose labels are never trained on; ``scored`` is its val split where that has labels.

    Raises:
        UserError: it cannot be read.
    """
    domain = _domain(spec, "target", space=space)
    if "val" in splits_of(spec) and domain.split != "val":
        try:
            scored = open_dataset(spec, split="val", class_space=space)
            if scored.has_labels:
                scored.label(0)
                domain.scored = "val"
        except UserError as error:
            domain.remarks.append(f"the target's val split cannot be scored on: {error}")
    return domain


def colour_gap(source: Domain, target: Domain) -> float:
    """How far the colours of two domains are apart: Wasserstein distance in grey levels (0-255), mean over channels."""
    return float(wasserstein(source.histograms, target.histograms).mean())


def _domain(spec: str, role: str, *, space: ClassSpace | None) -> Domain:
    splits = splits_of(spec)
    split = "train" if "train" in splits or not splits else splits[0]
    dataset = open_dataset(spec, split=split, class_space=space)
    sizes: Counter[tuple[int, int]] = Counter()
    for place in evenly_spaced(MEASURED, len(dataset)):
        if isinstance(dataset, FileDataset):
            height, width = image_size(dataset.listing.items[place].image)
        else:
            height, width = dataset.image(place).shape[:2]
        sizes[width, height] += 1
    domain = Domain(
        spec,
        split,
        dataset,
        sizes.most_common(1)[0][0],
        Counter({f"{width}x{height}": count for (width, height), count in sizes.items()}),
        channel_histograms(sampled_images(dataset, count=LOOKED)),
    )
    if len(dataset) < FEW_IMAGES:
        domain.remarks.append(f"the {role} has only {len(dataset)} images: expect little, and look at the result")
    return domain
