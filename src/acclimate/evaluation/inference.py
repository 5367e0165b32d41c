"""How a network is asked about an image: at which size, mirrored, at several scales, in windows."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from torch import Tensor

from acclimate.data.transforms import resized, to_tensor
from acclimate.io.identity import speed_only
from acclimate.io.validation import validated

Resample = Literal["logits", "probabilities"]
"""What is enlarged to the label's size: the logits, or their softmax."""


class Inference(BaseModel):
    """How a network is asked, wherever one predicts: scoring, predicting, labelling, scores without labels.

    A recipe and the command line give some of the keys; the others are the protocol's, see :meth:`over`. Which keys
    were given is remembered, and only these are written.

    Attributes:
        size: (width, height) images are resized to before a network sees them; None: their own size.
        window: (width, height) in pixels of a window that slides over the input; None: the whole image at once.
        stride: (x, y) in pixels from window to window; two thirds of the window unless given.
        windows_at_once: windows in one pass through the network: speed and memory. Convolutions of larger batches may
            round differently, so that only 1 gives the same bits everywhere.
        flip: average with the prediction for the mirrored image.
        scales: factors of the input size over which predictions are averaged.
        resample: whether ``logits`` or ``probabilities`` are enlarged to the label's size, bilinearly. ``logits`` is
            the rule of AdaptSegNet, ADVENT and ESL, ``probabilities`` that of BDL.
        average: which of them are averaged over models, mirrored images and scales; as ``resample`` unless given.
        align_corners: of every bilinear enlargement, and of the resized inputs of ``scales``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: tuple[PositiveInt, PositiveInt] | None = None
    window: tuple[PositiveInt, PositiveInt] | None = None
    stride: tuple[PositiveInt, PositiveInt] | None = None
    windows_at_once: PositiveInt = speed_only(1)
    flip: bool = False
    scales: tuple[PositiveFloat, ...] = Field(default=(1.0,), min_length=1)
    resample: Resample = "logits"
    average: Resample | None = None
    align_corners: bool = True

    @model_validator(mode="after")
    def _makes_sense(self) -> Inference:
        if self.stride is not None:
            if self.window is None:
                raise ValueError("stride: only a sliding window has one; give window too")
            if self.stride[0] > self.window[0] or self.stride[1] > self.window[1]:
                raise ValueError(
                    f"stride: {list(self.stride)} is more than the window {list(self.window)}: pixels would be skipped"
                )
        if self.resample == "probabilities" and self.average == "logits":
            raise ValueError(
                "average: probabilities are enlarged, so logits cannot be averaged; set average to probabilities, or "
                "resample to logits"
            )
        return self

    @model_serializer(mode="wrap")
    def _given_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only the keys that were given: a resolved recipe must not override the protocol's others."""
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}

    @property
    def views(self) -> int:
        """How many times a network sees an image, windows aside: scales, mirrored or not."""
        return len(self.scales) * (2 if self.flip else 1)

    @property
    def single(self) -> bool:
        """Whether a network sees an image once, as a whole and at its own scale."""
        return self.views == 1 and self.scales == (1.0,) and self.window is None

    def over(self, base: Inference) -> Inference:
        """``base`` with the keys that were given here.

        Raises:
            UserError: they contradict those of ``base``.
        """
        return validated(Inference, {**base.model_dump(), **self.model_dump()}, "the inference")

    def prepared(self, image: NDArray[np.uint8]) -> Tensor:
        """What a network is given for an RGB image (H, W, 3): (1, 3, h, w) in [0, 1], at ``size`` if there is one."""
        return to_tensor(image if self.size is None else resized(image, self.size))[None]


ONCE = Inference()
"""Each image once, as a whole, at its own size; logits are enlarged."""
