"""What a detector is made of, as a recipe writes it and a checkpoint remembers it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from acclimate.io.identity import file_named

DetectorName = Literal["ssd300-vgg16", "light-ssd"]
Priors = Literal["coco", "voc"]
Convention = Literal["torchvision", "ssd.pytorch"]


class DetectorConfig(BaseModel):
    """A detector's name and options.

    Attributes:
        name: ``ssd300-vgg16`` as published, or ``light-ssd``, a compact one for the built-in scenes.
        priors: sizes of the priors of ``ssd300-vgg16``: those for COCO (21 to 315 pixels; what the code behind ADVENT's
            detector takes for 9 outputs) or for VOC (30 to 315).
        convention: whose normalisation and selection of detections ``ssd300-vgg16`` follows. ``torchvision``: RGB means
            subtracted from RGB, 400 candidates per class, 200 detections per image. ``ssd.pytorch``: means in BGR order
            subtracted from RGB images, as that code does, and 200 candidates per class without a bound per image.
        weights: ``imagenet`` (torchvision's, of VGG-16's convolutions), the path of a safetensors file with the same
            keys, or None for random ones.
        width: channels of the first convolution of ``light-ssd``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: DetectorName = "ssd300-vgg16"
    priors: Priors = "coco"
    convention: Convention = "torchvision"
    weights: str | None = file_named(None)
    width: Annotated[int, Field(ge=8, le=128)] | None = None
