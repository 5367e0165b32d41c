"""What a detector is made of, as a recipe writes it and a checkpoint remembers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from acclimate.errors import nearest
from acclimate.io.identity import file_named
from acclimate.models.config import CODE

Priors = Literal["coco", "voc"]
Convention = Literal["torchvision", "ssd.pytorch"]
DETECTOR_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "ssd300-vgg16": ("priors", "convention", "weights"),
    "ssdlite": ("backbone", "channels", "frozen_stride", "weights"),
    "light-ssd": ("width",),
}
"""Which options each detector has."""


class DetectorConfig(BaseModel):
    """A detector's name and options.

    Attributes:
        name: ``ssd300-vgg16`` as published; ``ssdlite``, depthwise separable heads on a pyramid over a backbone;
            ``light-ssd``, a compact one that is trained from scratch; or ``python:package.module:factory``.
        priors: sizes of the priors of ``ssd300-vgg16``: those for COCO (21 to 315 pixels; what the code behind ADVENT's
            detector takes for 9 outputs) or for VOC (30 to 315).
        convention: whose normalisation and selection of detections ``ssd300-vgg16`` follows. ``torchvision``: RGB means
            subtracted from RGB, 400 candidates per class, 200 detections per image. ``ssd.pytorch``: means in BGR order
            subtracted from RGB images, as that code does, and 200 candidates per class without a bound per image.
        weights: ``imagenet`` (of VGG-16's convolutions, or of the backbone), the path of a safetensors file with the
            same keys, or None for random ones.
        backbone: of ``ssdlite``: ``torchvision/NAME`` or ``timm/NAME`` with maps at strides 8, 16 and 32; None:
            ``torchvision/mobilenet_v2``.
        channels: of every map of the pyramid of ``ssdlite``; None: 96.
        frozen_stride: the weights that the backbone's maps up to this stride are made with stay as they are, which
            saves half of a step with 4; None: all are trained.
        width: channels of the first convolution of ``light-ssd``.
        options: what is handed to the factory of a detector of the user's own: what a recipe writes beside the name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "ssd300-vgg16"
    priors: Priors = "coco"
    convention: Convention = "torchvision"
    weights: str | None = file_named(None)
    width: Annotated[int, Field(ge=8, le=128)] | None = None
    backbone: str | None = None
    channels: Annotated[int, Field(ge=8, le=512)] | None = None
    frozen_stride: Literal[2, 4, 8, 16] | None = None
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _all_else_is_for_the_users_code(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not str(values.get("name", "")).startswith(CODE):
            return values
        given: Any = {key: value for key, value in values.items() if key != "name"}
        if list(given) == ["options"] and isinstance(given["options"], Mapping):
            given = given["options"]
        return {"name": values["name"], "options": given}

    @field_validator("name")
    @classmethod
    def _some_detectors(cls, name: str) -> str:
        if name not in DETECTOR_OPTIONS and not name.startswith(CODE):
            known = f"{', '.join(DETECTOR_OPTIONS)} or {CODE}package.module:factory"
            raise ValueError(f"no detector is called {name!r}{nearest(name, DETECTOR_OPTIONS)} (known: {known})")
        return name

    @model_validator(mode="after")
    def _no_option_of_another_detector(self) -> Self:
        for key in type(self).model_fields.keys() - {"name", *DETECTOR_OPTIONS.get(self.name, ("options",))}:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"detector {self.name!r} has no option {key!r}; remove it or choose another network")
        return self

    @model_serializer(mode="wrap")
    def _what_it_has(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        own = self.name.startswith(CODE)
        return {key: value for key, value in values.items() if key == "name" or (key == "options") == own}

    def without_weights(self) -> Self:
        """The same detector with random initial weights, as it is built for a checkpoint to fill."""
        if self.options.get("weights") is not None:
            return self.model_copy(update={"options": {**self.options, "weights": None}})
        return self.model_copy(update={"weights": None})
