"""From an image and its boxes to tensors: a fixed size, and the augmentations of SSD."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torchvision.ops import box_iou

from acclimate.data.photometric import Photometric
from acclimate.data.sample import Image
from acclimate.data.transforms import Resample, Size, resized, to_tensor
from acclimate.detection.sample import Boxes

LEAST_OVERLAPS = (None, 0.1, 0.3, 0.5, 0.7, 0.9, 0.0)
"""What a random crop may be asked for: no crop, that IoU with every object it keeps, or nothing."""
CROP_TRIALS = 50


class BoxTransform(BaseModel):
    """What happens to an image and its boxes on their way into a batch, in this order:

    expand → random crop → resize → random flip → photometric changes.

    Attributes:
        size: (width, height) the network sees; the aspect ratio is not kept (300x300 at train and test in ADVENT).
        resample: how images are resized.
        expand: largest factor of a canvas of the image's mean colour that half of the images are placed on; 1: never.
            4 in SSD.
        crop: random crops of SSD: 0.3 to 1 of each side, aspect ratio 1/2 to 2, keeping the objects whose centre
            is inside.
        flip: mirror left to right half of the time.
        photometric: see :class:`Photometric`; boxes are untouched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Size = (300, 300)
    resample: Resample = "bilinear"
    expand: Annotated[float, Field(ge=1.0, le=8.0)] = 1.0
    crop: bool = False
    flip: bool = False
    photometric: Photometric | None = None

    def __call__(self, image: Image, boxes: Boxes | None, rng: np.random.Generator) -> tuple[Tensor, Boxes | None]:
        """The transformed image (3, height, width) in [0, 1] and its boxes.

        Args:
            image: (H, W, 3) uint8.
            boxes: in pixels of the image, or None where they must not be seen (crops then keep any part).
            rng: what is random is drawn from here.
        """
        known = boxes if boxes is not None else Boxes.of([], [])
        if self.expand > 1 and rng.random() < 0.5:
            image, known = _expanded(image, known, self.expand, rng)
        if self.crop:
            image, known = _cropped(image, known, rng)
        height, width = image.shape[:2]
        scale = torch.tensor([self.size[0] / width, self.size[1] / height] * 2, dtype=torch.float32)
        image, known = resized(image, self.size, self.resample), known.moved(known.corners * scale)
        if self.flip and rng.random() < 0.5:
            image, known = image[:, ::-1], known.moved(mirrored(known.corners, self.size[0]))
        tensor = to_tensor(image)
        if self.photometric is not None:
            tensor = self.photometric.draw(rng)(tensor)
        return tensor, None if boxes is None else known


def mirrored(corners: Tensor, width: int) -> Tensor:
    """Corners (N, 4) in the image mirrored left to right."""
    return torch.stack([width - corners[:, 2], corners[:, 1], width - corners[:, 0], corners[:, 3]], dim=1)


def _expanded(image: Image, boxes: Boxes, most: float, rng: np.random.Generator) -> tuple[Image, Boxes]:
    height, width = image.shape[:2]
    factor = rng.uniform(1.0, most)
    canvas_height, canvas_width = int(height * factor), int(width * factor)
    top, left = int(rng.integers(canvas_height - height + 1)), int(rng.integers(canvas_width - width + 1))
    canvas = np.empty((canvas_height, canvas_width, 3), dtype=np.uint8)
    canvas[:] = image.mean(axis=(0, 1)).round()
    canvas[top : top + height, left : left + width] = image
    return canvas, boxes.moved(boxes.corners + torch.tensor([left, top] * 2))


def _cropped(image: Image, boxes: Boxes, rng: np.random.Generator) -> tuple[Image, Boxes]:
    """SSD's crop; the image as it is when the overlap drawn is None or no trial meets it."""
    height, width = image.shape[:2]
    least = LEAST_OVERLAPS[int(rng.integers(len(LEAST_OVERLAPS)))]
    if least is None:
        return image, boxes
    for _ in range(CROP_TRIALS):
        w, h = max(1, int(width * rng.uniform(0.3, 1.0))), max(1, int(height * rng.uniform(0.3, 1.0)))
        if not 0.5 <= h / w <= 2:
            continue
        left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        window = torch.tensor([[left, top, left + w, top + h]], dtype=torch.float32)
        centres = (boxes.corners[:, :2] + boxes.corners[:, 2:]) / 2
        inside = ((centres > window[:, :2]) & (centres < window[:, 2:])).all(dim=1)
        kept = boxes.kept(inside)
        if len(boxes) and not len(kept):
            continue
        if len(kept) and float(box_iou(kept.corners, window).min()) < least:
            continue
        corners = torch.maximum(torch.minimum(kept.corners, window[:, [2, 3, 2, 3]]), window[:, [0, 1, 0, 1]])
        corners = corners - window[:, [0, 1, 0, 1]]
        return image[top : top + h, left : left + w], kept.moved(corners)
    return image, boxes
