"""What is healthy: a sentence for each curve of a training."""

from __future__ import annotations

import re

_WORDS: tuple[tuple[str, str], ...] = (
    (r"discriminator", "Healthy: it wavers below chance (0.69, or 0.25 for least squares) and stays above zero. At "
     "zero the discriminator has won, at chance it has given up."),
    (r"adversarial", "Healthy: it wavers without a trend; a steady rise means that the discriminator is winning."),
    (r"segmentation", "Healthy: it falls fast, then slowly, and does not come back up."),
    (r"pseudo-labels|mixed|masked", "Healthy: it falls slowly. A fall to zero at once means labels that say one class "
     "everywhere."),
    (r"^kept share", "Healthy: it begins low, rises while the teacher learns, and ends between 20 and 95 %. Near 0 the "
     "target teaches nothing, near 100 % the teacher no longer doubts itself."),
    (r"teacher confidence", "Healthy: it rises slowly. Close to 1 from the start, it is overconfident."),
    (r"^entropy", "Healthy: it falls slowly and levels off above zero; at zero every pixel is sure, right or wrong."),
    (r"class prior", "Healthy: it stays near zero."),
    (r"feature distance|^features", "Healthy: it stays small and does not grow without bound."),
    (r"cycle|identity|perceptual", "Healthy: it falls and levels off."),
)  # fmt: skip


def healthy(title: str) -> str:
    """What a healthy curve of that name looks like; empty where nothing general can be said."""
    return next((words for pattern, words in _WORDS if re.search(pattern, title)), "")
