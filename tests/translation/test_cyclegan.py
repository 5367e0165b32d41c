"""A step of CycleGAN against its equations written out, and the state it saves."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from acclimate.data.sample import Batch
from acclimate.models.config import NetworkConfig
from acclimate.models.network import SegmentationNetwork
from acclimate.models.registry import build_network
from acclimate.translation.colour import ColourLine
from acclimate.translation.cyclegan import CycleGan
from acclimate.translation.settings import CycleGanOptions

OPTIONS = CycleGanOptions(width=4, blocks=1, discriminator_width=4, pool_size=2)


def segmentation() -> SegmentationNetwork:
    torch.manual_seed(9)
    return build_network(NetworkConfig(name="small", width=8), 5)


def translator(*, perceptual: bool = True, options: CycleGanOptions = OPTIONS) -> CycleGan:
    network = segmentation() if perceptual else None
    torch.manual_seed(0)
    result = CycleGan(options, learning_rate=1e-3, perceptual=network)
    for parameter in result.generators.parameters():
        parameter.data.mul_(5)  # terms that differ from each other more than an untrained network's do
    return result.train()


def batch(step: int, stream: int) -> Batch:
    generator = torch.Generator().manual_seed(10 * step + stream)
    return Batch(torch.rand(2, 3, 32, 32, generator=generator), None, ["a", "b"])


def stepped(model: CycleGan, steps: range) -> None:
    for step in steps:
        torch.manual_seed(100 + step)
        for optimizer in model.optimizers.values():
            optimizer.zero_grad()
        for terms in model.losses(batch(step, 0), batch(step, 1), step):
            torch.stack([term.weight * term.value for term in terms.values()]).sum().backward()
        for optimizer in model.optimizers.values():
            optimizer.step()


def test_a_step_descends_the_published_sum() -> None:
    """Gradients of all four networks against one objective written out in the symbols of the paper."""
    model = translator().double()  # sums in another order: single precision differs where gradients cancel
    reference = copy.deepcopy(model)
    source, target = (Batch(batch(0, stream).images.double(), None, ["a", "b"]) for stream in (0, 1))
    for terms in model.losses(source, target, 0):
        torch.stack([term.weight * term.value for term in terms.values()]).sum().backward()

    there, back = reference.generators["to target"], reference.generators["to source"]
    judge_t, judge_s = reference.discriminators["target"], reference.discriminators["source"]
    a, b = 2 * source.images - 1, 2 * target.images - 1

    def seen(x: torch.Tensor) -> torch.Tensor:
        assert reference.perceptual is not None
        return functional.instance_norm(reference.perceptual((x + 1) / 2).logits)

    def apart(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return ((seen(x) - seen(y)) ** 2).mean()

    fake_b, fake_a = there(a), back(b)
    objective = (
        ((judge_t(fake_b) - 1) ** 2).mean()
        + ((judge_s(fake_a) - 1) ** 2).mean()
        + 10 * (back(fake_b) - a).abs().mean()
        + 10 * (there(fake_a) - b).abs().mean()
        + 5 * (back(a) - a).abs().mean()
        + 5 * (there(b) - b).abs().mean()
        + 10 * (apart(back(fake_b), a) + apart(there(fake_a), b))
        + 0.1 * (apart(fake_b, a) + apart(fake_a, b))
    )
    expected = torch.autograd.grad(objective, list(reference.generators.parameters()))
    for own, wanted in zip(model.generators.parameters(), expected, strict=True):
        assert own.grad is not None
        assert torch.allclose(own.grad, wanted, rtol=1e-7, atol=1e-9)
    for judge, own_judge, real, fake in (
        (judge_t, model.discriminators["target"], b, fake_b.detach()),
        (judge_s, model.discriminators["source"], a, fake_a.detach()),
    ):
        objective = (((judge(real) - 1) ** 2).mean() + (judge(fake) ** 2).mean()) / 2
        for own, wanted in zip(
            own_judge.parameters(), torch.autograd.grad(objective, list(judge.parameters())), strict=True
        ):
            assert own.grad is not None
            assert torch.allclose(own.grad, wanted, rtol=1e-7, atol=1e-9)


def test_the_perceptual_network_never_changes_and_is_not_saved() -> None:
    model = translator()
    assert model.perceptual is not None
    before = copy.deepcopy(model.perceptual.state_dict())
    stepped(model, range(2))
    assert not model.perceptual.training
    assert all(torch.equal(value, before[key]) for key, value in model.perceptual.state_dict().items())
    assert not any(key.startswith("perceptual") for key in model.method_state()["modules"])


def test_terms_follow_the_options() -> None:
    plain = translator(perceptual=False, options=OPTIONS.model_copy(update={"identity_weight": 0.0}))
    names = [name for terms in plain.losses(batch(0, 0), batch(0, 1), 0) for name in terms]
    assert not [name for name in names if "perceptual" in name or "identity" in name]
    assert len(names) == len(set(names)) == 2 * 2 + 2 * 2


@pytest.mark.parametrize("perceptual", [False, True])
def test_going_on_from_a_saved_state_is_exact(perceptual: bool) -> None:
    whole, begun, resumed = (translator(perceptual=perceptual) for _ in range(3))
    stepped(whole, range(5))
    stepped(begun, range(3))
    content = io.BytesIO()
    torch.save([begun.method_state(), begun.process_state()], content)
    nn.init.zeros_(resumed.generators["to target"].entry.weight)
    content.seek(0)
    method_state, process_state = torch.load(content, weights_only=True)
    resumed.load_method_state(method_state)
    resumed.load_process_state(process_state)
    stepped(resumed, range(3, 5))
    expected, found = whole.method_state(), resumed.method_state()
    assert all(torch.equal(value, found["modules"][key]) for key, value in expected["modules"].items())
    for look in ("source", "target"):
        kept, restored = (model.process_state()["pools"][look] for model in (whole, resumed))
        assert len(kept) == 2
        assert all(torch.equal(x, y) for x, y in zip(kept, restored, strict=True))
    for name in ("generators", "discriminators"):
        states = [model.optimizers[name].state_dict()["state"] for model in (whole, resumed)]
        assert all(torch.equal(states[0][key]["exp_avg_sq"], states[1][key]["exp_avg_sq"]) for key in states[0])


def test_generators_begin_as_the_colour_match_and_its_inverse() -> None:
    line = ColourLine(np.array([0.5, 1.0, 0.8]), np.array([40.0, 0.0, 10.0]))
    options = CycleGanOptions(width=2, blocks=1, discriminator_width=2, residual=True, colour_match=True)
    model = CycleGan(options, learning_rate=1e-3)
    model.match_colours(line)
    levels = torch.tensor([30.0, 90.0, 200.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8) / 255
    there = model.generators["to target"].translate(levels)  # type: ignore[operator, union-attr]
    expected = torch.tensor([55.0, 90.0, 170.0]).view(1, 3, 1, 1) / 255
    assert torch.allclose(there, expected.expand_as(there), atol=1e-5)
    back = model.generators["to source"].translate(there)  # type: ignore[operator, union-attr]
    assert torch.allclose(back, levels, atol=1e-5)
    before = {key: value.clone() for key, value in model.generators.named_buffers()}
    stepped(model, range(2))
    assert all(torch.equal(before[key], value) for key, value in model.generators.named_buffers())


def test_the_colour_term_holds_colours_where_the_match_puts_them() -> None:
    options = {"width": 2, "blocks": 1, "discriminator_width": 2, "residual": True, "colour_match": True}
    model = CycleGan(CycleGanOptions.model_validate({**options, "colour_weight": 3.0}), learning_rate=1e-3)
    model.match_colours(ColourLine(np.array([0.5, 1.0, 0.8]), np.array([40.0, 0.0, 10.0])))
    term = next(model.losses(batch(0, 0), batch(0, 1), 0))["colour target"]
    value, weight = term.value, term.weight
    assert weight == 3.0
    assert value.item() == pytest.approx(0.0, abs=1e-6), "an untrained one is the match"
    generator = model.generators["to target"]
    nn.init.constant_(generator.exit.bias, 0.1)  # type: ignore[union-attr, arg-type]
    value = next(model.losses(batch(0, 0), batch(0, 1), 0))["colour target"].value
    assert value.item() == pytest.approx(2 * np.tanh(0.1), rel=1e-4), "all means are higher by it, no deviation is"


def test_options_that_need_others() -> None:
    with pytest.raises(ValueError, match="colour_match needs residual"):
        CycleGanOptions(colour_match=True)
    with pytest.raises(ValueError, match="colour_weight needs colour_match"):
        CycleGanOptions(colour_weight=1.0)


def test_discriminators_learn_from_the_pool() -> None:
    model = translator(perceptual=False)
    earlier = torch.full((2, 3, 32, 32), 0.25)
    for pool in model.pools.values():
        pool.exchange = lambda pictures: earlier  # type: ignore[method-assign,misc]
    terms = {name: term.value for losses in model.losses(batch(0, 0), batch(0, 1), 0) for name, term in losses.items()}
    for look in ("target", "source"):
        expected = model.discriminators[look](earlier).square().mean()
        torch.testing.assert_close(terms[f"discriminator {look} on translated"], expected)
