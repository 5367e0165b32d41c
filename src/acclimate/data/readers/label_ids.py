"""Cityscapes label ids as files hold them: id -1, and files of train ids in their place."""

from __future__ import annotations

import numpy as np

from acclimate.data.readers.archives import Place
from acclimate.data.readers.files import Ids
from acclimate.errors import UserError

MINUS_ONE = (255, 65535)
"""What id -1 (licence plate) becomes in 8 and in 16 unsigned bits."""
UNLABELLED = 0
LARGEST_TRAIN_ID = 18


def without_minus_one(ids: Ids, path: Place) -> tuple[Ids, bool]:
    """The ids with -1 made *unlabelled* (void, as in the published mapping), and whether there was one.

    A file that holds 255 and otherwise nothing above 18 holds train ids, whose void is 255: read as label ids, its
    classes would be scrambled without a word. Train ids without a void pixel cannot be told from label ids.

    Raises:
        UserError: the file holds train ids.
    """
    minus_one = np.isin(ids, MINUS_ONE)
    if not minus_one.any():
        return ids, False
    rest = ids[~minus_one]
    if rest.size == 0 or rest.max() <= LARGEST_TRAIN_ID:
        raise UserError(
            f"{path} holds the class id {int(ids[minus_one][0])} and none above {LARGEST_TRAIN_ID}, as files of train "
            "ids do; label ids are 0-34 (Cityscapes' _gtFine_labelIds.png): put those in its place"
        )
    mended = ids.copy()
    mended[minus_one] = UNLABELLED
    return mended, True
