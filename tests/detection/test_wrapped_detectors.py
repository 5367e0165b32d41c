"""Torchvision's detectors through ``wrap``: their losses and boxes are torchvision's own, and every method learns."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import tiny_detectors
import torch
from test_detection_methods import SOURCE, TARGET, gradients
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.ops import box_iou

import acclimate
from acclimate.detection.detector import Detector, DetectorOutput
from acclimate.detection.exporting import UNDECIDED, ExportedDetector, _others
from acclimate.detection.losses import box_entropy, per_class_self_information, stacked_maps
from acclimate.detection.methods import DETECTION_METHODS, DetectionMethod, DetectionSetting
from acclimate.detection.methods.advent import DetectionAdvEnt
from acclimate.detection.sample import Boxes
from acclimate.detection.wrapped import wrap_detector
from acclimate.errors import UserError
from acclimate.methods.optimizers import OptimizerSettings

KINDS = list(tiny_detectors.MODULES)
SPARE = [("ssd", 1), ("retinanet", 1), ("retinanet", 0), ("fcos", 1), ("fcos", 0)]
"""Every kind with one label more than classes, and with none where it needs none."""
OBJECTS = [
    Boxes.of([[4, 6, 30, 40], [20, 18, 62, 60], [40, 4, 52, 20]], [0, 2, 1]),
    Boxes.of([[10, 10, 34, 30]], [1]),
]


def detector_of(kind: str, **options: Any) -> Detector:
    return wrap_detector(tiny_detectors.made(kind, **options), classes=3)


def pictures(width: int, height: int) -> Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("size", [(64, 64), (88, 72)], ids=str)
@pytest.mark.parametrize(("kind", "spare"), SPARE)
def test_losses_are_torchvisions_own(kind: str, spare: int, size: tuple[int, int]) -> None:
    detector = detector_of(kind, spare=spare, size=size)
    images = pictures(*size)
    targets = [{"boxes": item.corners, "labels": item.classes + spare} for item in OBJECTS]
    expected = detector.module.train()(list(images), targets)
    found = detector.loss(detector.train()(images), OBJECTS)
    torch.testing.assert_close(found["classification"], expected.pop("classification"), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found["localisation"], sum(expected.values()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_without_objects_cost_what_torchvision_says(kind: str) -> None:
    detector = detector_of(kind)
    images = pictures(64, 64)
    none = Boxes.of([], [])
    targets = [{"boxes": none.corners, "labels": none.classes}] * 2
    expected = detector.module.train()(list(images), targets)
    found = detector.loss(detector.train()(images), [none, none])
    torch.testing.assert_close(found["classification"], expected["classification"])
    assert found["localisation"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_changes_little(kind: str) -> None:
    detector = detector_of(kind)
    images = pictures(64, 64)
    expected = detector.loss(detector(images), OBJECTS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = detector(images)
        found = detector.loss(output, OBJECTS)
    assert output.priors.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.01)
    assert len(detector.detections(output, (64, 64))) == 2


@pytest.mark.parametrize("size", [(64, 64), (88, 72)], ids=str)
@pytest.mark.parametrize(("kind", "spare"), SPARE)
def test_detections_are_torchvisions_own(kind: str, spare: int, size: tuple[int, int]) -> None:
    detector = detector_of(kind, spare=spare, size=size).eval()
    if kind != "ssd" and spare:
        last = detector.module.head.classification_head.cls_logits
        with torch.no_grad():
            last.bias.view(-1, 4)[:, 0] = -50  # torchvision would find the label that stands for nothing
    images = pictures(*size)
    with torch.no_grad():
        expected = detector.module(list(images))
        found = detector.detections(detector(images), size[::-1])
    for one, other in zip(found, expected, strict=True):
        assert len(one.scores) > 20
        assert set(one.classes.tolist()) == {0, 1, 2}
        torch.testing.assert_close(one.boxes, other["boxes"])
        torch.testing.assert_close(one.scores, other["scores"])
        assert torch.equal(one.classes, other["labels"] - spare)


@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
def test_the_label_that_stands_for_nothing_is_never_found_and_in_no_entropy(kind: str) -> None:
    detector = detector_of(kind).eval()
    with torch.no_grad():
        output = detector(pictures(64, 64))
        logits = output.logits.clone()
        logits[..., 0] = 50
        found, expected = (detector.detections(each, (64, 64)) for each in (output._replace(logits=logits), output))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.classes, other.classes)
        assert torch.equal(one.boxes, other.boxes)
    information = detector.information(output._replace(logits=logits))
    torch.testing.assert_close(information, per_class_self_information(output.logits[..., 1:]))
    assert information.shape[2] == detector.information_channels() == 6


def spared_by_hand(kind: str, output: DetectorOutput, box: list[float]) -> Tensor:
    """(P,): the priors that would belong to the box, or to nothing, if it were an object."""
    if kind == "retinanet":
        overlap = box_iou(torch.tensor([box]), output.priors)[0]
        return (overlap >= 0.4) | (overlap == overlap.max())
    x0, y0, x1, y1 = box
    found = []
    for number, shape in enumerate(output.maps):
        size = (8, 16, 32)[number]
        for row, column in itertools.product(range(shape.height), range(shape.width)):
            x, y = column * size, row * size
            sides = (x - x0, y - y0, x1 - x, y1 - y)
            central = max(abs(x - (x0 + x1) / 2), abs(y - (y0 + y1) / 2)) < 1.5 * size
            least, most = 4 * size * (number > 0), 8 * size if number < 2 else float("inf")
            found.append(central and min(sides) > 0 and least < max(sides) < most)
    return torch.tensor(found)


@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
def test_priors_on_spared_boxes_cost_nothing_unless_they_are_objects(kind: str) -> None:
    detector = detector_of(kind)
    output = detector(pictures(64, 64)[:1])
    box = [8.0, 12.0, 34.0, 37.0]
    spared, real = Boxes.of([box], [0]), Boxes.of([[30.0, 30.0, 62.0, 62.0]], [1])
    logits = output.logits.detach().clone().requires_grad_(True)
    output = output._replace(logits=logits)
    losses = detector.loss(output, [real], spared=[spared])
    losses["classification"].backward()
    assert logits.grad is not None
    silent = ~logits.grad[0].any(dim=1)
    expected = spared_by_hand(kind, output, box)
    mine = spared_by_hand(kind, output, real.corners[0].tolist())
    assert expected.sum() >= 3
    if kind == "retinanet":  # an anchor between the thresholds of the real object is silent as well
        overlap = box_iou(real.corners, output.priors)[0]
        expected = (expected | ((overlap >= 0.4) & (overlap < 0.5))) & ~((overlap >= 0.5) | (overlap == overlap.max()))
    else:
        expected &= ~mine
    assert torch.equal(silent, expected)
    assert detector.loss(output, [real])["classification"] > losses["classification"]

    difficult = real.joined(Boxes.of([box], [0], [True]))
    torch.testing.assert_close(detector.loss(output, [difficult]), losses)
    same = detector.loss(output, [spared], spared=[spared])
    torch.testing.assert_close(same, detector.loss(output, [spared]))


def method(name: str, kind: str, **options: Any) -> DetectionMethod:
    if name == "advent":
        options = {"discriminator_layers": 3, "discriminator_width": 4, **options}
    if name == "mean_teacher":
        options = {"thresholds": "fixed", "threshold": 0.3, "pseudo_localisation_weight": 0.5, **options}
        options |= {"adversarial_weight": 0.1, "discriminator_width": 8}
    made = DETECTION_METHODS[name]
    setting = DetectionSetting(OptimizerSettings(learning_rate=0.01))
    return made(detector_of(kind), options=made.Options(**options), setting=setting)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", list(DETECTION_METHODS))
def test_a_step_of_every_method_changes_the_weights_and_is_finite(name: str, kind: str) -> None:
    made = method(name, kind)
    before = {key: value.clone() for key, value in made.network.named_parameters()}
    for terms in made.losses(SOURCE, TARGET if made.sees_target else None, 0):
        assert all(bool(torch.isfinite(term.value)) for term in terms.values())
        sum(term.value * term.weight for term in terms.values() if term.role != "figure").backward()  # type: ignore[union-attr]
    for optimizer in made.optimizers.values():
        optimizer.step()
    made.after_step(0)
    changed = {key for key, value in made.network.named_parameters() if not torch.equal(value, before[key])}
    assert {"head.classification_head", "head.regression_head", "backbone.first"} <= {
        ".".join(key.split(".")[1:3]) for key in changed
    }
    assert all(bool(torch.isfinite(value).all()) for value in made.state_dict().values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["minent", "advent"])
def test_what_adapts_moves_the_classes_and_not_the_boxes(name: str, kind: str) -> None:
    moved = gradients(method(name, kind), 1)
    assert any("classification_head" in key for key in moved)
    assert not any("regression_head" in key or not key.startswith("network.") for key in moved)


@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
def test_entropies_of_sigmoids_and_their_maps(kind: str) -> None:
    made = method("minent", kind)
    value = list(made.losses(SOURCE, TARGET, 0))[1]["entropy"].value
    chance = made.network(TARGET.images).logits[..., 1:].sigmoid()
    expected = -(chance * chance.log2() + (1 - chance) * (1 - chance).log2()).mean()
    torch.testing.assert_close(value, expected)
    advent = method("advent", kind)
    assert isinstance(advent, DetectionAdvEnt)
    output = advent.network(TARGET.images)
    seen = advent.discriminator_input(output)
    information = per_class_self_information(output.logits[..., 1:])
    torch.testing.assert_close(seen, stacked_maps(information, output.maps))
    torch.testing.assert_close(seen.sum(), box_entropy(information).sum())
    for name in ("minent", "advent"):
        with pytest.raises(UserError, match=f"{kind} scores every class by itself .* remove background: false"):
            method(name, kind, background=False)


@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
def test_a_teachers_sure_boxes_are_what_the_student_learns(kind: str) -> None:
    made: Any = method("mean_teacher", kind, strong=None, erased=0)
    terms = list(made.losses(SOURCE, TARGET, 0))[1]
    labels = made.labels(SOURCE, TARGET)
    assert sum(map(len, labels.kept)) > 0
    wanted = made.network.loss(made.network(TARGET.images), labels.kept)
    torch.testing.assert_close(terms["pseudo-labels"].value, wanted["classification"])
    torch.testing.assert_close(terms["pseudo-boxes"].value, wanted["localisation"])


def test_wrap_says_what_it_made_and_obeys_heads_and_batch_norm() -> None:
    module = tiny_detectors.made("retinanet")
    detector = acclimate.wrap(module, classes=3, heads=["head"], head_learning_rate_multiple=10, batch_norm="frozen")
    assert isinstance(detector, Detector)
    assert isinstance(acclimate.wrap(nn.Conv2d(3, 2, 1), classes=2), acclimate.SegmentationNetwork)
    groups = {group.name: group for group in detector.parameter_groups()}
    assert groups["head"].learning_rate_multiple == 10
    assert {id(p) for p in groups["head"].params} == {id(p) for p in module.head.parameters()}
    norm = module.backbone.first[1]
    rest = {id(p) for p in module.backbone.parameters()} - {id(p) for p in norm.parameters()}
    assert {id(p) for p in groups["detector"].params} == rest
    assert not detector.train().module.backbone.first[1].training


class OwnLoss(RetinaNet):  # type: ignore[misc]
    """With a loss of its own, which would silently not be used."""

    def compute_loss(self, *arguments: Any) -> Any:
        raise NotImplementedError


def upside_down(classes: int) -> Any:
    module = tiny_detectors.made("retinanet", classes)
    forward = module.backbone.forward
    module.backbone.forward = lambda images: dict(reversed(forward(images).items()))
    return module


def other_anchors(classes: int) -> Any:
    module = tiny_detectors.made("retinanet", classes)
    module.anchor_generator = tiny_detectors.AnchorGenerator(((16,), (32,), (64,)), ((1.0,),) * 3)
    return module


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (tiny_detectors.two_stages(3), {}, r"FasterRCNN is no detector that can be wrapped.*SSD .*RetinaNet and FCOS"),
        (tiny_detectors.made("retinanet"), {"classes": 5}, r"has 4 labels, but 5 classes need num_classes=6 or 5"),
        (tiny_detectors.made("ssd"), {"classes": 4}, r"has 4 labels, but 4 classes need num_classes=5:"),
        (tiny_detectors.made("fcos"), {"heads": ["haed"]}, "has no part 'haed'"),
        (tiny_detectors.made("fcos"), {"preprocessing": "caffe"}, "transform says its preprocessing"),
        (tiny_detectors.made("fcos"), {"multiple": 8}, "transform says its multiple"),
        (OwnLoss(tiny_detectors.Backbone(), 4), {}, "has a compute_loss of its own, which would not be called"),
        (upside_down(3), {}, "must give the largest feature map first"),
        (other_anchors(3), {}, r"its head scores \d+ places, but its anchors are \d+"),
        (RetinaNet(tiny_detectors.Backbone(), 4), {}, "cannot be applied to an image of 128x128 pixels"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_wrapped_is_told(module: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        acclimate.wrap(module, **{"classes": 3, **options})


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_exported_finds_what_ours_finds(kind: str) -> None:
    detector = detector_of(kind, size=(88, 72)).eval()
    exported = ExportedDetector(detector, (88, 72)).eval()
    images = pictures(88, 72)[:1]
    with torch.no_grad():
        output = detector(images)
        boxes, scores, classes, _, all_scores = exported(images)
    found = detector.detections(output, (72, 88))[0]
    assert len(scores) == len(found.scores) > 20
    # of boxes that overlap by just as much as is allowed rounding chooses
    assert _others(type(found)(boxes, classes, scores), found) <= UNDECIDED * len(scores)
    torch.testing.assert_close(scores, found.scores, rtol=0, atol=1e-4)
    assert all_scores.shape == (len(output.priors), 3)
