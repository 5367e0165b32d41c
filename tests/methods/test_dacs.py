"""DACS and masked consistency, step by step against an independent slow implementation in float64."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import toy
from lightning_fabric import Fabric
from torch import Tensor
from toy import SOURCE_SIZE, ToyNetwork, batch, make_method

from acclimate.data.sample import Batch
from acclimate.errors import UserError
from acclimate.methods import Method, method_options
from acclimate.training.loop import step_seed, train_step

SEED, STEPS = 3, 4
THRESHOLD = 0.4
LEARNING_RATE, MOMENTUM, DECAY_OF_WEIGHTS = 0.01, 0.9, 5e-4


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="64-true")


def precise(values: Batch) -> Batch:
    return Batch(values.images.double(), values.labels, values.names)


def batches(step: int) -> tuple[Batch, Batch]:
    """Labelled source images in patches of one class, and unlabelled target images of the same size."""
    source, target = precise(batch(step)), precise(batch(step + 50, labels=False))
    assert source.labels is not None
    coarse = source.labels[:, ::8, ::8]
    source.labels = coarse.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)[
        :, : SOURCE_SIZE[0], : SOURCE_SIZE[1]
    ]
    return source, target


def trained(fabric: Fabric, name: str = "dacs", **options: object) -> tuple[Method, list[dict[str, float]]]:
    method = make_method(name, ToyNetwork(multi_level=True).double(), **options)
    method.double()
    records = []
    for step in range(STEPS):
        terms = train_step(method, *batches(step), step, fabric=fabric, seed=SEED)
        records.append({key: float(term.value) for key, term in terms.items()})
    return method, records


# --- the slow implementation ----------------------------------------------------------------------------------------


def slow_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, divisor: float) -> Tensor:
    """Pixel by pixel; logits (B, C, h, w) are enlarged here, with aligned corners."""
    height, width = labels.shape[1:]
    large = torch.nn.functional.interpolate(logits, size=(height, width), mode="bilinear", align_corners=True)
    total = torch.zeros((), dtype=torch.float64)
    for image in range(labels.shape[0]):
        for row in range(height):
            for column in range(width):
                label = int(labels[image, row, column])
                if label != 255:
                    values = large[image, :, row, column]
                    total = total + weights[image, row, column] * (torch.logsumexp(values, 0) - values[label])
    return total / divisor


class Slow:
    """DACS with an SGD, a moving average and masks of its own; networks are used for their forward pass alone."""

    def __init__(self, *, confidence: str, threshold: float, decay: float, masking: tuple[int, float] | None) -> None:
        self.student = ToyNetwork(multi_level=True).double()
        self.teacher = copy.deepcopy(self.student)
        self.confidence, self.threshold, self.decay, self.masking = confidence, threshold, decay, masking
        self.velocity: dict[str, Tensor] = {}

    def step(self, number: int) -> dict[str, float]:
        torch.manual_seed(step_seed(SEED, number, 0))
        source, target = batches(number)
        assert source.labels is not None
        pixels = source.labels.numel()
        values = {}

        def descend(name: str, images: Tensor, labels: Tensor, weights: Tensor, divisor: float) -> None:
            output = self.student(images)
            main = slow_cross_entropy(output.levels["main"].logits, labels, weights, divisor)
            auxiliary = slow_cross_entropy(output.levels["auxiliary"].logits, labels, weights, divisor)
            (main + 0.1 * auxiliary).backward()  # type: ignore[no-untyped-call]
            values[name], values[f"auxiliary {name}"] = main.item(), auxiliary.item()

        ones = torch.ones_like(source.labels, dtype=torch.float64)
        descend("segmentation", source.images, source.labels, ones, float((source.labels != 255).sum()))
        labels, weights = self.ask(target.images)
        mixed_images, mixed_labels, mixed_weights = target.images.clone(), labels.clone(), weights.clone()
        for image in range(2):
            classes = sorted(set(source.labels[image].flatten().tolist()) - {255})
            drawn = [classes[place] for place in torch.randperm(len(classes)).tolist()[: math.ceil(len(classes) / 2)]]
            for row in range(labels.shape[1]):
                for column in range(labels.shape[2]):
                    label = int(source.labels[image, row, column])
                    if label in drawn:
                        mixed_images[image, :, row, column] = source.images[image, :, row, column]
                        mixed_labels[image, row, column] = label
                        mixed_weights[image, row, column] = 1.0
        descend("mixed", mixed_images, mixed_labels, mixed_weights, pixels)
        if self.masking is not None:
            side, ratio = self.masking
            hidden_images = target.images.clone()
            mean = torch.tensor([0.485, 0.456, 0.406])
            grid = torch.rand(2, math.ceil(labels.shape[1] / side), math.ceil(labels.shape[2] / side))
            for image in range(2):
                for row in range(labels.shape[1]):
                    for column in range(labels.shape[2]):
                        if grid[image, row // side, column // side] < ratio:
                            hidden_images[image, :, row, column] = mean
            descend("masked", hidden_images, labels, weights, pixels)
        self.move(number)
        return values

    def ask(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            logits = self.teacher(images).logits
        large = torch.nn.functional.interpolate(logits, size=images.shape[2:], mode="bilinear", align_corners=True)
        labels = torch.zeros(large.shape[0], *large.shape[2:], dtype=torch.int64)
        sure = torch.zeros(labels.shape, dtype=torch.float64)
        for image in range(labels.shape[0]):
            for row in range(labels.shape[1]):
                for column in range(labels.shape[2]):
                    scores = [math.exp(value) for value in large[image, :, row, column].tolist()]
                    best = max(range(len(scores)), key=scores.__getitem__)
                    labels[image, row, column] = best
                    sure[image, row, column] = float(scores[best] / sum(scores) >= self.threshold)
        if self.confidence == "pixel":
            return labels, sure
        weights = torch.empty_like(sure)
        for image in range(2):
            over = sure[image] if self.confidence == "image" else sure
            weights[image] = over.sum() / over.numel()
        return labels, weights

    def move(self, number: int) -> None:
        heads = {id(parameter) for head in self.student.heads() for parameter in head.parameters()}
        alpha = min(1 - 1 / (number + 1), self.decay)
        averages = dict(self.teacher.named_parameters())
        with torch.no_grad():
            for name, parameter in self.student.named_parameters():
                if parameter.grad is not None:
                    slope = parameter.grad + DECAY_OF_WEIGHTS * parameter
                    self.velocity[name] = MOMENTUM * self.velocity.get(name, 0) + slope
                    parameter -= LEARNING_RATE * (10 if id(parameter) in heads else 1) * self.velocity[name]
                    parameter.grad = None
                averages[name].copy_(alpha * averages[name] + (1 - alpha) * parameter)


@pytest.mark.parametrize(
    ("confidence", "masking"), [("batch", None), ("image", (5, 0.7)), ("pixel", (5, 0.7))], ids=lambda value: str(value)
)
def test_steps_equal_the_slow_implementation(
    confidence: str, masking: tuple[int, float] | None, fabric: Fabric
) -> None:
    options: dict[str, object] = {
        "strong": None,
        "teacher": {"threshold": THRESHOLD, "decay": 0.6, "confidence": confidence},
    }
    if masking is not None:
        block = 100 * masking[0] / SOURCE_SIZE[0]
        options["masked_consistency"] = {"block": block, "ratio": masking[1], "strong": None}
    method, records = trained(fabric, **options)
    slow = Slow(confidence=confidence, threshold=THRESHOLD, decay=0.6, masking=masking)
    for number, record in enumerate(records):
        values = slow.step(number)
        assert 0.02 < record["kept share"] < 0.98
        for name, value in values.items():
            assert record[name] == pytest.approx(value, rel=1e-9), (number, name)
    assert method.teacher is not None
    for ours, theirs in ((method.network, slow.student), (method.teacher.network, slow.teacher)):
        for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12, msg=name)


# --- options ----------------------------------------------------------------------------------------------------------


def test_without_mixing_the_teachers_labels_are_learned_on_the_target() -> None:
    method = make_method("dacs", mixing="none", strong=None, teacher={"confidence": "none"})
    source, target = batch(0), batch(7, labels=False)
    assert method.teacher is not None
    expected = copy.deepcopy(method.teacher).pseudo_labels(target.images).labels
    output = copy.deepcopy(method.network)(target.images)
    terms: dict[str, float] = {}
    for losses in method.terms(source, target, 0):
        terms |= {name: term.value.item() for name, term in losses.items()}
    large = torch.nn.functional.interpolate(output.logits, size=SOURCE_SIZE, mode="bilinear", align_corners=True)
    assert terms["mixed"] == pytest.approx(torch.nn.functional.cross_entropy(large, expected).item(), rel=1e-3)


def test_two_views_share_the_weight_and_are_drawn_apart() -> None:
    network = ToyNetwork()
    method = make_method("dacs", network, views=2, mixed_weight=0.8)
    source, target = batch(0), batch(7, labels=False)
    terms = [losses for losses in method.losses(source, target, 0) if losses]
    assert [next(iter(losses)) for losses in terms] == ["segmentation", "mixed", "mixed (view 2)"]
    assert [terms[1]["mixed"].weight, terms[2]["mixed (view 2)"].weight] == [0.4, 0.4]
    _, first, second = network.calls
    assert not torch.equal(first, second)


def test_strong_augmentation_reaches_mixed_and_masked_images_alone() -> None:
    network = ToyNetwork()
    method = make_method("dacs", network, masked_consistency={"ratio": 0.0})
    source, target = batch(0), batch(7, labels=False)
    torch.manual_seed(0)
    list(method.terms(source, target, 0))
    first, mixed, masked = network.calls
    assert first is source.images
    inside = (mixed == source.images) | (mixed == target.images)
    assert inside.float().mean() < 0.9
    assert not torch.equal(masked, target.images)
    assert masked.min() >= 0
    assert masked.max() <= 1


def test_sizes_that_cannot_be_mixed_are_told() -> None:
    method = make_method("dacs")
    with pytest.raises(UserError, match="mixed pixel by pixel"):
        list(method.losses(batch(0), toy.target_batch(0), 0))


@pytest.mark.parametrize("name", ["minent", "advent", "adaptsegnet", "fine_grained"])
def test_any_adapting_method_can_have_masked_consistency(name: str) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    plain = make_method(name)
    assert plain.teacher is None
    method = make_method(name, masked_consistency={"block": 20}, teacher={"threshold": 0.4, "decay": 0.5})
    assert method.teacher is not None
    before = [parameter.clone() for parameter in method.teacher.parameters()]
    for step in range(2):
        terms = train_step(method, batch(step), toy.target_batch(step), step, fabric=fabric)
        without = train_step(plain, batch(step), toy.target_batch(step), step, fabric=fabric)
        if step == 0:
            assert {key: float(term.value) for key, term in terms.items() if key in without} == {
                key: float(term.value) for key, term in without.items()
            }
        assert terms["masked"].role == "adaptation"
        assert float(terms["masked"].value) > 0
        assert terms["kept share"].role == "figure"
    assert any(not torch.equal(old, new) for old, new in zip(before, method.teacher.parameters(), strict=True))


def test_a_teacher_nobody_asks_is_an_error() -> None:
    with pytest.raises(UserError, match="only masked_consistency would ask it"):
        method_options("advent", {"teacher": {"decay": 0.9}})


def test_the_published_settings() -> None:
    options = method_options("dacs", {})
    assert options.teacher.decay == 0.99  # type: ignore[attr-defined]
    assert options.teacher.threshold == 0.968  # type: ignore[attr-defined]
    assert options.teacher.confidence == "batch"  # type: ignore[attr-defined]
