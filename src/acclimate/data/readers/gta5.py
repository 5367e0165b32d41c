"""GTA5 ("Playing for Data", Richter et al. 2016)."""

from __future__ import annotations

from acclimate.data.readers.archives import Place
from acclimate.data.readers.base import FileDataset
from acclimate.data.readers.files import IMAGE_SUFFIXES, LABEL_SUFFIXES, Ids
from acclimate.data.readers.label_ids import without_minus_one
from acclimate.data.readers.listing import Listing, found, gaps, paired


class Gta5(FileDataset):
    """``images/NNNNN.png`` and ``labels/NNNNN.png``: palette pictures whose indices are Cityscapes label ids.

    All images are the split ``train``, as in the literature. Sizes are nominally 1914x1052 but vary, and a few labels
    disagree with their image: those are resized to it (nearest), and ``acclimate check`` counts them.
    """

    kind = "gta5"
    description = "GTA5 renders: images/ labels/; one split, train"
    layout = "images/NNNNN.png and labels/NNNNN.png"
    default_space = "cityscapes-19"
    resizes_labels = True

    @classmethod
    def splits(cls, root: Place) -> list[str]:
        return ["train"] if (root / "images").is_dir() else []

    def list_files(self) -> Listing:
        labels = self.root / "labels"
        listing = paired(
            found(self.root / "images", IMAGE_SUFFIXES), found(labels, LABEL_SUFFIXES) if labels.is_dir() else None
        )
        listing.notes.extend(gaps(listing, digits=5))
        return listing

    def read_ids(self, path: Place) -> Ids:
        ids, had_minus_one = without_minus_one(super().read_ids(path), path)
        if had_minus_one:
            self.noticed("labels hold id -1 (as 255), which is void", path)
        return ids
