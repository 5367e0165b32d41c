"""ACDC (Sakaridis et al. 2021) and Dark Zurich (2019): the classes of Cityscapes at night and in bad weather."""

from __future__ import annotations

from acclimate.data.readers.archives import Place
from acclimate.data.readers.base import FileDataset, folders_in
from acclimate.data.readers.files import IMAGE_SUFFIXES, LABEL_SUFFIXES, Ids
from acclimate.data.readers.label_ids import without_minus_one
from acclimate.data.readers.listing import Files, Listing, found, paired

IMAGE_END, LABEL_END = "_rgb_anon", "_gt_labelIds"
CONDITIONS = ("fog", "night", "rain", "snow")


class Acdc(FileDataset):
    """``rgb_anon/CONDITION/SPLIT/SEQUENCE/*_rgb_anon.png``, ``gt/CONDITION/SPLIT/SEQUENCE/*_gt_labelIds.png``.

    All conditions that are there are read together; a split of one of them is called ``SPLIT-CONDITION``
    (``val-night``). Label ids are those of Cityscapes; the test split has no labels. The pictures of the same places
    in good weather (``SPLIT_ref``) are not part of a split.
    """

    kind = "acdc"
    description = "ACDC, fog night rain snow: rgb_anon/ gt/; splits train, val, test, or of one condition: val-night"
    layout = "rgb_anon/CONDITION/SPLIT/SEQUENCE/*_rgb_anon.png and gt/CONDITION/SPLIT/SEQUENCE/*_gt_labelIds.png"
    default_space = "cityscapes-19"

    @classmethod
    def splits(cls, root: Place) -> list[str]:
        there = {each: folders_in(root / "rgb_anon" / each, ("train", "val", "test")) for each in CONDITIONS}
        splits = [split for split in ("train", "val", "test") if any(split in each for each in there.values())]
        return splits + [f"{split}-{each}" for split in splits for each in CONDITIONS if split in there[each]]

    @classmethod
    def splits_to_check(cls, root: Place) -> list[str]:
        return [split for split in cls.splits(root) if "-" not in split]

    def folders(self) -> tuple[list[Place], list[Place]]:
        """The folders of images and of labels of :attr:`split`; names start below ``rgb_anon`` and ``gt``."""
        split, _, condition = self.split.partition("-")
        parts = [(each, split) for each in ([condition] if condition else CONDITIONS)]
        return [self.root.joinpath("rgb_anon", *part) for part in parts], [
            self.root.joinpath("gt", *part) for part in parts
        ]

    def list_files(self) -> Listing:
        image_folders, label_folders = self.folders()
        labelled = any(folder.is_dir() for folder in label_folders)
        images = _together(image_folders, IMAGE_SUFFIXES, IMAGE_END)
        labels = _together(label_folders, LABEL_SUFFIXES, LABEL_END) if labelled else None
        return paired(images, labels, label_name={IMAGE_END: LABEL_END})

    def read_ids(self, path: Place) -> Ids:
        ids, had_minus_one = without_minus_one(super().read_ids(path), path)
        if had_minus_one:
            self.noticed("labels hold id -1 (as 255), which is void", path)
        return ids


class DarkZurich(Acdc):
    """``rgb_anon/SPLIT/night/SEQUENCE/*_rgb_anon.png``, ``gt/val/night/SEQUENCE/*_gt_labelIds.png``.

    The pictures at night; those of twilight and day, which correspond to them, are not part of a split. Only val has
    labels.
    """

    kind = "dark-zurich"
    description = "Dark Zurich at night: rgb_anon/ gt/; splits train (no labels), val, test"
    layout = "rgb_anon/SPLIT/night/SEQUENCE/*_rgb_anon.png and gt/val/night/SEQUENCE/*_gt_labelIds.png"

    @classmethod
    def splits(cls, root: Place) -> list[str]:
        return [split for split in ("train", "val", "test") if (root / "rgb_anon" / split / "night").is_dir()]

    def folders(self) -> tuple[list[Place], list[Place]]:
        return [self.root.joinpath("rgb_anon", self.split, "night")], [self.root.joinpath("gt", self.split, "night")]


def _together(folders: list[Place], suffixes: tuple[str, ...], end: str) -> Files:
    """The files of several folders whose names end in ``end``; names start with the last two folders' names."""
    everything = Files()
    for folder in folders:
        if folder.is_dir():
            part = found(folder, suffixes).where(lambda name: name.endswith(end))
            around = f"{folder.parent.name}/{folder.name}/"
            everything.entries.extend((around + name, path) for name, path in part)
            everything.faults.extend(part.faults)
            everything.remarks.extend(part.remarks)
            everything.notes.extend(part.notes)
    everything.entries.sort(key=lambda entry: entry[0])
    return everything
