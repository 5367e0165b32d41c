"""Cityscapes (Cordts et al. 2016)."""

from __future__ import annotations

from acclimate.data.readers.archives import Place
from acclimate.data.readers.base import FileDataset, folders_in
from acclimate.data.readers.files import IMAGE_SUFFIXES, LABEL_SUFFIXES, Ids
from acclimate.data.readers.label_ids import without_minus_one
from acclimate.data.readers.listing import Listing, found, paired

IMAGE_END, LABEL_END = "_leftImg8bit", "_gtFine_labelIds"


class Cityscapes(FileDataset):
    """``leftImg8bit/SPLIT/CITY/*_leftImg8bit.png`` and ``gtFine/SPLIT/CITY/*_gtFine_labelIds.png``.

    Label ids are mapped to train ids in memory; the official preparation script is not needed. Labels of the test split
    are dummies: every pixel is void.
    """

    kind = "cityscapes"
    description = "Cityscapes: leftImg8bit/ gtFine/ (labelIds); splits train, val, test"
    layout = "leftImg8bit/SPLIT/CITY/*_leftImg8bit.png and gtFine/SPLIT/CITY/*_gtFine_labelIds.png"
    default_space = "cityscapes-19"
    unlabelled_splits = ("test",)

    @classmethod
    def splits(cls, root: Place) -> list[str]:
        return folders_in(root / "leftImg8bit", ("train", "val", "test", "train_extra"))

    def list_files(self) -> Listing:
        labels = self.root / "gtFine" / self.split
        images = found(self.root / "leftImg8bit" / self.split, IMAGE_SUFFIXES)
        return paired(
            images.where(lambda name: name.endswith(IMAGE_END)),
            found(labels, LABEL_SUFFIXES).where(lambda name: name.endswith(LABEL_END)) if labels.is_dir() else None,
            label_name={IMAGE_END: LABEL_END},
        )

    def read_ids(self, path: Place) -> Ids:
        ids, had_minus_one = without_minus_one(super().read_ids(path), path)
        if had_minus_one:
            self.noticed("labels hold id -1 (as 255), which is void", path)
        return ids
