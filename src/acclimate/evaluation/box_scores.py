"""What a row of results holds of a detector beside AP: errors by kind, and precision over recall."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, NonNegativeInt

RECALLS = tuple(step / 40 for step in range(41))
"""At which the curves of precision are kept."""


class ErrorCounts(BaseModel):
    """Of one class, or of several together, see :func:`acclimate.detection.error_kinds.errors_by_kind`.

    As many detections are counted as there are objects, or all where there are fewer: they are ``right``,
    ``duplicate``, ``wrong_class``, ``localisation`` or ``background``. ``missed`` are objects.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    objects: NonNegativeInt = 0
    right: NonNegativeInt = 0
    duplicate: NonNegativeInt = 0
    wrong_class: NonNegativeInt = 0
    localisation: NonNegativeInt = 0
    background: NonNegativeInt = 0
    missed: NonNegativeInt = 0
