from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.evaluation import predict as module
from acclimate.evaluation.inference import Inference, Resample
from acclimate.evaluation.predict import predict, predict_labels


class Fixed(nn.Module):
    """Answers the same logits whatever it sees."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.logits)


class Pixelwise(nn.Module):
    """A convolution followed by dropout and batch norm: its answer depends on the image and on the mode."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, classes, 3, padding=1), nn.BatchNorm2d(classes), nn.Dropout(0.5))

    def forward(self, images: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.body(images))


RESAMPLED: tuple[Resample, ...] = ("logits", "probabilities")
IMAGES = torch.zeros(1, 3, 4, 4)


def pixel(*values: float) -> Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)


def test_entropy_by_hand() -> None:
    # two classes with probabilities 0.9 and 0.1: -(0.9 ln 0.9 + 0.1 ln 0.1) / ln 2
    expected = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)) / math.log(2)
    for resample in RESAMPLED:
        result = predict(
            [Fixed(pixel(math.log(0.9), math.log(0.1)))], IMAGES, size=(1, 1), inference=Inference(resample=resample)
        )
        assert result.entropy.item() == pytest.approx(expected, abs=1e-6)
        assert result.confidence.item() == pytest.approx(0.9, abs=1e-6)
        assert result.labels.tolist() == [[[0]]]
    assert predict([Fixed(pixel(3.0, 3.0, 3.0))], IMAGES, size=(1, 1)).entropy.item() == pytest.approx(1.0)
    # saturated softmax: 0 ln 0 is 0, never NaN
    for resample in RESAMPLED:
        assert (
            predict(
                [Fixed(pixel(500.0, -500.0))], IMAGES, size=(2, 2), inference=Inference(resample=resample)
            ).entropy.sum()
            == 0
        )


def test_the_ensemble_averages_logits_as_advent_does() -> None:
    first, second = Fixed(pixel(4.0, 0.0, 0.0)), Fixed(pixel(0.0, 3.0, 0.0))
    # mean logits 2, 1.5, 0 -> class 0; weights 1:3 give 1, 2.25, 0 -> class 1
    assert predict([first, second], IMAGES, size=(1, 1)).labels.item() == 0
    weighted = predict([first, second], IMAGES, size=(1, 1), weights=[1, 3])
    assert weighted.labels.item() == 1
    p = torch.tensor([1.0, 2.25, 0.0]).softmax(0)
    assert weighted.entropy.item() == pytest.approx(float(-(p * p.log()).sum() / math.log(3)), abs=1e-6)


def test_averaging_probabilities_is_another_rule() -> None:
    networks = [Fixed(pixel(10.0, 0.0, 0.0)), Fixed(pixel(0.0, 1.0, 1.5))]
    result = predict(networks, IMAGES, size=(1, 1), inference=Inference(average="probabilities"))
    p = (torch.tensor([10.0, 0.0, 0.0]).softmax(0) + torch.tensor([0.0, 1.0, 1.5]).softmax(0)) / 2
    assert result.entropy.item() == pytest.approx(float(-(p * p.log()).sum() / math.log(3)), abs=1e-5)
    # mean logits -0.67 -> class 1; mean probability of class 0 (0.953 + 0.953 + 0.0003) / 3 = 0.635 -> class 0
    voters = [Fixed(pixel(3.0, 0.0)), Fixed(pixel(3.0, 0.0)), Fixed(pixel(-8.0, 0.0))]
    assert predict_labels(voters, IMAGES, size=(1, 1)).item() == 1
    assert predict_labels(voters, IMAGES, size=(1, 1), inference=Inference(average="probabilities")).item() == 0


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("resample", RESAMPLED)
def test_enlarging_in_rows_equals_enlarging_at_once(
    monkeypatch: pytest.MonkeyPatch, align_corners: bool, resample: Resample
) -> None:
    logits = torch.randn(2, 5, 7, 9, generator=torch.Generator().manual_seed(0)) * 4
    monkeypatch.setattr(module, "_ELEMENTS_AT_ONCE", 2 * 5 * 40 * 3)  # three rows at a time
    inference = Inference(resample=resample, align_corners=align_corners)
    result = predict([Fixed(logits)], torch.zeros(2, 3, 1, 1), size=(31, 40), inference=inference)
    maps = logits if resample == "logits" else logits.softmax(1)
    whole = F.interpolate(maps, size=(31, 40), mode="bilinear", align_corners=align_corners)
    p = whole.softmax(1) if resample == "logits" else whole
    assert (result.labels.long() == whole.argmax(1)).float().mean() > 0.999  # ties may fall either way
    torch.testing.assert_close(result.entropy, -(p * p.log()).sum(1) / math.log(5), atol=1e-5, rtol=1e-4)
    assert result.labels.dtype == torch.uint8
    assert result.entropy.dtype == torch.float32


def test_resampling_logits_and_probabilities_differ_where_they_should() -> None:
    # between a pixel sure of class 0 (10, 0) and one unsure of class 1 (0, 1), the middle of the logits is (5, 0.5),
    # that of the probabilities (0.634, 0.366): both class 0, but at a quarter of the way from the end they part
    logits = torch.tensor([[[[10.0, 0.0]], [[0.0, 1.0]]]])
    by_logits = predict_labels([Fixed(logits)], IMAGES, size=(1, 5))
    by_probabilities = predict_labels(
        [Fixed(logits)], IMAGES, size=(1, 5), inference=Inference(resample="probabilities")
    )
    # fourth of five: logits (2.5, 0.75) -> 0; probabilities 0.25 * 1 + 0.75 * 0.269 = 0.452 -> 1
    assert by_logits.tolist() == [[[0, 0, 0, 0, 1]]]
    assert by_probabilities.tolist() == [[[0, 0, 0, 1, 1]]]


def test_flip_averages_with_the_mirrored_image_turned_back() -> None:
    torch.manual_seed(0)
    network = Pixelwise(3)
    images = torch.rand(1, 3, 6, 8)
    network.eval()
    with torch.no_grad():
        mean = (network(images).logits + network(images.flip(3)).logits.flip(3)) / 2
    network.train()
    result = predict([network], images, size=(6, 8), inference=Inference(flip=True))
    torch.testing.assert_close(result.entropy, -(mean.softmax(1) * mean.log_softmax(1)).sum(1) / math.log(3))
    # a mirrored image gets the mirrored answer: a property of the flip average, and only of it
    torch.testing.assert_close(
        predict([network], images.flip(3), size=(6, 8), inference=Inference(flip=True)).entropy.flip(2), result.entropy
    )


def test_scales_average_resized_inputs() -> None:
    torch.manual_seed(0)
    network = Pixelwise(3).eval()
    images = torch.rand(1, 3, 6, 8)
    with torch.no_grad():
        large = network(F.interpolate(images, size=(12, 16), mode="bilinear", align_corners=True)).logits
        large = F.interpolate(large, size=(6, 8), mode="bilinear", align_corners=True)
        mean = (network(images).logits + large) / 2
    result = predict([network], images, size=(6, 8), inference=Inference(scales=(1.0, 2.0)))
    torch.testing.assert_close(
        result.entropy, -(mean.softmax(1) * mean.log_softmax(1)).sum(1) / math.log(3), atol=1e-5, rtol=1e-4
    )


def test_networks_run_in_evaluation_mode_and_keep_their_own() -> None:
    network = Pixelwise(3).train()
    network.body[1].eval()
    before = network.body[1].running_mean.clone()
    first, second = (
        predict([network], torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)), size=(4, 4))
        for _ in range(2)
    )
    assert torch.equal(first.entropy, second.entropy)  # dropout was off
    assert torch.equal(network.body[1].running_mean, before)
    assert network.training
    assert not network.body[1].training


def test_networks_of_different_class_spaces_are_refused() -> None:
    with pytest.raises(UserError, match="2 and 3 classes"):
        predict([Fixed(pixel(0.0, 1.0)), Fixed(pixel(0.0, 1.0, 2.0))], IMAGES, size=(1, 1))


def test_meaningless_requests_are_refused() -> None:
    network = Fixed(pixel(0.0, 1.0))
    with pytest.raises(ValueError, match="weights"):
        predict([network], IMAGES, size=(1, 1), weights=[1.0, 2.0])
    with pytest.raises(ValueError, match="at least one"):
        predict([], IMAGES, size=(1, 1))
