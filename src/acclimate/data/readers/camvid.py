"""CamVid with its 11 classes, in the layout distributed with SegNet."""

from __future__ import annotations

from acclimate.data.readers.archives import Place
from acclimate.data.readers.base import FileDataset, folders_in
from acclimate.data.readers.files import IMAGE_SUFFIXES, LABEL_SUFFIXES
from acclimate.data.readers.listing import Listing, found, paired


class CamVid(FileDataset):
    """``train/*.jpg|png`` with ``trainannot/*.png`` (8-bit ids 0-10, void 11); likewise ``val`` and ``test``."""

    kind = "camvid"
    description = "CamVid, 11 classes (SegNet's layout): train/ trainannot/ val/ valannot/ test/ testannot/"
    layout = "train/*.png (or .jpg) with trainannot/*.png, and likewise val and test"
    default_space = "camvid-11"

    @classmethod
    def splits(cls, root: Place) -> list[str]:
        return folders_in(root, ("train", "val", "test"))

    def list_files(self) -> Listing:
        labels = self.root / f"{self.split}annot"
        return paired(
            found(self.root / self.split, IMAGE_SUFFIXES), found(labels, LABEL_SUFFIXES) if labels.is_dir() else None
        )
