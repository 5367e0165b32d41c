"""Mirrored images, scales and windows: values by hand, and what must not change anything."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.evaluation.inference import Inference
from acclimate.evaluation.predict import predict, slid
from acclimate.evaluation.protocols import protocol


class Strided(nn.Module):
    """Logits at half resolution from pixels alone, as far as average pooling lets them."""

    def forward(self, images: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=F.avg_pool2d(images, 2))


class ColumnNumber(nn.Module):
    """Two classes; the logit of the first is the column's number in the window it is asked about."""

    def forward(self, images: Tensor) -> SimpleNamespace:
        columns = torch.arange(images.shape[3], dtype=torch.float32).expand(1, 1, *images.shape[2:])
        return SimpleNamespace(logits=torch.cat([columns, torch.full_like(columns, 1.75)], dim=1))


def identity(images: Tensor) -> Tensor:
    return images


@pytest.mark.parametrize(("window", "stride"), [((4, 3), None), ((5, 7), (2, 3)), ((4, 4), (4, 4)), ((50, 60), (1, 1))])
def test_windows_of_a_pointwise_network_are_the_whole_image(
    window: tuple[int, int], stride: tuple[int, int] | None
) -> None:
    images = torch.rand(2, 3, 11, 13, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(slid(identity, images, Inference(window=window, stride=stride)), images)


def test_overlapping_windows_are_averaged_by_hand() -> None:
    # windows of 4 at columns 0, 2 and (to end at the edge) 3 of 7; each answers 0 1 2 3
    answer = slid(
        lambda window: torch.arange(4.0).expand(1, 1, 1, 4),
        torch.zeros(1, 3, 1, 7),
        Inference(window=(4, 1), stride=(2, 1)),
    )
    expected = [0, 1, (2 + 0) / 2, (3 + 1 + 0) / 3, (2 + 1) / 2, (3 + 2) / 2, 3]
    torch.testing.assert_close(answer.flatten(), torch.tensor(expected))


def test_windows_are_enlarged_each_for_itself() -> None:
    images = torch.rand(1, 2, 4, 8, generator=torch.Generator().manual_seed(1))
    parts = [
        F.interpolate(F.avg_pool2d(part, 2), size=(4, 4), mode="bilinear", align_corners=True)
        for part in (images[..., :4], images[..., 4:])
    ]
    whole = slid(lambda window: F.avg_pool2d(window, 2), images, Inference(window=(4, 4), stride=(4, 4)))
    torch.testing.assert_close(whole, torch.cat(parts, dim=3))


def test_every_pixel_is_seen_and_no_window_leaves_the_image() -> None:
    for width, window, step in ((10, 3, 2), (10, 4, 3), (7, 7, 5), (9, 2, 2)):
        seen: list[int] = []
        slid(lambda part, seen=seen: seen.append(part.shape[3]) or part, torch.zeros(1, 1, 1, width), Inference(window=(window, 1), stride=(step, 1)))  # type: ignore[misc] # fmt: skip  # noqa: E501
        assert set(seen) == {window}


def test_predict_with_a_window_by_hand() -> None:
    images = torch.zeros(1, 3, 1, 4)
    # whole: columns 0 1 2 3 against 1.75; windows of two: 0 1 0 1, always below
    whole = predict([ColumnNumber()], images, size=(1, 4))
    assert whole.labels.tolist() == [[[1, 1, 0, 0]]]
    assert predict(
        [ColumnNumber()], images, size=(1, 4), inference=Inference(window=(2, 1), stride=(2, 1))
    ).labels.tolist() == [[[1] * 4]]


def test_the_flip_average_of_a_known_function() -> None:
    # columns 0 1 2 3 and, mirrored back, 3 2 1 0: the mean is 1.5 everywhere, below 1.75
    result = predict([ColumnNumber()], torch.zeros(1, 3, 1, 4), size=(1, 4), inference=Inference(flip=True))
    assert result.labels.tolist() == [[[1, 1, 1, 1]]]
    p = torch.tensor([1.5, 1.75]).softmax(0)
    expected = -(p * p.log()).sum() / torch.tensor(2.0).log()
    torch.testing.assert_close(result.entropy, expected.expand(1, 1, 4))


def test_the_average_over_scales_of_a_known_function() -> None:
    # a width of 5 and of 3 (scale 0.6): columns 0..4 and 0..2 enlarged to 0 0.5 1 1.5 2; the mean is 0.75 x
    result = predict([ColumnNumber()], torch.zeros(1, 3, 1, 5), size=(1, 5), inference=Inference(scales=(1.0, 0.6)))
    mean = torch.stack([0.75 * torch.arange(5.0), torch.full((5,), 1.75)])
    assert result.labels.tolist() == [[mean.argmax(0).tolist()]]
    expected = -(mean.softmax(0) * mean.log_softmax(0)).sum(0) / torch.tensor(2.0).log()
    torch.testing.assert_close(result.entropy[0, 0], expected)


def test_given_keys_replace_the_protocols_and_no_others() -> None:
    base = protocol("cityscapes-19-bdl")
    assert base.asking(Inference()) == base
    assert base.chosen() == {}
    given = Inference.model_validate({"flip": True, "scales": [0.75, 1.0], "window": [512, 256]})
    asked = base.asking(given, size=(1024, 512))
    wanted = {"size": (1024, 512), "flip": True, "scales": (0.75, 1.0), "window": (512, 256)}
    assert asked == replace(base, inference=Inference(resample="probabilities", **wanted))  # type: ignore[arg-type]
    assert asked.chosen() == {"flip": True, "scales": [0.75, 1.0], "window": [512, 256]}
    # a default that was given is a choice, one that was not is not
    assert base.asking(Inference(resample="logits")).chosen() == {"resample": "logits"}
    assert protocol("cityscapes-19").asking(Inference(size=(64, 32)), size=(1, 1)).inference.size == (64, 32)


def test_what_was_not_given_is_not_written() -> None:
    given = Inference(flip=False, scales=(1.0, 0.5))
    assert given.model_dump(mode="json") == {"flip": False, "scales": [1.0, 0.5]}
    assert Inference.model_validate(given.model_dump(mode="json")).model_fields_set == {"flip", "scales"}


def test_contradictions_are_told() -> None:
    with pytest.raises(ValidationError, match="logits cannot be averaged"):
        Inference(resample="probabilities", average="logits")
    with pytest.raises(UserError, match="logits cannot be averaged"):
        protocol("cityscapes-19-bdl").asking(Inference(average="logits"))
    with pytest.raises(ValidationError, match="only a sliding window has one"):
        Inference(stride=(3, 3))
    with pytest.raises(ValidationError, match="pixels would be skipped"):
        Inference(window=(4, 4), stride=(5, 3))
    for wrong in ({"scales": []}, {"scales": [0]}, {"window": [0, 4]}, {"flips": True}, {"windows_at_once": 0}):
        with pytest.raises(ValidationError):
            Inference.model_validate(wrong)


def test_windows_in_batches_are_those_one_by_one() -> None:
    images = torch.rand(2, 2, 7, 9, generator=torch.Generator().manual_seed(2))
    batches: list[int] = []

    def answer(windows: Tensor) -> Tensor:
        batches.append(len(windows))
        return F.avg_pool2d(windows, 2)

    one = slid(answer, images, Inference(window=(4, 4), stride=(3, 3)))
    assert batches == [2] * 6  # windows at columns 0, 3, 5 and rows 0, 3, of two images
    many = slid(answer, images, Inference(window=(4, 4), stride=(3, 3), windows_at_once=4))
    assert batches[6:] == [8, 4]
    assert torch.equal(one, many)


def test_an_image_is_given_at_the_size_that_was_asked_for() -> None:
    image = np.zeros((4, 6, 3), dtype=np.uint8)
    image[..., 1] = 255
    assert Inference().prepared(image).shape == (1, 3, 4, 6)
    small = Inference(size=(3, 2)).prepared(image)
    assert small.shape == (1, 3, 2, 3)
    assert small[0, :, 0, 0].tolist() == [0.0, 1.0, 0.0]
