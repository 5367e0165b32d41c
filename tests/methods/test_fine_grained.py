"""The fine-grained adversary against a plain implementation of the published iteration, and who trains whom."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from test_published_order import DECAY, DISCRIMINATOR_RATE, MOMENTUM, RATE, STEPS, cross_entropy
from torch import Tensor, nn
from toy import CLASSES, ToyNetwork, batch, descend, gradients, make_method, target_batch

from acclimate.data.sample import Batch
from acclimate.methods import Method
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.training.loop import train_step
from acclimate.training.schedule import Schedule, set_learning_rates

LAMBDA = 0.3
"""Larger than the published 0.001, so that three steps make a difference that the comparison can see."""


class PlainFada:
    """One iteration as FADA's code has it (features and classifier, then the discriminator), with Zhao's entropy."""

    def __init__(self, network: ToyNetwork, discriminator: Any, *, temperature: float, entropy: float) -> None:
        self.network, self.discriminator = network, discriminator
        self.temperature, self.entropy = temperature, entropy
        self.features = torch.optim.SGD(
            [p for module in (network.stem, network.deep) for p in module.parameters()],
            lr=RATE,
            momentum=MOMENTUM,
            weight_decay=DECAY,
        )
        self.classifier = torch.optim.SGD(
            network.head.parameters(), lr=10 * RATE, momentum=MOMENTUM, weight_decay=DECAY
        )
        self.adam = torch.optim.Adam(discriminator.parameters(), lr=DISCRIMINATOR_RATE, betas=(0.9, 0.99))

    def iterate(self, source: Batch, target: Batch, step: int) -> None:
        factor = (1 - step / STEPS) ** 0.9
        for optimizer, rate in ((self.features, RATE), (self.classifier, 10 * RATE), (self.adam, DISCRIMINATOR_RATE)):
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.zero_grad()
        assert source.labels is not None
        source_features, source_logits = self.scored(source)
        cross_entropy(source_logits, source.labels).backward()  # type: ignore[no-untyped-call]
        source_labels = self.softened(source_logits)

        target_features, target_logits = self.scored(target)
        target_labels = self.softened(target_logits)
        nothing = torch.zeros_like(target_labels)
        said = self.asked(target_features, target)
        loss = LAMBDA * soft_cross_entropy(said, torch.cat([target_labels, nothing], dim=1))
        probabilities = target_logits.softmax(dim=1)
        entropy = -(probabilities * probabilities.log()).sum(dim=1) / torch.log(torch.tensor(float(CLASSES)))
        (loss + LAMBDA * self.entropy * entropy.mean()).backward()  # type: ignore[no-untyped-call]
        self.features.step()
        self.classifier.step()

        self.adam.zero_grad()  # what the adversarial loss left in the discriminator is thrown away
        said = self.asked(source_features.detach(), source)
        label = torch.cat([source_labels, torch.zeros_like(source_labels)], dim=1)
        (0.5 * soft_cross_entropy(said, label)).backward()  # type: ignore[no-untyped-call]
        said = self.asked(target_features.detach(), target)
        (0.5 * soft_cross_entropy(said, torch.cat([nothing, target_labels], dim=1))).backward()  # type: ignore[no-untyped-call]
        self.adam.step()

    def scored(self, images: Batch) -> tuple[Tensor, Tensor]:
        output = self.network(images.images)
        assert output.features is not None
        enlarge = nn.Upsample(size=images.images.shape[-2:], mode="bilinear", align_corners=True)
        return output.features, enlarge(output.logits) / self.temperature

    def softened(self, logits: Tensor) -> Tensor:
        labels = logits.softmax(dim=1).detach()
        labels[labels > 0.9] = 0.9
        return labels

    def asked(self, features: Tensor, images: Batch) -> Tensor:
        enlarge = nn.Upsample(size=images.images.shape[-2:], mode="bilinear", align_corners=True)
        said: Tensor = enlarge(self.discriminator(features))
        return said


def soft_cross_entropy(said: Tensor, label: Tensor) -> Tensor:
    powers = torch.exp(said - said.max(dim=1, keepdim=True).values)
    log_probabilities = torch.log(powers / powers.sum(dim=1, keepdim=True))
    count = said.shape[0] * said.shape[2] * said.shape[3]
    return -(label * log_probabilities).sum() / count


@pytest.mark.parametrize("entropy", [0.0, 0.5])
def test_steps_equal_the_published_iteration(entropy: float) -> None:
    fabric = Fabric(accelerator="cpu", devices=1, precision="64-true")
    network = ToyNetwork().double()
    method = make_method(
        "fine_grained",
        network,
        optimizer=OptimizerSettings(learning_rate=RATE, discriminator_learning_rate=DISCRIMINATOR_RATE),
        adversarial_weight=LAMBDA,
        entropy_weight=entropy,
    ).double()
    ours: Any = method.discriminators
    plain = PlainFada(copy.deepcopy(network), copy.deepcopy(ours["main"]), temperature=1.8, entropy=entropy)
    for step in range(3):
        source, target = batch(step, count=1), target_batch(step, count=1)
        source.images, target.images = source.images.double(), target.images.double()
        plain.iterate(source, target, step)
        set_learning_rates(method.optimizers.values(), Schedule().factor(step, steps=STEPS))
        train_step(method, source, target, step, fabric=fabric)
    theirs = plain.network.state_dict()
    for key, value in method.network.state_dict().items():
        assert torch.allclose(value, theirs[key], rtol=0, atol=1e-9), key
    for key, value in plain.discriminator.state_dict().items():
        assert torch.allclose(ours["main"].state_dict()[key], value, rtol=0, atol=1e-9), key


def passes(method: Method) -> list[dict[str, Tensor]]:
    """The gradients that each of a step's passes leaves, each by itself."""
    seen = []
    for losses in method.losses(batch(0), target_batch(0), 0):
        method.zero_grad(set_to_none=True)
        torch.stack([term.weight * term.value for term in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
        seen.append(gradients(method))
    return seen


@pytest.mark.parametrize("encoding", ["soft", "hard", "binary"])
def test_the_adversarial_loss_reaches_the_extractor_alone(encoding: str) -> None:
    method = make_method("fine_grained", ToyNetwork(multi_level=True), encoding=encoding)
    supervised, adversarial, discriminators = passes(method)
    assert not any(key.startswith("discriminators.") for key in supervised | adversarial)
    moved = {key.split(".")[1] for key, value in adversarial.items() if value.abs().sum() > 0}
    assert moved == {"stem", "deep"}
    assert all(key.startswith("discriminators.") for key in discriminators)


def test_entropy_reaches_the_classifier_too() -> None:
    method = make_method("fine_grained", ToyNetwork(), entropy_weight=0.5)
    assert passes(method)[1]["network.head.weight"].abs().sum() > 0


def weights(**options: Any) -> dict[str, float]:
    method = make_method("fine_grained", ToyNetwork(), **options)
    return {
        name: term.weight for losses in method.losses(batch(0), target_batch(0), 0) for name, term in losses.items()
    }


def test_entropy_inside_the_adversarial_term_weighs_lambda_times_lambda_adv() -> None:
    """Zhao et al. eq. 7-8 against eq. 6."""
    assert "entropy" not in weights()
    assert weights(entropy_weight=0.5)["entropy"] == pytest.approx(0.001 * 0.5)
    assert weights(entropy_weight=0.5, entropy_placement="outside")["entropy"] == 0.5
    pixels = target_batch(0).images.shape[-1] * target_batch(0).images.shape[-2]
    assert weights(entropy_weight=0.5, entropy_reduction="sum")["entropy"] == pytest.approx(0.0005 * pixels)


def test_the_binary_discriminator_differs_in_its_outputs_alone() -> None:
    fine, binary = (
        make_method("fine_grained", ToyNetwork(), encoding=kind).discriminators for kind in ("soft", "binary")
    )
    shapes = [{key: tuple(value.shape) for key, value in d["main"].state_dict().items()} for d in (fine, binary)]  # type: ignore[index]
    different = {key for key in shapes[0] if shapes[0][key] != shapes[1][key]}
    assert different == {"source.weight", "source.bias", "target.weight", "target.bias"}
    assert (shapes[0]["source.bias"], shapes[1]["source.bias"]) == ((CLASSES,), (1,))


def test_levels() -> None:
    network = ToyNetwork(multi_level=True)
    every = make_method("fine_grained", network)
    last = make_method("fine_grained", network, levels="last")
    assert set(every.discriminators) == {"main", "auxiliary"}  # type: ignore[arg-type]
    assert set(last.discriminators) == {"main"}  # type: ignore[arg-type]
    assert every.discriminators["auxiliary"].conv1.in_channels == 4  # type: ignore[index,union-attr]
    assert every.discriminators["main"].conv1.in_channels == 6  # type: ignore[index,union-attr]


def test_the_temperature_is_in_the_supervised_loss_only_where_asked() -> None:
    plain = descend(make_method("source_only"), batch(0), None)["segmentation"]
    divided = descend(make_method("fine_grained"), batch(0), target_batch(0))["segmentation"]
    spared = descend(make_method("fine_grained", temperature_in_losses=False), batch(0), target_batch(0))
    assert spared["segmentation"] == plain
    assert divided != plain


def test_the_encoding_has_one_temperature_wherever_it_is_applied() -> None:
    values = [
        descend(make_method("fine_grained", temperature_in_losses=inside), batch(0), target_batch(0))[
            "adversarial main"
        ]
        for inside in (True, False)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_self_distillation_is_cross_entropy_on_the_labels_it_is_given() -> None:
    ours = make_method("self_distillation")
    theirs = make_method("source_only")
    assert descend(ours, batch(0), None) == descend(theirs, batch(0), None)
    assert type(ours).trains_on == "pseudo-labels"


def test_the_clip_reaches_the_loss() -> None:
    """Where every class is clipped to c, each weighs c in the label: the losses are in proportion to c."""
    sums = {}
    for clip in (0.05, 0.1):  # below every probability of three classes that are nearly alike
        method = make_method("fine_grained", ToyNetwork(), clip=clip, temperature=1000.0)
        terms = list(method.losses(batch(0), target_batch(0), 0))
        sums[clip] = [terms[1]["adversarial main"].value.item(), terms[2]["discriminator main on source"].value.item()]
    assert sums[0.1] == pytest.approx([2 * value for value in sums[0.05]], rel=1e-5)
