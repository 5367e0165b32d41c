"""SYNTHIA-RAND-CITYSCAPES (Ros et al. 2016)."""

from __future__ import annotations

from acclimate.data.readers.archives import Place
from acclimate.data.readers.base import FileDataset
from acclimate.data.readers.files import IMAGE_SUFFIXES, LABEL_SUFFIXES, Ids
from acclimate.data.readers.listing import Listing, found, gaps, paired
from acclimate.data.readers.png16 import is_png_of_16_bits, read_first_channel
from acclimate.errors import UserError


class Synthia(FileDataset):
    """``RGB/NNNNNNN.png`` and ``GT/LABELS/NNNNNNN.png``: 16-bit colour PNGs, class id first, instance id second.

    The path may be the ``RAND_CITYSCAPES`` folder or the one that holds it. Lane marking (22) is void, as in ESL, FADA
    and DADA. Label files repackaged as single-channel ids are read too.
    """

    kind = "synthia"
    description = "SYNTHIA-RAND-CITYSCAPES renders: RGB/ GT/LABELS/; one split, train"
    layout = "RGB/NNNNNNN.png and GT/LABELS/NNNNNNN.png"
    default_space = "cityscapes-16"

    @classmethod
    def splits(cls, root: Place) -> list[str]:
        return ["train"] if (_inner(root) / "RGB").is_dir() else []

    def list_files(self) -> Listing:
        root = _inner(self.root)
        labels = root / "GT" / "LABELS"
        listing = paired(
            found(root / "RGB", IMAGE_SUFFIXES), found(labels, LABEL_SUFFIXES) if labels.is_dir() else None
        )
        listing.notes.extend(gaps(listing, digits=7))
        return listing

    def read_ids(self, path: Place) -> Ids:
        # Pillow would keep only the high byte of each 16-bit channel, which is always zero here
        if is_png_of_16_bits(path):
            return read_first_channel(path)
        ids = super().read_ids(path)
        if not ids.any():
            raise UserError(
                f"{path} is an 8-bit label of nothing but zeros: what remains of the 16-bit ids when a program reduces "
                "them to 8 bits; take the file as distributed"
            )
        self.noticed("labels were repackaged with 8 bits", path)
        return ids


def _inner(root: Place) -> Place:
    return root / "RAND_CITYSCAPES" if (root / "RAND_CITYSCAPES").is_dir() else root
