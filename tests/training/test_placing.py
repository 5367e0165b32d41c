"""How a learner computes changes no number: activations made again, batches in parts, compiled layers."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from toy import ToyNetwork, batch, make_method

from acclimate.data.sample import Batch, part_size
from acclimate.errors import UserError
from acclimate.methods import Method, Setting, method_class, method_options
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.models import compiled
from acclimate.models.compiled import compile_layers, recompute_activations
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network
from acclimate.models.together import Together
from acclimate.stages.train import shared_out_over
from acclimate.training.loop import train_step
from acclimate.training.placing import compiles, ensure_can_be_sharded, place
from acclimate.training.settings import TrainingSettings

FABRIC = Fabric(accelerator="cpu", devices=1)
CPU = torch.device("cpu")
RESIDUAL = {"name": "deeplab-v2", "backbone": "torchvision/resnet18", "batch_norm": "trained", "head": "small-aspp"}


def images(seed: int, *, labels: bool = True, count: int = 2, side: int = 40) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 3, (count, side, side), generator=generator)
    pictures = torch.rand(count, 3, side, side, generator=generator)
    return Batch(pictures, ids if labels else None, [str(number) for number in range(count)])


def dacs(network: dict[str, Any] = RESIDUAL, *, dropout: float = 0.0) -> Method:
    torch.manual_seed(0)
    built = build_network(NetworkConfig.parse(network), 3)
    for module in built.modules():
        if dropout and isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda layer, inputs, output: nn.functional.dropout(output, dropout))
    return method_class("dacs")(
        built,
        options=method_options("dacs", {"masked_consistency": {}}),
        setting=Setting(optimizer=OptimizerSettings(learning_rate=0.01)),
    )


def after(method: Method, settings: TrainingSettings, steps: int = 2) -> tuple[dict[str, Tensor], list[float]]:
    """State and losses after some steps."""
    place(method, settings, CPU)
    method.train()
    losses = []
    for step in range(steps):
        terms = train_step(method, images(step), images(step + 9, labels=False), step, fabric=FABRIC, seed=5)
        losses += [term.value.item() for term in terms.values()]
    return {key: value.clone() for key, value in method.state_dict().items()}, losses


def test_activations_made_again_are_the_same_bits_running_statistics_and_dropout_included() -> None:
    kept, kept_losses = after(dacs(dropout=0.2), TrainingSettings())
    again, again_losses = after(dacs(dropout=0.2), TrainingSettings(recompute_activations=True))
    assert again_losses == kept_losses
    assert list(again) == list(kept)
    assert [key for key in kept if not torch.equal(kept[key], again[key])] == []
    assert any("running_mean" in key for key in kept)


def test_activations_made_again_are_not_kept() -> None:
    def kept_bytes(network: nn.Module) -> int:
        stored = 0

        def pack(tensor: Tensor) -> Tensor:
            nonlocal stored
            stored += tensor.numel() * tensor.element_size() * (not isinstance(tensor, nn.Parameter))
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(images(0).images).logits.sum().backward()
        return stored

    torch.manual_seed(0)
    plain = build_network(NetworkConfig.parse(RESIDUAL), 3)
    torch.manual_seed(0)
    frugal = build_network(NetworkConfig.parse(RESIDUAL), 3)
    assert recompute_activations(frugal) == 8  # the basic blocks of a ResNet-18
    with torch.no_grad():
        assert torch.equal(plain(images(0).images).logits, frugal(images(0).images).logits)
    assert kept_bytes(frugal) < 0.6 * kept_bytes(plain)
    assert [name for name, _ in frugal.named_parameters()] == [name for name, _ in plain.named_parameters()]


@pytest.mark.parametrize(
    ("network", "blocks"),
    [
        ({"name": "deeplab-v2-resnet101"}, 33),
        ({"name": "dinov2-s"}, 12),
        ({"name": "encoder-decoder", "backbone": "timm/convnext_tiny", "decoder": "linear"}, 18),
    ],
    ids=["resnet101", "dinov2-s", "convnext"],
)
def test_blocks_are_those_of_the_architecture(network: dict[str, Any], blocks: int) -> None:
    with torch.device("meta"):
        built = build_network(NetworkConfig.parse(network), 3)
        backbone = getattr(built, "backbone", built)
    assert recompute_activations(backbone) == blocks


def test_a_network_without_blocks_says_so() -> None:
    with pytest.raises(UserError, match="recompute_activations: the network has no repeated blocks"):
        place(make_method("source_only"), TrainingSettings(recompute_activations=True), CPU)


def test_parts_of_a_batch_have_the_gradient_of_the_whole() -> None:
    """Where every part has equally many valid pixels and batch norm looks at no batch."""
    moved = {}
    for parts in (1, 2, 4):
        method = make_method("source_only", ToyNetwork(batch_norm="frozen"))
        method.train()
        terms = train_step(method, images(0, count=4), None, 0, fabric=FABRIC, accumulate=parts)
        moved[parts] = torch.cat([parameter.detach().flatten() for parameter in method.network.parameters()])
        assert terms["segmentation"].value.item() == pytest.approx(1.1, abs=0.2)
        moved[parts] = torch.cat([moved[parts], terms["segmentation"].value.view(1)])
    assert torch.allclose(moved[2], moved[1], rtol=0, atol=1e-6)
    assert torch.allclose(moved[4], moved[1], rtol=0, atol=1e-6)
    assert not torch.equal(moved[1], moved[4])


@pytest.mark.parametrize("name", ["advent", "dacs"])
def test_methods_of_two_domains_go_through_parts_of_both(name: str) -> None:
    """Two parts of the same pictures move everything as one part of them does."""
    results = []
    for parts in (1, 2):
        method = make_method(name, ToyNetwork(multi_level=True, batch_norm="frozen"))
        method.train()
        source, target = batch(0, size=(40, 56), count=1), batch(1, size=(40, 56), count=1, labels=False, domain=1)
        doubled = [
            Batch(
                each.images.repeat(parts, 1, 1, 1),
                None if each.labels is None else each.labels.repeat(parts, 1, 1),
                each.names * parts,
            )
            for each in (source, target)
        ]
        if name == "dacs":
            method.options = method.options.model_copy(update={"strong": None, "mixing": "none"})
        train_step(method, *doubled, 0, fabric=FABRIC, accumulate=parts)
        results.append(torch.cat([value.flatten().double() for value in method.state_dict().values()]))
    assert torch.allclose(results[0], results[1], rtol=0, atol=1e-6)


def test_parts_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="batch of 3 images cannot be gone through in 2 equal parts"):
        images(0, count=3).parts(2)
    with pytest.raises(ValueError, match="accumulate divides a step's batches into 2 parts, batch_size is 3"):
        TrainingSettings(batch_size=3, accumulate=2)
    method = make_method("adda", ToyNetwork(multi_level=False))
    with pytest.raises(UserError, match="steps its optimisers within a step"):
        train_step(method, images(0), images(1, labels=False), 0, fabric=FABRIC, accumulate=2)
    assert part_size(6, 3) == 2


SMALL = {"name": "small", "width": 16}


def test_compiled_layers_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")  # all but the code generator
    plain, plain_losses = after(dacs(SMALL), TrainingSettings(compile="never"))
    method = dacs(SMALL)
    others, losses = after(method, TrainingSettings(compile="always"))
    assert losses == pytest.approx(plain_losses, rel=1e-5)
    assert list(others) == list(plain)
    assert [key for key in plain if not torch.allclose(plain[key], others[key], rtol=1e-4, atol=1e-5)] == []


def test_what_does_not_compile_is_told_and_trains_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any) -> Any:
        raise RuntimeError("no compiler here\nat all")

    monkeypatch.setattr(compiled, "BACKEND", broken)
    torch._dynamo.reset()
    network = build_network(NetworkConfig.parse(SMALL), 3)
    expected = network(images(0).images).logits
    torch.manual_seed(0)
    compile_layers(network)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(network(images(0).images).logits, expected)
        network(images(0).images)
    assert len([record for record in caplog.records if "does not compile here" in record.message]) == 1
    network = build_network(NetworkConfig.parse(SMALL), 3)
    compile_layers(network, required=True)
    with pytest.raises(UserError, match="compile=always, but small does not compile"):
        network(images(0).images)
    torch._dynamo.reset()


def test_compiling_follows_its_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    network, gpu = build_network(NetworkConfig.parse(SMALL), 3), torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    crop = {"source_transform": {"crop": (64, 64)}, "target_transform": {"size": (64, 64)}}

    def ruled(device: torch.device = gpu, **changes: Any) -> tuple[bool, str]:
        return compiles(TrainingSettings.model_validate({"steps": 5000, **crop, **changes}), network, device)

    assert ruled()[0]
    assert ruled(CPU) == (False, "on a CPU it takes minutes and gains little")
    assert ruled(steps=100) == (False, "fewer than 2000 steps")
    assert ruled(source_transform={}) == (False, "pictures differ in size")
    assert ruled(target_transform={"size": (64, 64), "scale": (0.9, 1.1)}) == (False, "pictures differ in size")
    assert ruled(CPU, compile="always") == (True, "as the recipe asks")
    assert not ruled(compile="never")[0]
    assert not ruled(recompute_activations=True)[0]
    with pytest.raises(UserError, match="set it to auto or never"):
        ruled(compile="always", recompute_activations=True)
    assert compiles(TrainingSettings(steps=5000), nn.Linear(1, 1), gpu) == (False, "only networks of segmentation are")


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_layers_taken_together_are_the_same_bits(precision: Any) -> None:
    ended = []
    for together in (False, True):
        method = dacs({"name": "small", "width": 16})
        assert method.teacher is not None
        place(method, TrainingSettings(), CPU)
        if together:
            method.together = Together(method.network, method.teacher.network)
        method.train()
        fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
        values = []
        for step in range(2):
            source, target = images(step, side=24), images(step + 9, side=24, labels=False)
            terms = train_step(method, source, target, step, fabric=fabric, accumulate=2)
            values += [term.value.item() for term in terms.values()]
        ended.append((method.state_dict(), values))
        assert all(type(value) is not Tensor for layer in method.modules() for value in vars(layer).values())
    (apart, apart_values), (at_once, at_once_values) = ended
    assert at_once_values == apart_values
    assert list(at_once) == list(apart)
    assert [key for key in apart if not torch.equal(apart[key], at_once[key])] == []
    assert any("num_batches_tracked" in key and value > 4 for key, value in apart.items())


class Tied(nn.Module):
    """Two linear layers that share their weights, a norm between, a convolution, and a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(4, 4, 1)
        self.first, self.second, self.frozen = (nn.Linear(4, 4) for _ in range(3))
        self.second.weight = self.first.weight
        self.frozen.requires_grad_(False)
        self.norm = nn.LayerNorm(4)

    def forward(self, values: Tensor) -> Tensor:
        values = self.convolution(values[:, :, None, None])[:, :, 0, 0]
        found: Tensor = self.frozen(self.second(self.norm(self.first(values)).relu()))
        return found.float().square().mean()


def test_casts_are_those_of_autocast_for_shared_and_frozen_weights_too() -> None:
    found = []
    for together in (False, True):
        module = Tied()
        layers = Together(module) if together else Together()
        for seed in (1, 2):  # gradients of two backward passes add up
            with torch.autocast("cpu", dtype=torch.bfloat16):
                layers.begin("cpu")
                if together:
                    assert module.first.weight is module.second.weight
                    assert module.frozen.bias.dtype == torch.bfloat16
                    assert module.norm.weight.dtype == torch.float32
                loss = module(torch.rand(3, 4, generator=torch.Generator().manual_seed(seed)))
            loss.backward()
        layers.end()
        assert module.first.weight.dtype == torch.float32
        found.append([loss, *(each.grad for each in module.parameters() if each.requires_grad)])
    assert all(torch.equal(apart, at_once) for apart, at_once in zip(*found, strict=True))


def test_a_step_that_fails_leaves_the_layers_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    method = dacs({"name": "small", "width": 16})
    method.together = Together(method.network)
    monkeypatch.setattr(Method, "after_step", lambda *given: None)
    monkeypatch.setattr(type(method), "target_losses", lambda *given: 1 / 0)
    before = [key for layer in method.modules() for key in vars(layer)]
    with pytest.raises(ZeroDivisionError):
        train_step(method, images(0), images(1, labels=False), 0, fabric=FABRIC)
    assert [key for layer in method.modules() for key in vars(layer)] == before


@pytest.mark.parametrize(
    ("name", "settings", "optimizer", "reason"),
    [
        ("advent", {}, {}, "trains more than its network .discriminators."),
        ("dacs", {"compile": "always"}, {}, "leave training.compile at auto"),
        ("dacs", {}, {"body_repeats": "pytorch-2"}, "set it to none"),
        ("vfm_uda", {}, {}, None),
    ],
)
def test_what_cannot_be_shared_out_says_why(
    name: str, settings: dict[str, Any], optimizer: dict[str, Any], reason: str | None
) -> None:
    method = make_method(name, optimizer=OptimizerSettings(**optimizer))
    chosen = TrainingSettings(shard=True, **settings)
    if reason is None:
        ensure_can_be_sharded(method, chosen)
        return
    with pytest.raises(UserError, match=f"training.shard: .*{reason}"):
        ensure_can_be_sharded(method, chosen)


def test_a_parameter_of_a_single_number_cannot_be_shared_out() -> None:
    network = ToyNetwork()
    network.scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(UserError, match=r"training.shard: .* single number"):
        ensure_can_be_sharded(make_method("source_only", network), TrainingSettings(shard=True))


def test_one_process_has_all_parameters_and_snapshots_are_refused_in_several() -> None:
    settings = TrainingSettings(shard=True, snapshots={"every": 5})
    assert shared_out_over(FABRIC, settings) is None

    class Two:
        world_size = 2

    with pytest.raises(UserError, match="the first process alone scores snapshots"):
        shared_out_over(Two(), settings)  # type: ignore[arg-type]
