"""Changes of an image's colours and sharpness that leave its labels true: jitter, greyscale, Gaussian blur.

What is random is drawn first and applied afterwards: ``photometric.draw(rng)`` is a pure function of the generator, and
what it gives a pure function of the image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor
from torch.nn import functional

Chance = Annotated[float, Field(ge=0.0, le=1.0)]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "weak": {
        "jitter": 0.2,
        "probability": 0.8,
        "blur": 0.5,
    },
    "strong": {
        "jitter": {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.4},
        "probability": 0.8,
        "greyscale": 0.1,
        "blur": {"probability": 0.5, "sigma": [0.15, 3.0]},
    },
}
"""``weak``: of mixed images in DAFormer, HRDA and MIC (DACS: a jitter of 0.25). ``strong``: of VFM-UDA++'s source."""


class Photometric(BaseModel):
    """Strengths and chances of photometric changes, in the order in which they are applied: jitter, greyscale, blur.

    In recipes the name of one of :data:`PRESETS`, these keys, or their short forms: ``jitter`` (one strength of all
    four, or a mapping of them), ``blur`` (its chance, or ``{probability, sigma}``) and ``greyscale`` (its chance).

    Attributes:
        brightness, contrast, saturation: the factor is uniform in [max(0, 1 - strength), 1 + strength].
        hue: the shift is uniform in [-hue, hue], in turns of the colour circle (at most half a turn).
        probability: of the jitter: brightness, contrast, saturation and hue together, in a random order.
        greyscale_probability: of an image without colours.
        blur_probability: of a Gaussian blur.
        blur_sigma: (smallest, largest) standard deviation of the blur in pixels, uniform.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    brightness: NonNegativeFloat = 0.0
    contrast: NonNegativeFloat = 0.0
    saturation: NonNegativeFloat = 0.0
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    probability: Chance = 1.0
    greyscale_probability: Chance = 0.0
    blur_probability: Chance = 0.0
    blur_sigma: tuple[PositiveFloat, PositiveFloat] = (0.15, 1.15)

    @model_validator(mode="before")
    @classmethod
    def _from_short_forms(cls, values: Any) -> Any:
        if isinstance(values, str):
            if values not in PRESETS:
                raise ValueError(f"photometric is {values!r}; its named strengths are {', '.join(PRESETS)}")
            values = PRESETS[values]
        if not isinstance(values, Mapping):
            return values
        given = dict(values)
        written_out: dict[str, Any] = {}
        jitter = given.pop("jitter", None)
        if isinstance(jitter, Mapping):
            written_out |= jitter
        elif jitter is not None:
            written_out |= dict.fromkeys(("brightness", "contrast", "saturation", "hue"), jitter)
        blur = given.pop("blur", None)
        if isinstance(blur, Mapping):
            written_out |= {f"blur_{key}": value for key, value in blur.items()}
        elif blur is not None:
            written_out["blur_probability"] = blur
        if (greyscale := given.pop("greyscale", None)) is not None:
            written_out["greyscale_probability"] = greyscale
        return written_out | given

    @model_validator(mode="after")
    def _sigma_is_a_range(self) -> Photometric:
        if self.blur_sigma[0] > self.blur_sigma[1]:
            raise ValueError(f"blur_sigma is (smallest, largest), got {list(self.blur_sigma)}")
        return self

    def draw(self, rng: np.random.Generator) -> Drawn:
        """One image's changes. What is off draws nothing."""
        changes: list[tuple[str, float]] = []
        strengths = {name: getattr(self, name) for name in _CHANGES if getattr(self, name) > 0}
        if strengths and _happens(self.probability, rng):
            names = list(strengths)
            for index in rng.permutation(len(names)):
                strength = strengths[names[index]]
                low, high = (-strength, strength) if names[index] == "hue" else (max(0.0, 1 - strength), 1 + strength)
                changes.append((names[index], float(rng.uniform(low, high))))
        greyscale = self.greyscale_probability > 0 and _happens(self.greyscale_probability, rng)
        blurs = self.blur_probability > 0 and _happens(self.blur_probability, rng)
        return Drawn(tuple(changes), greyscale, float(rng.uniform(*self.blur_sigma)) if blurs else None)


STUDENT = Photometric.model_validate("weak")
"""What DAFormer, HRDA, MIC and VFM-UDA do to the student's mixed and masked images; the teacher's are clean."""


@dataclass(frozen=True)
class Drawn:
    """What happens to an image.

    Attributes:
        changes: name of a change and its factor or shift, in order.
        greyscale: whether its colours go.
        sigma: of the blur in pixels; None: it stays sharp.
    """

    changes: tuple[tuple[str, float], ...] = ()
    greyscale: bool = False
    sigma: float | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """The same changes for every image.

        Args:
            images: (..., 3, H, W) RGB in [0, 1], not changed in place.

        Returns:
            The same shape and type, in [0, 1].
        """
        from torchvision.transforms.v2 import functional as colours

        for name, amount in self.changes:
            images = getattr(colours, f"adjust_{name}")(images, amount)
        if self.greyscale:
            images = colours.rgb_to_grayscale(images, num_output_channels=3)
        return images if self.sigma is None else blurred(images, self.sigma)


_CHANGES = ("brightness", "contrast", "saturation", "hue")


@torch.no_grad()
def augmented(
    images: Tensor,
    photometric: Photometric | None,
    *,
    together: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """A batch augmented within a training step, as methods do with mixed and masked images.

    Args:
        images: (B, 3, H, W) RGB in [0, 1] on any device.
        photometric: what may happen to them; None: nothing, the same tensor is returned and nothing is drawn.
        together: one draw for the whole batch, as DACS and DAFormer; otherwise each image has its own.
        generator: what is drawn comes from here, a generator on the CPU; None: torch's own, which the training seeds
            before each step.
    """
    if photometric is None:
        return images
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    rng = np.random.default_rng(seed)
    if together:
        return photometric.draw(rng)(images)
    channels_last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
    result = torch.stack([photometric.draw(rng)(image) for image in images])
    return result.contiguous(memory_format=torch.channels_last) if channels_last else result


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with reflected borders.

    The kernel reaches as far as three standard deviations less half a pixel (7x7 for 1.15), so that what is cut off is
    below half a per cent of the weight; the published 10 % of the image's side costs much and changes nothing.

    Args:
        images: (..., H, W).
        sigma: standard deviation in pixels.
    """
    height, width = images.shape[-2:]
    flat = images.reshape(-1, 1, height, width)
    for axis in (-1, -2):
        reach = min(kernel_reach(sigma), flat.shape[axis] - 1)
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        weights /= weights.sum()
        border = (reach, reach, 0, 0) if axis == -1 else (0, 0, reach, reach)
        padded = functional.pad(flat, border, mode="reflect")
        length = flat.shape[axis]
        # shifted sums: on a CPU a convolution of one channel is ten times as slow
        flat = padded.narrow(axis, 0, length) * float(weights[0])
        for shift in range(1, 2 * reach + 1):
            flat.add_(padded.narrow(axis, shift, length), alpha=float(weights[shift]))
    return flat.reshape(images.shape).clamp_(0.0, 1.0)


def kernel_reach(sigma: float) -> int:
    """Pixels to each side of the middle that the blur's kernel covers."""
    return max(1, math.ceil(3 * sigma - 0.5))


def _happens(chance: float, rng: np.random.Generator) -> bool:
    """Whether something of that chance happens; what is certain draws nothing."""
    return chance >= 1 or bool(rng.random() < chance)
