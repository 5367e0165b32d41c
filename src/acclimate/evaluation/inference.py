"""How a network is asked, beyond once per image: mirrored, at several scales, in windows. Off unless asked for."""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from acclimate.evaluation.protocols import Protocol, Resample


class Inference(BaseModel):
    """Choices that change what is predicted but not what is scored; None leaves the protocol's own.

    Attributes:
        flip: average with the prediction for the mirrored image.
        scales: factors of the input size over which predictions are averaged.
        window: (width, height) in pixels of a window that slides over the input; None: the whole image at once.
        stride: (x, y) in pixels from window to window; two thirds of the window unless given.
        resample: whether ``logits`` or ``probabilities`` are enlarged to the label's size.
        average: which of them are averaged over models, mirrored images and scales; as ``resample`` unless given.
        align_corners: of every bilinear enlargement.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: bool | None = None
    scales: tuple[PositiveFloat, ...] | None = Field(default=None, min_length=1)
    window: tuple[PositiveInt, PositiveInt] | None = None
    stride: tuple[PositiveInt, PositiveInt] | None = None
    resample: Resample | None = None
    average: Resample | None = None
    align_corners: bool | None = None

    @model_validator(mode="after")
    def _windows_leave_no_gap(self) -> Inference:
        if self.stride is not None:
            if self.window is None:
                raise ValueError("stride: only a sliding window has one; give window too")
            if self.stride[0] > self.window[0] or self.stride[1] > self.window[1]:
                raise ValueError(
                    f"stride: {list(self.stride)} is more than the window {list(self.window)}: pixels would be skipped"
                )
        return self

    def chosen(self) -> dict[str, object]:
        """The choices that were made, for the row of results."""
        return self.model_dump(mode="json", exclude_none=True)

    def applied(self, protocol: Protocol) -> Protocol:
        """The protocol with these choices.

        Raises:
            UserError: they contradict the protocol or each other.
        """
        return replace(protocol, **self.model_dump(exclude_none=True))
