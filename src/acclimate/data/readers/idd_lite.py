"""IDD-Lite, the lite edition of the India Driving Dataset (Varma et al. 2019)."""

from __future__ import annotations

from acclimate.data.readers.archives import Place
from acclimate.data.readers.base import FileDataset, folders_in
from acclimate.data.readers.files import IMAGE_SUFFIXES, LABEL_SUFFIXES
from acclimate.data.readers.listing import Listing, found, paired

IMAGE_END, LABEL_END = "_image", "_label"


class IddLite(FileDataset):
    """``leftImg8bit/SPLIT/DRIVE/FRAME_image.jpg`` and ``gtFine/SPLIT/DRIVE/FRAME_label.png``, as released.

    Read as well: ``SPLIT/*.jpg`` and ``SPLIT_labels/*.png``, the same frames without folders. Labels are 8-bit ids of
    the seven coarse classes, 0 to 6, void 255.
    """

    kind = "idd-lite"
    description = "IDD-Lite, 7 coarse classes: leftImg8bit/ gtFine/, or train/ train_labels/ val/ val_labels/"
    layout = "leftImg8bit/SPLIT/DRIVE/*_image.jpg and gtFine/SPLIT/DRIVE/*_label.png, or train/ and train_labels/"
    default_space = "carla-iddlite-7"

    @classmethod
    def splits(cls, root: Place) -> list[str]:
        released = root / "leftImg8bit"
        return folders_in(released if released.is_dir() else root, ("train", "val", "test"))

    def list_files(self) -> Listing:
        if not (self.root / "leftImg8bit").is_dir():
            labels = self.root / f"{self.split}_labels"
            images = found(self.root / self.split, IMAGE_SUFFIXES)
            return paired(images, found(labels, LABEL_SUFFIXES) if labels.is_dir() else None)
        labels = self.root / "gtFine" / self.split
        # beside the labels lie those of instances, *_inst_label.png
        classes = found(labels, LABEL_SUFFIXES).where(lambda name: not name.endswith("_inst_label"))
        return paired(
            found(self.root / "leftImg8bit" / self.split, IMAGE_SUFFIXES),
            classes if labels.is_dir() else None,
            label_name={IMAGE_END: LABEL_END},
        )
