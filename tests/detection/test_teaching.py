"""From a teacher's boxes to labels: thresholds by class, what is spared, and what the student sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from test_detection_methods import SOURCE, TARGET, gradients, method
from torch import Tensor

from acclimate.detection.config import DetectorConfig
from acclimate.detection.detector import Detection
from acclimate.detection.methods.mean_teacher import DetectionMeanTeacher
from acclimate.detection.networks import build_detector
from acclimate.detection.sample import Boxes
from acclimate.detection.teaching import ClassThresholds, PseudoBoxes, erased, pseudo_boxes, seen_boxes


def detection(scores: Sequence[float], classes: Sequence[int]) -> Detection:
    boxes = torch.arange(4 * len(scores), dtype=torch.float32).view(-1, 4)
    return Detection(boxes, torch.tensor(classes), torch.tensor(scores))


FOUND = [detection([0.9, 0.8, 0.75, 0.4, 0.15], [0, 1, 0, 0, 1]), detection([0.6, 0.35, 0.05], [0, 1, 0])]
BOX = [0.0, 0.0, 4.0, 4.0]


def test_as_many_boxes_pass_as_the_source_has_objects() -> None:
    """Per image 1.5 objects of class 0, 0.5 of class 1 (one difficult); found: 2.5 and 1.5 per image."""
    thresholds = ClassThresholds(3, least=0.1)
    source = [Boxes.of([BOX] * 3, [0, 0, 1]), Boxes.of([BOX] * 2, [0, 1], [False, True])]
    for _ in range(3):
        thresholds.see(source, FOUND)
    # class 0: 0.9, 0.75, 0.6 are three in two images; class 1: 0.8 is one; class 2 is never expected
    torch.testing.assert_close(thresholds.passing(1.0)[:2], torch.tensor([0.60, 0.80]))
    torch.testing.assert_close(thresholds.passing(0.6)[:2], torch.tensor([0.75, 0.80]))
    torch.testing.assert_close(thresholds.passing(1.3)[:2], torch.tensor([0.40, 0.35]))
    assert thresholds.passing(1.0)[2] >= 0.99
    scarce = ClassThresholds(3, least=0.3)
    scarce.see([Boxes.of([BOX] * 9, [0] * 9)], FOUND)
    assert scarce.passing(1.0)[0] == pytest.approx(0.3)


def test_boxes_are_kept_uncertain_or_nothing() -> None:
    labels = pseudo_boxes(FOUND, torch.tensor([0.7, 0.8, 1.0]), uncertain=torch.tensor([0.1, 0.2, 1.0]))
    assert [item.classes.tolist() for item in labels.kept] == [[0, 1, 0], []]
    assert [item.classes.tolist() for item in labels.uncertain] == [[0], [0, 1]]
    assert torch.equal(labels.kept[0].corners, FOUND[0].boxes[:3])
    assert not labels.kept[0].difficult.any()


def test_priors_on_spared_boxes_cost_nothing_unless_they_are_objects() -> None:
    torch.manual_seed(0)
    detector = build_detector(DetectorConfig(name="light-ssd", width=8), 2)
    output = detector(torch.rand(1, 3, 64, 64))
    at = int(((output.priors[:, :2] > 4).all(1) & (output.priors[:, 2:] < 60).all(1)).nonzero()[0])
    spared = Boxes(output.priors[at : at + 1].detach(), torch.tensor([0]), torch.tensor([False]))
    real = Boxes.of([[30.0, 30.0, 60.0, 60.0]], [1])
    logits = output.logits.detach().clone().requires_grad_(True)
    with torch.no_grad():
        logits[0, at, 1] = 30.0  # the hardest of all negatives
    plain = detector.loss(output._replace(logits=logits), [real])["classification"]
    saved = detector.loss(output._replace(logits=logits), [real], spared=[spared])["classification"]
    assert plain > saved + 1
    saved.backward()
    assert logits.grad is not None
    assert not logits.grad[0, at].any()
    same = detector.loss(output._replace(logits=logits), [spared], spared=[spared])["classification"]
    torch.testing.assert_close(same, detector.loss(output._replace(logits=logits), [spared])["classification"])


def test_erased_rectangles_are_grey_and_of_the_stated_size() -> None:
    images = torch.rand(2, 3, 60, 80) * 0.4
    seen, covered = erased(images, 1, np.random.default_rng(0))
    assert seen.max() == 0.5
    for before, after, where in zip(images, seen, covered, strict=True):
        changed = (after != before).all(dim=0)
        assert torch.equal(changed, where)
        rows, columns = changed.any(1).sum(), changed.any(0).sum()
        assert changed.sum() == rows * columns
        assert 0.015 < changed.float().mean() < 0.11
    same, covered = erased(images, 0, np.random.default_rng(0))
    assert same is images
    assert not covered.any()


def test_labels_under_a_rectangle_become_uncertain() -> None:
    covered = torch.zeros(2, 20, 20, dtype=torch.bool)
    covered[0, :, :10] = True
    # the first lies under it, the second by 6 of 10 columns, the third by 5 of 10: not more than half
    boxes = Boxes.of([[1, 1, 5, 5], [4, 0, 14, 20], [5, 0, 15, 20], [12, 3, 16, 9]], [0, 1, 2, 3])
    doubtful = Boxes.of([[0, 0, 3, 3]], [4])
    labels = seen_boxes(PseudoBoxes([boxes, boxes], [doubtful, doubtful]), covered)
    assert [item.classes.tolist() for item in labels.kept] == [[2, 3], [0, 1, 2, 3]]
    assert [item.classes.tolist() for item in labels.uncertain] == [[4, 0, 1], [4]]
    assert torch.equal(labels.uncertain[0].corners[1:], boxes.corners[:2])
    outside = Boxes.of([[-5, -5, 0, 0], [20, 20, 30, 30]], [0, 1])
    assert (
        len(seen_boxes(PseudoBoxes([outside], [outside]), covered[:1]).kept[0]) == 1
    )  # the corner's own pixel decides


def teacher_method(**options: object) -> DetectionMeanTeacher:
    made = method("mean_teacher", **options)
    assert isinstance(made, DetectionMeanTeacher)
    return made


def test_the_students_loss_is_that_of_the_teachers_boxes() -> None:
    made = teacher_method(thresholds="fixed", threshold=0.2, strong=None, erased=0)
    terms = list(made.losses(SOURCE, TARGET, 0))[1]
    labels = made.labels(SOURCE, TARGET)
    assert sum(map(len, labels.kept)) > 0
    assert sum(map(len, labels.uncertain)) == 0
    wanted = made.network.loss(made.network(TARGET.images), labels.kept)["classification"]
    torch.testing.assert_close(terms["pseudo-labels"].value, wanted)
    assert terms["labels per picture"].value == pytest.approx(sum(map(len, labels.kept)) / 2)
    assert "pseudo-boxes" not in terms


def test_the_teacher_follows_and_is_what_is_kept() -> None:
    made = teacher_method(teacher={"decay": 0.75, "ramp": False})
    before = [parameter.clone() for parameter in made.teacher.network.parameters()]
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.add_(1.0)
    made.after_step(0)
    after: list[Tensor] = list(made.result().parameters())
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old + 0.25)


def test_without_an_adversary_there_is_no_discriminator_and_with_one_each_moves_its_own() -> None:
    assert len(list(teacher_method().losses(SOURCE, TARGET, 0))) == 2
    made = teacher_method(adversarial_weight=0.1, discriminator_width=8, pseudo_label_weight=0.0)
    assert {name.split(".")[0] for name in gradients(made, 1)} == {"network"}
    for part in (2, 3):
        assert {name.split(".")[0] for name in gradients(made, part)} == {"discriminator"}
