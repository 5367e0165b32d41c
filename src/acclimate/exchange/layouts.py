"""The layouts in which the authors publish weights, and how to tell which one a file is in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
import torchvision.models
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network
from acclimate.models.resnet_caffe import resnet_layers

Tensors: TypeAlias = dict[str, Tensor]

FAMILIES = ("auto", "adaptsegnet", "advent", "bdl", "fada", "initial-weights")
"""What a layout can be asked for by: the code that wrote the file."""

# marks keys without a prefix of the layout, which might else be mistaken for keys of ours
_STRANGE = "?"
COUNTER = "num_batches_tracked"
"""How the one key ends whose values are no weights: how many batches a batch norm has seen."""


@dataclass(frozen=True)
class Layout:
    """One arrangement of keys.

    Attributes:
        description: what a person would call it.
        families: the values of ``--layout`` it belongs to, besides ``auto``.
        rename: from the file's keys to ours; keys that it does not know stay as they are, to be reported.
        network: the network with these keys, or None for initial weights of a body.
        body: for initial weights, builds the module with these keys.
        usual_branches: how many branches of the head count where neither the option nor the values tell.
    """

    description: str
    families: tuple[str, ...]
    rename: Callable[[Mapping[str, Tensor]], Tensors]
    network: NetworkConfig | None = None
    body: Callable[[], nn.Module] | None = None
    usual_branches: int = 4


@dataclass(frozen=True)
class Fit:
    """How well a file's tensors fit a layout.

    Attributes:
        layout: the layout.
        tensors: the file's tensors under our keys.
        classes: number of classes, or None for initial weights.
        missing: keys of the layout that the file lacks.
        unexpected: keys of the file that the layout lacks.
        shapes: keys of other shapes, as sentences.
    """

    layout: Layout
    tensors: Tensors = field(repr=False)
    classes: int | None
    missing: list[str]
    unexpected: list[str]
    shapes: list[str]

    @property
    def problems(self) -> int:
        """How many keys do not fit."""
        return len(self.missing) + len(self.unexpected) + len(self.shapes)


def _kept(tensors: Mapping[str, Tensor]) -> Tensors:
    return dict(tensors)


def _fada_resnet(tensors: Mapping[str, Tensor]) -> Tensors:
    return _renamed(tensors, {"feature_extractor.backbone.": "backbone.", "classifier.": "head."})


def _fada_vgg(tensors: Mapping[str, Tensor]) -> Tensors:
    return _renamed(tensors, {"feature_extractor.backbone.": "features.", "classifier.": "classifier."})


def _renamed(tensors: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> Tensors:
    renamed = {}
    for key, value in tensors.items():
        prefix = next((prefix for prefix in prefixes if key.startswith(prefix)), "")
        renamed[prefixes.get(prefix, _STRANGE) + key.removeprefix(prefix)] = value
    return renamed


def _resnet_body(tensors: Mapping[str, Tensor]) -> Tensors:
    """Takes off ImageNet's or COCO's classifier, and the prefix ``Scale.`` of the file that has the latter.

    Heads without the prefix are a segmentation network's, which is not taken for initial weights, however odd they are.
    """
    body = {key: value for key, value in tensors.items() if not key.startswith(("Scale.layer5.", "fc."))}
    return {key.removeprefix("Scale."): value for key, value in body.items()}


def _vgg_body(tensors: Mapping[str, Tensor]) -> Tensors:
    heads = ("classifier.0.", "classifier.3.", "classifier.6.")
    return {key: value for key, value in tensors.items() if not key.startswith(heads)}


def _without_heads(tensors: Mapping[str, Tensor]) -> Tensors:
    """What is left of a segmentation network that was explicitly asked for as initial weights."""
    return {key: value for key, value in tensors.items() if not key.startswith(("layer5.", "layer6.", "classifier."))}


def _vgg_features() -> nn.Module:
    return nn.ModuleDict({"features": torchvision.models.vgg16(weights=None).features})


_RESNET = NetworkConfig(name="deeplab-v2-resnet101", preprocessing="caffe")
LAYOUTS = (
    Layout(
        "multi-level DeepLab-V2 on ResNet-101 (AdaptSegNet, ADVENT, ESL, DADA)",
        ("adaptsegnet", "advent"),
        _kept,
        _RESNET.model_copy(update={"multi_level": True}),
    ),
    Layout(
        "single-level DeepLab-V2 on ResNet-101 (AdaptSegNet, BDL)",
        ("adaptsegnet", "advent", "bdl"),
        _kept,
        _RESNET,
        usual_branches=2,
    ),
    Layout(
        "DeepLab-V2 on VGG-16 (AdaptSegNet)",
        ("adaptsegnet",),
        _kept,
        NetworkConfig(name="deeplab-v2-vgg16", preprocessing="caffe"),
        usual_branches=2,
    ),
    Layout(
        "DeepLab-V2 on torchvision's ResNet-101 (FADA)",
        ("fada",),
        _fada_resnet,
        NetworkConfig(name="deeplab-v2", backbone="torchvision/resnet101", preprocessing="imagenet"),
    ),
    Layout(
        "DeepLab-V2 on VGG-16 (FADA)",
        ("fada",),
        _fada_vgg,
        NetworkConfig(name="deeplab-v2-vgg16", preprocessing="caffe-vgg", head_learning_rate_multiple=10.0),
    ),
    Layout("initial weights of ResNet-101", ("initial-weights",), _resnet_body, body=resnet_layers),
    Layout("initial weights of VGG-16", ("initial-weights",), _vgg_body, body=_vgg_features),
)
"""All layouts, networks before bodies: what holds a whole network is never taken for a body by itself."""


def recognise(tensors: Mapping[str, Tensor], *, layout: str, where: str) -> Fit:
    """The layout that the tensors of a file are in.

    Args:
        tensors: by key, as :func:`acclimate.exchange.tensor_files.read_foreign` reads them.
        layout: ``auto`` for any, or the family of layouts to choose from.
        where: what to call the file in errors.

    Raises:
        UserError: they fit none; the message names the nearest layout and the first keys that do not fit.
    """
    if layout == "initial-weights":
        tensors = _without_heads(tensors)
    nearest: Fit | None = None
    for candidate in LAYOUTS:
        if layout != "auto" and layout not in candidate.families:
            continue
        fit = fitted(tensors, candidate)
        if not fit.problems:
            return fit
        if nearest is None or fit.problems < nearest.problems:
            nearest = fit
    assert nearest is not None, layout
    parts = [
        f"{len(keys)} {what}: {', '.join(keys[:4])}{', …' if len(keys) > 4 else ''}"
        for what, keys in (
            ("missing", nearest.missing),
            ("unexpected", nearest.unexpected),
            ("of another shape", nearest.shapes),
        )
        if keys
    ]
    among = "any known layout" if layout == "auto" else f"the layout {layout!r}"
    raise UserError(
        f"{where} does not fit {among}; the nearest is {nearest.layout.description}, with keys {'; '.join(parts)}. "
        "Check that it is a segmentation network of AdaptSegNet, ADVENT, ESL, BDL or FADA, or choose another --layout"
    )


def fitted(tensors: Mapping[str, Tensor], layout: Layout) -> Fit:
    """How well tensors fit one layout."""
    renamed = layout.rename(tensors)
    classes = _classes(renamed) if layout.network is not None else None
    with torch.device("meta"):
        if layout.network is not None:
            expected = build_network(layout.network, max(classes or 19, 2)).state_dict()
        else:
            assert layout.body is not None
            expected = layout.body().state_dict()
    return Fit(
        layout=layout,
        tensors=renamed,
        classes=classes,
        # PyTorch 0.3 did not count batches, nor do frozen batch norms
        missing=[key for key in expected if key not in renamed and not key.endswith(COUNTER)],
        unexpected=[key.removeprefix(_STRANGE) for key in renamed if key not in expected],
        shapes=[
            f"{key} {tuple(renamed[key].shape)} instead of {tuple(value.shape)}"
            for key, value in expected.items()
            if key in renamed and renamed[key].shape != value.shape
        ],
    )


def _classes(renamed: Mapping[str, Tensor]) -> int | None:
    for key, value in renamed.items():
        if key.endswith("conv2d_list.0.bias") and value.ndim == 1:
            return len(value)
    return None


def trained_branches(tensors: Mapping[str, Tensor]) -> int | None:
    """How many branches of the heads ever learned, read from their values.

    The code of AdaptSegNet and early BDL returned before the third branch was added, so that the third and fourth never
    got a gradient, nor weight decay: they still hold their initial values, weights drawn from N(0, 0.01) and biases
    below 1 / sqrt(fan-in).

    Returns:
        2 or 4, or None where the values do not tell: also the first two look untouched, or only one of the others.
    """
    learned = [False] * 4
    for key, weight in tensors.items():
        stem, _, kind = key.rpartition(".")
        head, _, number = stem.rpartition(".")
        if kind == "weight" and head.endswith("conv2d_list"):
            learned[int(number)] |= not _untouched(weight, tensors[f"{stem}.bias"])
    if not (learned[0] and learned[1]) or learned[2] != learned[3]:
        return None
    return 4 if learned[2] else 2


def _untouched(weight: Tensor, bias: Tensor) -> bool:
    # five standard errors of mean and deviation: an untouched branch is practically never taken for a trained one
    error = 0.01 / weight.numel() ** 0.5
    drawn: bool = abs(float(weight.double().mean())) < 5 * error
    drawn = drawn and abs(float(weight.double().std()) - 0.01) < 5 * error / 2**0.5
    return drawn and float(bias.abs().max()) <= 1.001 / weight[0].numel() ** 0.5


def counts_batches(keys: Iterable[str]) -> bool:
    """Whether batch norms were of the ordinary kind: FADA's frozen ones count no batches."""
    return any(key.endswith(COUNTER) for key in keys)
