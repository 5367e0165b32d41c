"""DISE: one step of all its players against a slow implementation; its networks by their published sizes."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from lightning_fabric import Fabric
from safetensors.torch import save_file
from slow_step import SOURCE_SIZE, cross_entropy, large, pair, probabilities
from torch import Tensor, nn
from torch.nn import functional
from toy import ToyNetwork, batch, make_method, target_batch

from acclimate.data.sample import Batch
from acclimate.errors import UserError
from acclimate.methods.dise import Dise
from acclimate.methods.optimizers import OptimizerSettings
from acclimate.models.discriminator import OutputDiscriminator
from acclimate.models.dise import PictureDecoder, PictureDiscriminator, PrivateEncoder, with_remembered_stem
from acclimate.models.network import Output
from acclimate.models.perceptual import PerceptualVGG19
from acclimate.training.loop import train_step

WEIGHTS = {
    "adversarial_weight": 0.5,
    "auxiliary_adversarial_weight": 0.3,
    "translated_weight": 0.8,
    "reconstruction_weight": 0.7,
    "picture_weight": 0.4,
    "perceptual_weight": 0.6,
}
RATE = 0.01


class StemNetwork(ToyNetwork):
    """The toy with the names of a residual network's stem."""

    def __init__(self) -> None:
        super().__init__(multi_level=True)
        self.bn1, self.maxpool = self.norm, nn.MaxPool2d(3, stride=1, padding=1)

    def segment(self, images: Tensor) -> Output:
        middle = torch.tanh(self.early(images))
        last = torch.tanh(self.deep(middle))
        levels = super().segment(images).levels  # their names and kinds
        logits = {"main": (self.head(last), last), "auxiliary": (self.auxiliary_head(middle), middle)}  # type: ignore[misc]
        return Output({key: levels[key]._replace(logits=z, features=f) for key, (z, f) in logits.items()})

    def early(self, images: Tensor) -> Tensor:
        result: Tensor = self.maxpool(self.norm(self.stem(images)))
        return result


def slow_vgg(judge: PerceptualVGG19, pictures: Tensor) -> list[Tensor]:
    """relu1_1 to relu5_1, layer by layer, by torchvision's numbers."""
    constants = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    mean, std = (torch.tensor(each).double().view(1, 3, 1, 1) for each in constants)  # kept in float32
    x = ((pictures + 1) / 2 - mean) / std
    weights = dict(judge.named_parameters())
    maps = []
    for number in range(30):
        if number in (4, 9, 18, 27):
            x = functional.max_pool2d(x, 2)
        elif f"features.{number}.weight" in weights:
            x = functional.conv2d(
                x, weights[f"features.{number}.weight"], weights[f"features.{number}.bias"], padding=1
            )
            x = x.clamp(min=0)
            if number in (0, 5, 10, 19, 28):
                maps.append(x)
    return maps


def slow_decoded(decoder: PictureDecoder, features: Tensor, code: Tensor, number: int, size: tuple[int, int]) -> Tensor:
    """One picture after the other."""
    pictures = []
    structure = large(features, (math.ceil(size[0] / 8), math.ceil(size[1] / 8)))
    for index in range(len(structure)):
        bit = torch.full((1,), float(number), dtype=torch.float64)
        given = code[index % len(code)].unsqueeze(0)
        pictures.append(decoder(structure[index : index + 1], given, bit)[:, :, : size[0], : size[1]])
    return torch.cat(pictures)


def bce(logits: Tensor, label: float) -> Tensor:
    p = 1 / (1 + torch.exp(-logits))
    return -(label * p.log() + (1 - label) * (1 - p).log()).mean()


class Slow:
    """Copies of all players before the step, and what it does with them."""

    def __init__(self, method: Dise, source: Batch, target: Batch) -> None:
        self.method = copy.deepcopy(method)
        self.judge: Any = copy.deepcopy(method.references["perceptual"])
        self.source, self.target = source, target
        self.sizes = [tuple(b.images.shape[-2:]) for b in (source, target)]

    def early(self, images: Tensor) -> Tensor:
        network: Any = self.method.network
        if self.method.stem is not None:
            return network.early(network.preprocessing(images))  # type: ignore[no-any-return]
        rows, columns = images.shape[2] // 4, images.shape[3] // 4
        blocks = (2 * images - 1)[:, :, : 4 * rows, : 4 * columns].reshape(len(images), 3, rows, 4, columns, 4)
        return blocks.mean(dim=(3, 5))

    def forward(self) -> None:
        m, network = self.method, self.method.network
        self.out = [network(b.images) for b in (self.source, self.target)]
        self.codes = [m.private[d](self.early(b.images)) for d, b in (("source", self.source), ("target", self.target))]
        self.real = [2 * b.images - 1 for b in (self.source, self.target)]
        self.made = {
            (s, c): slow_decoded(m.decoder, self.out[s].features, self.codes[c], c, self.sizes[s])  # type: ignore[arg-type]
            for s in (0, 1)
            for c in (0, 1)
        }

    def maps(self, domain: int) -> dict[str, Tensor]:
        return {
            level: probabilities(large(each.logits, self.sizes[domain]))  # type: ignore[arg-type]
            for level, each in self.out[domain].levels.items()
        }

    def step_discriminators(self, *, pictures: bool) -> dict[str, Tensor]:
        """By hand: the first step of Adam is RATE g / (|g| + 1e-8). Returns where each parameter should be."""
        m = self.method
        loss = torch.zeros((), dtype=torch.float64)
        for domain in (0, 1):
            for level, maps in self.maps(domain).items():
                loss = loss + 0.5 * bce(m.output_discriminators[level](maps.detach()), float(domain))
        if pictures:
            for look, name in ((0, "source"), (1, "target")):
                d = m.picture_discriminators[name]
                fake = self.made[(1 - look, look)].detach()
                loss = loss + 0.5 * ((d(self.real[look]) - 1) ** 2).mean() + 0.5 * (d(fake) ** 2).mean()
        named = {k: p for k, p in m.named_parameters() if "discriminators" in k}
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        moved = {}
        with torch.no_grad():
            for (name, parameter), gradient in zip(named.items(), found, strict=True):
                if gradient is not None:
                    parameter -= RATE * gradient / (gradient.abs() + 1e-8)
                moved[name] = parameter.detach().clone()
        return moved

    def total(self) -> Tensor:
        m, w = self.method, WEIGHTS
        labels = self.source.labels
        assert labels is not None

        def supervised(output: Any) -> Tensor:
            size = self.sizes[0]
            both = [cross_entropy(large(output.levels[k].logits, size), labels) for k in ("main", "auxiliary")]  # type: ignore[arg-type]
            return both[0] + 0.1 * both[1]

        loss = supervised(self.out[0])
        target = self.maps(1)
        loss = loss + w["adversarial_weight"] * bce(m.output_discriminators["main"](target["main"]), 0.0)
        judged = m.output_discriminators["auxiliary"](target["auxiliary"])
        loss = loss + w["auxiliary_adversarial_weight"] * bce(judged, 0.0)
        for s in (0, 1):
            own, seen = slow_vgg(self.judge, self.real[s]), slow_vgg(self.judge, self.made[(s, s)])
            for level in range(5):
                share = w["reconstruction_weight"] * (1.0 if level == 4 else 2.0 ** (level - 5))
                loss = loss + share * (seen[level] - own[level]).abs().mean()
            other, fake = slow_vgg(self.judge, self.real[1 - s]), slow_vgg(self.judge, self.made[(s, 1 - s)])
            for level, share in ((3, 0.25), (4, 1.0)):
                loss = loss + w["perceptual_weight"] * share * (fake[level] - own[level]).abs().mean()
            for level in range(3):
                for image in range(len(fake[level])):
                    texture = other[level][image % len(other[level])].flatten(1).mean(dim=1)
                    apart = (fake[level][image].flatten(1).mean(dim=1) - texture).abs().mean()
                    loss = loss + w["perceptual_weight"] * apart / len(fake[level])
            d = m.picture_discriminators["target" if s == 0 else "source"]
            loss = loss + w["picture_weight"] * ((d(self.made[(s, 1 - s)]) - 1) ** 2).mean()
        translated = (self.made[(0, 1)].detach() + 1) / 2
        return loss + w["translated_weight"] * supervised(m.network(translated))


@pytest.mark.parametrize(("network", "step", "count"), [(StemNetwork, 5, 2), (None, 4, 1)])
def test_a_step_equals_a_slow_implementation(network: type[ToyNetwork] | None, step: int, count: int) -> None:
    source = pair(step)[0]
    smaller = target_batch(step, count=count)
    target = Batch(smaller.images.double(), None, smaller.names)
    toy = ToyNetwork(multi_level=True) if network is None else network()
    settings = OptimizerSettings(learning_rate=0.05, discriminator_learning_rate=RATE)
    method = make_method("dise", toy.double(), optimizer=settings, **WEIGHTS).double()
    assert isinstance(method, Dise)
    assert (method.stem is None) == (network is None)
    slow = Slow(method, source, target)
    train_step(method, source, target, step, fabric=Fabric(accelerator="cpu", devices=1, precision="64-true"))

    slow.forward()
    moved = slow.step_discriminators(pictures=step % 5 == 0)
    for name, parameter in method.named_parameters():
        if "discriminators" in name:
            assert torch.allclose(parameter, moved[name], rtol=0, atol=1e-7), name
    named = {k: p for k, p in slow.method.named_parameters() if p.requires_grad and "discriminators" not in k}
    found = torch.autograd.grad(slow.total(), list(named.values()))
    ours = dict(method.named_parameters())
    for name, gradient in zip(named, found, strict=True):
        assert ours[name].grad is not None, name
        assert torch.allclose(ours[name].grad, gradient, rtol=1e-9, atol=1e-12), name  # type: ignore[arg-type]
        assert gradient.abs().max() > 0, name


def parameters_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_published_sizes() -> None:
    """Counted by hand from the layers' kernels and channels."""
    kernels, channels = (7, 3, 3, 3, 3), (64, 64, 128, 256, 256, 256)
    convolutions = sum(k * k * a * b + 2 * b for k, a, b in zip(kernels, channels, channels[1:], strict=False))
    assert parameters_of(PrivateEncoder(64)) == convolutions + 8 * 257
    smooth = {w: 9 * w * w + 3 * w for w in (256, 128, 64, 32)}  # bias, and gain and shift of the norm
    decoder = 3 * 72 + 9 * 256 + 9 * (2048 + 256 + 1) * 256 + 3 * 256 + 6 * smooth[256]
    decoder += sum(16 * 2 * w * w + smooth[w] for w in (128, 64, 32)) + 3 * (9 * 32 + 1)
    assert parameters_of(PictureDecoder(2048)) == decoder
    judge = 36 * 3 * 64 + 64 + 16 * (64 * 128 + 128 * 256 + 256 * 512) + 512 + 1
    assert parameters_of(PictureDiscriminator()) == judge
    outputs = 16 * (19 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert parameters_of(OutputDiscriminator(19, bias=False, last_stride=1)) == outputs
    # VGG-19 to conv5_1
    pairs = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 3, (256, 512), *[(512, 512)] * 4]
    assert parameters_of(PerceptualVGG19()) == sum(9 * a * b + b for a, b in pairs)


def test_maps_and_pictures_have_their_sizes() -> None:
    pictures = torch.rand(2, 3, 64, 96) * 2 - 1
    maps = PerceptualVGG19(width=4)(pictures)
    assert [tuple(each.shape[1:]) for each in maps] == [(4, 64, 96), (8, 32, 48), (16, 16, 24), (32, 8, 12), (32, 4, 6)]
    assert PictureDiscriminator(width=4)(pictures).shape == (2, 1, 4, 6)
    assert OutputDiscriminator(3, width=4, bias=False, last_stride=1)(pictures).shape == (2, 1, 3, 5)
    made = PictureDecoder(6, width=4)(torch.rand(2, 6, 8, 12), torch.rand(2, 8), torch.tensor([0.0, 1.0]))
    assert made.shape == pictures.shape
    assert made.abs().max() < 1


def test_one_decoder_makes_pictures_of_both_domains() -> None:
    """Structure, code and the domain's number alone each change the picture."""
    torch.manual_seed(0)
    decoder = PictureDecoder(6, width=4)
    structure, code = torch.rand(1, 6, 5, 5), torch.rand(1, 8)
    first = decoder(structure, code, torch.zeros(1))
    for other in (
        decoder(structure + 0.1 * torch.rand(structure.shape), code, torch.zeros(1)),
        decoder(structure, code + 1, torch.zeros(1)),
        decoder(structure, code, torch.ones(1)),
    ):
        assert not torch.allclose(first, other)


def test_a_single_value_is_normalised_by_running_statistics() -> None:
    encoder = PrivateEncoder(4, width=4)
    code = encoder(torch.rand(1, 4, 8, 8))
    assert torch.isfinite(code).all()
    assert encoder.norms[0].num_batches_tracked == 1  # type: ignore[operator]
    assert encoder.norms[4].num_batches_tracked == 0  # type: ignore[operator]


def test_random_perceptual_weights_are_the_same_every_time() -> None:
    torch.manual_seed(0)
    first = PerceptualVGG19(width=4)
    state = torch.get_rng_state()
    second = PerceptualVGG19(width=4)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_keys_and_layers_are_torchvisions() -> None:
    with torch.device("meta"):
        theirs = torchvision.models.vgg19().features
    ours = PerceptualVGG19()
    shapes = {key: value.shape for key, value in theirs.state_dict().items()}
    assert all(shapes[key.removeprefix("features.")] == value.shape for key, value in ours.state_dict().items())
    assert [type(layer) for layer in ours.features] == [type(layer) for layer in theirs[:30]]


def test_weights_of_a_file(tmp_path: Path) -> None:
    """All of VGG-19's keys are taken to conv5_1, the rest is left; those of another network are refused."""
    held = {key: value + 1 for key, value in PerceptualVGG19(width=4).state_dict().items()}
    further = {"features.30.weight": torch.zeros(1), "classifier.0.bias": torch.zeros(1)}
    save_file(held | further, tmp_path / "vgg19.safetensors")
    found = PerceptualVGG19(weights=str(tmp_path / "vgg19.safetensors"), width=4).state_dict()
    assert all(torch.equal(found[key], value) for key, value in held.items())
    with pytest.raises(UserError, match="does not hold the weights of this backbone"):
        PerceptualVGG19(weights=str(tmp_path / "vgg19.safetensors"), width=8)


def test_the_stem_is_remembered_once() -> None:
    network = StemNetwork()
    found = with_remembered_stem(network)
    assert found is not None
    stem, channels = found
    assert channels == 4
    images = torch.rand(2, 3, *SOURCE_SIZE)
    network.train()(images)
    assert torch.equal(stem.taken(), network.early(network.preprocessing(images)))
    stem.forget()
    copy.deepcopy(network)
    network.eval()(images)
    with pytest.raises(AssertionError, match="no pass"):
        stem.taken()
    assert with_remembered_stem(ToyNetwork()) is None


def test_pictures_are_judged_every_fifth_step() -> None:
    method = make_method("dise")
    for step, judged in ((0, True), (1, False), (4, False), (5, True)):
        names = {name for terms in method.losses(batch(step), target_batch(step), step) for name in terms}
        assert ("discriminator target on translated" in names) == judged
