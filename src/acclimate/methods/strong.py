"""Strong augmentation of images that a method makes within a step: colour and blur, drawn anew for each image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from torch import Tensor


class Photometric(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    brightness: NonNegativeFloat = 0.0
    contrast: NonNegativeFloat = 0.0
    saturation: NonNegativeFloat = 0.0
    hue: float = Field(default=0.0, ge=0, le=0.5)
    probability: float = Field(default=1.0, ge=0, le=1)
    blur_probability: float = Field(default=0.0, ge=0, le=1)
    blur_sigma: tuple[float, float] = (0.15, 1.15)
    greyscale_probability: float = Field(default=0.0, ge=0, le=1)

    def draw(self, rng: np.random.Generator) -> Callable[[Tensor], Tensor]:
        from acclimate.data.transforms import ColourJitter, jittered

        strengths = ColourJitter(
            brightness=self.brightness, contrast=self.contrast, saturation=self.saturation, hue=self.hue
        )
        jitter, blur = rng.random() < self.probability, rng.random() < self.blur_probability
        sigma = rng.uniform(*self.blur_sigma)

        def changed(image: Tensor) -> Tensor:
            from torchvision.transforms.v2 import functional

            image = jittered(image, strengths, rng) if jitter else image
            return functional.gaussian_blur(image, [7, 7], [sigma, sigma]) if blur else image

        return changed


STRONG = Photometric(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.2, probability=0.8, blur_probability=0.5)
"""What DAFormer, HRDA, MIC and VFM-UDA do to mixed and masked images; DACS has 0.25 where they have 0.2."""


def strongly_augmented(images: Tensor, strong: Photometric | None) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] with other colours and blur; the same tensor where ``strong`` is None.

    What happens to an image is drawn from torch's generator on the CPU, a draw for each image, as in VFM-UDA; the codes
    before it draw once for a batch.
    """
    if strong is None:
        return images
    seeds = torch.randint(2**31, (images.shape[0],)).tolist()
    changes = [strong.draw(np.random.default_rng(seed)) for seed in seeds]
    return torch.stack([change(image) for change, image in zip(changes, images, strict=True)])
