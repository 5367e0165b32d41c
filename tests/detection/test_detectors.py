"""The published figures of SSD-300, its priors and its loss."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional
from torchvision.ops import box_iou

from acclimate.detection.config import DetectorConfig
from acclimate.detection.detector import Detector
from acclimate.detection.losses import stacked_maps
from acclimate.detection.networks import build_detector
from acclimate.detection.sample import Boxes
from acclimate.errors import UserError
from acclimate.io.validation import validated


@pytest.fixture(scope="module")
def kept() -> Detector:
    """SSD-300 as by default."""
    return build_detector(DetectorConfig(), 8)


@pytest.fixture(scope="module")
def published() -> Detector:
    """With the conventions of the published code, and VOC's priors."""
    return build_detector(DetectorConfig(priors="voc", convention="ssd.pytorch"), 8)


def test_ssd300_has_the_published_counts(kept: Detector) -> None:
    assert sum(parameter.numel() for parameter in kept.parameters()) == 24_681_542
    with torch.no_grad():
        output = kept(torch.rand(1, 3, 300, 300))
    assert output.logits.shape == (1, 8732, 9)
    assert output.offsets.shape == (1, 8732, 4)
    assert [(shape.height, shape.width) for shape in output.maps] == [(n, n) for n in (38, 19, 10, 5, 3, 1)]
    assert stacked_maps(output.logits, output.maps).shape == (1, 270, 38, 38)


@pytest.mark.parametrize(("which", "smallest", "second"), [("kept", 21, 45), ("published", 30, 60)])
def test_priors_are_those_of_the_published_configurations(
    which: str, smallest: float, second: float, request: pytest.FixtureRequest
) -> None:
    detector: Detector = request.getfixturevalue(which)
    with torch.no_grad():
        output = detector(torch.rand(1, 3, 300, 300))
    centres = (output.priors[:, :2] + output.priors[:, 2:]) / 2
    sizes = output.priors[:, 2:] - output.priors[:, :2]
    # row 1, column 2 of the first map, four anchors per cell: centre (2.5 * 8, 1.5 * 8)
    at = 4 * (38 * 1 + 2)
    torch.testing.assert_close(centres[at : at + 4], torch.tensor([[20.0, 12.0]]).expand(4, 2))
    between = math.sqrt(smallest * second)
    wide = [smallest * math.sqrt(2), smallest / math.sqrt(2)]
    expected = torch.tensor([[smallest, smallest], [between, between], wide, wide[::-1]])
    torch.testing.assert_close(sizes[at : at + 4], expected, rtol=1e-4, atol=1e-3)


def test_the_published_normalisation_subtracts_bgr_means_from_rgb(kept: Detector, published: Detector) -> None:
    for detector, mean in ((published, (104, 117, 123)), (kept, (123, 117, 104))):
        # means of 0-255 values, nothing divided afterwards
        torch.testing.assert_close(255 * detector.mean.flatten(), torch.tensor(mean).float(), rtol=1e-4, atol=0.01)
        torch.testing.assert_close(detector.std.flatten(), torch.full((3,), 1 / 255))
    assert published.module.topk_candidates == 200
    assert published.module.detections_per_img == 1600


def test_options_of_the_other_detector_are_refused() -> None:
    with pytest.raises(UserError, match="priors"):
        validated(DetectorConfig, {"name": "light-ssd", "priors": "voc"}, "network")
    with pytest.raises(UserError, match="width"):
        validated(DetectorConfig, {"width": 16}, "network")


@pytest.fixture(scope="module")
def ssdlite() -> Detector:
    torch.manual_seed(0)
    return build_detector(DetectorConfig(name="ssdlite", frozen_stride=4), 4)


def test_ssdlites_priors_are_square_in_pictures_of_any_shape(ssdlite: Detector) -> None:
    ssdlite.eval()
    with torch.no_grad():
        output = ssdlite(torch.rand(1, 3, 64, 256))
    assert [(each.height, each.width) for each in output.maps] == [(8, 32), (4, 16), (2, 8), (1, 4), (1, 2)]
    assert output.logits.shape == (1, 6 * (256 + 64 + 16 + 4 + 2), 5)
    sizes = output.priors[:, 2:] - output.priors[:, :2]
    side = 0.06 * 128  # the root of 64 x 256
    expected = torch.tensor([[side, side], [side * 2**0.5] * 2, [side * 2**0.5, side / 2**0.5]])
    torch.testing.assert_close(sizes[:3], expected)
    centres = (output.priors[:, :2] + output.priors[:, 2:]) / 2
    torch.testing.assert_close(centres[6 * 33], torch.tensor([12.0, 12.0]))


def test_ssdlite_freezes_what_its_maps_up_to_a_stride_are_made_with(ssdlite: Detector) -> None:
    frozen = {name for name, parameter in ssdlite.named_parameters() if not parameter.requires_grad}
    blocks = {int(name.split("features.")[1].split(".")[0]) for name in frozen}
    assert blocks == {0, 1, 2, 3}
    assert all(p.requires_grad for p in build_detector(DetectorConfig(name="ssdlite"), 4).parameters())


@pytest.mark.parametrize(("backbone", "ours"), [("torchvision/resnet18", True), ("timm/vit_tiny_patch16_224", False)])
def test_ssdlite_takes_any_backbone_with_maps_at_strides_8_16_and_32(backbone: str, ours: bool) -> None:
    config = DetectorConfig(name="ssdlite", backbone=backbone, channels=16)
    if not ours:
        with pytest.raises(UserError, match="8, 32 is missing"):
            build_detector(config, 2)
        return
    detector = build_detector(config, 2).eval()
    with torch.no_grad():
        assert detector(torch.rand(1, 3, 64, 64)).logits.shape == (1, 6 * (64 + 16 + 4 + 1 + 1), 3)
    again = build_detector(config, 2, initialised=False)
    again.load_state_dict(detector.state_dict())
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(images).offsets, detector(images).offsets)


def test_loss_against_a_direct_computation() -> None:
    torch.manual_seed(1)
    detector = build_detector(DetectorConfig(name="light-ssd"), 3)
    with torch.no_grad():
        output = detector(torch.rand(2, 3, 96, 96))
    corners = [[10.0, 20.0, 40.0, 60.0], [50.0, 50.0, 80.0, 70.0], [0.0, 0.0, 9.0, 9.0]]
    first = Boxes.of(corners, [2, 0, 1], [False, False, True])
    empty = Boxes.of([], [])
    losses = detector.loss(output, [first, empty])

    iou = box_iou(first.corners[:2], output.priors)
    owner = [int(iou[:, p].argmax()) if iou[:, p].max() >= 0.5 else -1 for p in range(len(output.priors))]
    for truth in range(2):
        owner[int(iou[truth].argmax())] = truth
    matched = [p for p, truth in enumerate(owner) if truth >= 0]
    wanted = torch.zeros(len(owner), dtype=torch.int64)
    localisation = torch.zeros(())
    for p in matched:
        x0, y0, x1, y1 = output.priors[p]
        tx0, ty0, tx1, ty1 = first.corners[owner[p]]
        w, h = x1 - x0, y1 - y0
        # the variances 0.1 and 0.2 of the published code
        encoded = [
            ((tx0 + tx1 - x0 - x1) / 2 / w) / 0.1,
            ((ty0 + ty1 - y0 - y1) / 2 / h) / 0.1,
            ((tx1 - tx0) / w).log() / 0.2,
            ((ty1 - ty0) / h).log() / 0.2,
        ]
        localisation += functional.smooth_l1_loss(output.offsets[0, p], torch.stack(encoded), reduction="sum")
        wanted[p] = first.classes[owner[p]] + 1
    cost = functional.cross_entropy(output.logits[0], wanted, reduction="none")
    others = cost[[p for p in range(len(owner)) if owner[p] < 0]]
    hardest = others.sort(descending=True).values[: 3 * len(matched)]
    torch.testing.assert_close(losses["localisation"], localisation / len(matched))
    torch.testing.assert_close(losses["classification"], (cost[matched].sum() + hardest.sum()) / len(matched))


def test_a_batch_without_objects_costs_nothing_and_is_finite() -> None:
    detector = build_detector(DetectorConfig(name="light-ssd"), 3)
    output = detector(torch.rand(2, 3, 96, 96))
    losses = detector.loss(output, [Boxes.of([], [])] * 2)
    assert [value.item() for value in losses.values()] == [0.0, 0.0]


def test_detections_decode_offsets_and_suppress_repetitions() -> None:
    detector = build_detector(DetectorConfig(name="light-ssd"), 2)
    with torch.no_grad():
        output = detector(torch.rand(1, 3, 96, 96))
    logits = torch.zeros_like(output.logits)
    logits[..., 0] = 20.0
    at = int(((output.priors[:, 0] > 20) & (output.priors[:, 2] < 80)).nonzero()[0])
    logits[0, at] = torch.tensor([0.0, 3.0, 0.0])
    logits[0, at + 1] = torch.tensor([0.0, 0.0, 4.0])
    offsets = torch.zeros_like(output.offsets)
    x0, y0, x1, y1 = output.priors[at].tolist()
    offsets[0, at] = torch.tensor([1.0, 0.0, 0.0, 0.0])  # a tenth of the width to the right
    found = detector.detections(output._replace(logits=logits, offsets=offsets), (96, 96))[0]
    best = {int(c): i for i, c in reversed(list(enumerate(found.classes)))}
    shift = 0.1 * (x1 - x0)
    expected = torch.tensor([x0 + shift, y0, x1 + shift, y1]).clamp(0, 96)
    torch.testing.assert_close(found.boxes[best[0]], expected)
    assert found.scores[best[0]].item() == pytest.approx(math.exp(3) / (math.exp(3) + 2))
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
