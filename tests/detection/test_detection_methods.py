"""What each detection method descends, in which order, and whose parameters feel it."""

from __future__ import annotations

import math

import pytest
import torch
from small_detection import method
from torch import Tensor

from acclimate.detection.config import DetectorConfig
from acclimate.detection.losses import box_entropy, box_self_information, stacked_maps
from acclimate.detection.methods import DETECTION_METHODS, DetectionMethod, DetectionSetting
from acclimate.detection.methods.advent import DetectionAdvEnt
from acclimate.detection.networks import build_detector
from acclimate.detection.sample import Boxes, DetectionBatch
from acclimate.errors import UserError
from acclimate.methods.optimizers import OptimizerSettings


def batch(number: int, *, boxes: bool) -> DetectionBatch:
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(number))
    found = [Boxes.of([[8, 8, 40, 56]], [1]), Boxes.of([[20, 4, 60, 30]], [2])]
    return DetectionBatch(images, found if boxes else None, ["a", "b"])


SOURCE, TARGET = batch(1, boxes=True), batch(2, boxes=False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("source_only", [["classification", "localisation"]]),
        ("oracle", [["classification", "localisation"]]),
        ("adabn", [["classification", "localisation"]]),
        ("minent", [["classification", "localisation"], ["entropy"]]),
        (
            "mean_teacher",
            [
                ["classification", "localisation"],
                ["pseudo-labels", "labels per picture", "spared per picture"],
            ],
        ),
        (
            "advent",
            [
                ["classification", "localisation"],
                ["adversarial"],
                ["discriminator on source"],
                ["discriminator on target"],
            ],
        ),
    ],
)
def test_losses_come_in_the_published_order(name: str, expected: list[list[str]]) -> None:
    made = method(name)
    target = TARGET if made.sees_target else None
    assert [list(terms) for terms in made.losses(SOURCE, target, 0)] == expected


def gradients(made: DetectionMethod, number: int) -> dict[str, Tensor]:
    """Gradient of the ``number``-th part of a step, by parameter name."""
    made.zero_grad(set_to_none=True)
    for place, terms in enumerate(made.losses(SOURCE, TARGET, 0)):
        if place == number:
            sum(term.value * term.weight for term in terms.values()).backward()  # type: ignore[union-attr]
            break
    return {name: p.grad for name, p in made.named_parameters() if p.grad is not None and bool(p.grad.any())}


def test_the_adversarial_loss_moves_the_detector_alone_and_the_rest_the_discriminator_alone() -> None:
    made = method("advent")
    assert {name.split(".")[0] for name in gradients(made, 1)} == {"network"}
    assert not any("regression" in name for name in gradients(made, 1))
    assert {name.split(".")[0] for name in gradients(made, 2)} == {"discriminator"}
    assert {name.split(".")[0] for name in gradients(made, 3)} == {"discriminator"}


def test_minent_is_the_entropy_of_target_anchors_and_its_options_scale_it() -> None:
    made = method("minent", entropy_weight=0.25)
    term = list(made.losses(SOURCE, TARGET, 0))[1]["entropy"]
    value, weight = term.value, term.weight
    logits = made.network(TARGET.images).logits
    torch.testing.assert_close(value, box_entropy(box_self_information(logits)).mean())
    assert weight == 0.25
    total = list(method("minent", reduction="sum").losses(SOURCE, TARGET, 0))[1]["entropy"].value
    torch.testing.assert_close(total, value * logits.shape[1])
    without = list(method("minent", background=False).losses(SOURCE, TARGET, 0))[1]["entropy"].value
    torch.testing.assert_close(without, box_entropy(box_self_information(logits, background=False)).mean())


@pytest.mark.parametrize("background", [True, False])
def test_the_discriminator_sees_stacked_self_information(background: bool) -> None:
    made = method("advent", background=background, padding="centred")
    assert isinstance(made, DetectionAdvEnt)
    output = made.network(TARGET.images)
    information = box_self_information(output.logits, background=background)
    seen = made.discriminator_input(output)
    torch.testing.assert_close(seen, stacked_maps(information, output.maps, padding="centred"))
    assert seen.shape[1] == (4 if background else 3) * sum(made.network.anchors_per_cell)


def test_a_discriminator_that_knows_nothing_costs_log_two() -> None:
    made = method("advent")
    assert isinstance(made, DetectionAdvEnt)
    with torch.no_grad():
        for parameter in made.discriminator.parameters():
            parameter.zero_()
    parts = list(made.losses(SOURCE, TARGET, 0))
    for terms in parts[1:]:
        for value in (term.value for term in terms.values()):
            assert value.item() == pytest.approx(math.log(2))


def test_adabn_moves_running_statistics_by_the_target_and_nothing_else() -> None:
    torch.manual_seed(0)
    detector = build_detector(DetectorConfig(name="ssdlite", channels=16), 3)
    made = DETECTION_METHODS["adabn"](
        detector, options=DETECTION_METHODS["adabn"].Options(), setting=DetectionSetting(OptimizerSettings())
    )
    steps = made.losses(SOURCE, TARGET, 0)
    next(steps)
    mean = next(value for name, value in detector.named_buffers() if name.endswith("running_mean"))
    after_source = mean.clone()
    assert list(steps) == []
    first = detector.module.backbone.body.features[0][0]
    seen = first((TARGET.images - detector.mean) / detector.std).mean(dim=(0, 2, 3))
    torch.testing.assert_close(mean, 0.9 * after_source + 0.1 * seen)


def test_localisation_weight() -> None:
    parts = list(method("source_only", localisation_weight=0.5).losses(SOURCE, None, 0))
    assert parts[0]["localisation"].weight == 0.5


def test_the_published_discriminator_and_too_small_maps() -> None:
    from acclimate.detection.discriminator import MapDiscriminator
    from acclimate.models.discriminator import OutputDiscriminator

    ours, published = MapDiscriminator(270), OutputDiscriminator(270)
    assert [p.shape for p in ours.parameters()] == [p.shape for p in published.parameters()]
    copied = dict(zip(ours.state_dict(), published.state_dict().values(), strict=True))
    ours.load_state_dict(copied)
    maps = torch.rand(1, 270, 38, 38)
    torch.testing.assert_close(ours(maps), published(maps))
    with pytest.raises(UserError, match="discriminator_layers"):
        ours(torch.rand(1, 270, 24, 24))


def test_state_is_restored_exactly() -> None:
    made, other = method("advent"), method("advent")
    for terms in made.losses(SOURCE, TARGET, 0):
        sum(term.value * term.weight for term in terms.values()).backward()  # type: ignore[union-attr]
    for optimizer in made.optimizers.values():
        optimizer.step()
    other.load_method_state(made.method_state())
    for a, b in zip(made.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_adversarial_losses_written_out() -> None:
    """Target maps are to pass for source (label 0); the discriminator is to tell the two apart."""
    made = method("advent", adversarial_weight=0.3)
    assert isinstance(made, DetectionAdvEnt)
    source, target = (made.discriminator(made.discriminator_input(made.network(b.images))) for b in (SOURCE, TARGET))
    passes = list(made.losses(SOURCE, TARGET, 0))
    softplus = torch.nn.functional.softplus
    value, weight = passes[1]["adversarial"].value, passes[1]["adversarial"].weight
    assert weight == 0.3
    torch.testing.assert_close(value, softplus(target).mean())
    for terms, name, expected in (
        (passes[2], "discriminator on source", softplus(source).mean()),
        (passes[3], "discriminator on target", softplus(-target).mean()),
    ):
        value, weight = terms[name].value, terms[name].weight
        assert weight == 0.5
        torch.testing.assert_close(value, expected)
