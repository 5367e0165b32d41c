"""Boxes go where their pixels go."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acclimate.data.readers.scenes import ScenesDataset
from acclimate.detection.loading import detection_batches
from acclimate.detection.readers.scenes import ScenesBoxes
from acclimate.detection.sample import Boxes
from acclimate.detection.transforms import BoxTransform, mirrored


def marked() -> tuple[np.ndarray, Boxes]:
    """A grey picture with one white object, and its box."""
    image = np.full((60, 80, 3), 100, dtype=np.uint8)
    image[20:40, 30:54] = 255
    return image, Boxes.of([[30, 20, 54, 40]], [1])


def test_resizing_scales_corners() -> None:
    image, boxes = marked()
    tensor, moved = BoxTransform(size=(40, 120))(image, boxes, np.random.default_rng(0))
    assert tensor.shape == (3, 120, 40)
    assert moved is not None
    assert moved.corners.tolist() == [[15, 40, 27, 80]]


def test_mirroring_twice_is_nothing_and_once_by_hand() -> None:
    corners = torch.tensor([[1.0, 2.0, 4.0, 6.0]])
    assert mirrored(corners, 10).tolist() == [[6, 2, 9, 6]]
    torch.testing.assert_close(mirrored(mirrored(corners, 10), 10), corners)


@pytest.mark.parametrize("number", range(30))
def test_boxes_follow_the_pixels_through_every_augmentation(number: int) -> None:
    image, boxes = marked()
    transform = BoxTransform(size=(320, 240), expand=3.0, crop=True, flip=True)
    tensor, moved = transform(image, boxes, np.random.default_rng(number))
    assert moved is not None
    assert len(moved) == 1, "the only object is never cropped away"
    rows, columns = torch.nonzero(tensor[0] > 0.75, as_tuple=True)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    # a pixel of the picture is several of the result, and bilinear enlargement softens its edge
    stretch = max(320 / 80, 240 / 60) / 0.3
    torch.testing.assert_close(moved.corners[0], torch.stack(seen).float(), rtol=0, atol=0.75 * stretch)
    assert (moved.corners >= 0).all()
    assert (moved.corners[0, 2:] <= torch.tensor([320, 240])).all()


def test_batches_depend_on_seed_and_step_alone_and_targets_show_no_boxes() -> None:
    data = ScenesBoxes(ScenesDataset("camera", split="train", images=3, size=(64, 32)))
    transform = BoxTransform(size=(32, 32), crop=True, flip=True)

    def batches(**options: object) -> list[object]:
        arguments = {"transform": transform, "batch_size": 2, "seed": 3, "steps": 4, **options}
        return list(detection_batches(data, **arguments))  # type: ignore[arg-type]

    whole, rest = batches(), batches(first_step=2)
    for one, other in zip(whole[2:], rest, strict=True):
        assert torch.equal(one.images, other.images)  # type: ignore[attr-defined]
        for a, b in zip(one.boxes, other.boxes, strict=True):  # type: ignore[attr-defined]
            assert torch.equal(a.corners, b.corners)
    assert not torch.equal(whole[0].images, batches(seed=4)[0].images)  # type: ignore[attr-defined]
    assert all(batch.boxes is None for batch in batches(boxes=False))  # type: ignore[attr-defined]
