"""A module of one's own for either task: the public ``wrap``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from acclimate.detection.detector import Detector
from acclimate.detection.wrapped import is_detection_module, wrap_detector
from acclimate.errors import UserError
from acclimate.models.batch_norm import BatchNormSetting
from acclimate.models.network import SegmentationNetwork
from acclimate.models.preprocessing import PreprocessingName
from acclimate.models.wrapped import wrap_network


def wrap(
    module: nn.Module,
    *,
    classes: int,
    preprocessing: PreprocessingName | None = None,
    multiple: int | None = None,
    heads: Sequence[str] = (),
    head_learning_rate_multiple: float = 1.0,
    batch_norm: BatchNormSetting | None = None,
) -> SegmentationNetwork | Detector:
    """A module of one's own as a network, or as a detector, that every method of its task can train.

    Args:
        module: one of torchvision's detectors, see :func:`acclimate.detection.wrapped.wrap_detector`, or anything that
            gives logits, see :func:`acclimate.models.wrapped.wrap_network`.
        classes: number of classes; of a detector, without the background.
        preprocessing: what is done to RGB images in [0, 1] first, ``imagenet`` where nothing is said. A detector has a
            ``transform`` that says so.
        multiple: what the sides of images must be multiples of, 1 where nothing is said; likewise.
        heads: names of the parts that learn at ``head_learning_rate_multiple`` times the learning rate.
        head_learning_rate_multiple: see ``heads``.
        batch_norm: see :mod:`acclimate.models.batch_norm`; None leaves batch norm as the module has it.

    Raises:
        UserError: the module cannot be wrapped, or has other classes.
    """
    if is_detection_module(module):
        for option, value in (("preprocessing", preprocessing), ("multiple", multiple)):
            if value is not None:
                raise UserError(f"a detector's own transform says its {option}; leave {option} out")
        return wrap_detector(
            module,
            classes=classes,
            heads=heads,
            head_learning_rate_multiple=head_learning_rate_multiple,
            batch_norm=batch_norm,
        )
    return wrap_network(
        module,
        classes=classes,
        preprocessing=preprocessing or "imagenet",
        multiple=multiple or 1,
        heads=heads,
        head_learning_rate_multiple=head_learning_rate_multiple,
        batch_norm=batch_norm,
    )
