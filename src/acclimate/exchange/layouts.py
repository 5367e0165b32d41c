"""The layouts in which the authors publish weights, and how to tell which one a file is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
import torchvision.models
from torch import Tensor, nn

from acclimate.errors import UserError
from acclimate.exchange import heads, renaming
from acclimate.exchange.heads import COUNTER, Complete
from acclimate.exchange.renaming import STRANGE, Tensors
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network
from acclimate.models.resnet_caffe import resnet_layers
from acclimate.models.wide_resnet38 import wide_resnet38_trunk

INITIAL = "initial-weights"
"""The family of all layouts of bodies."""

FAMILIES = ("auto", "adaptsegnet", "advent", "bdl", "fada", "cbst", INITIAL)
"""What a layout can be asked for by: the code that wrote the file."""


@dataclass(frozen=True)
class Layout:
    """One arrangement of keys.

    Attributes:
        description: what a person would call it.
        families: the values of ``--layout`` it belongs to, besides ``auto``.
        rename: from the file's keys to ours; keys that it does not know stay as they are, to be reported.
    """

    description: str
    families: tuple[str, ...]
    rename: Callable[[Mapping[str, Tensor]], Tensors]


@dataclass(frozen=True)
class NetworkLayout(Layout):
    """A whole segmentation network.

    Attributes:
        network: the network with these keys.
        complete: decides what the keys leave open.
        class_bias: how the key (ours) of a bias ends that has one value per class.
        input_size: (width, height) in pixels at which its authors evaluate on Cityscapes.
    """

    network: NetworkConfig
    complete: Complete
    class_bias: str = "conv2d_list.0.bias"
    input_size: tuple[int, int] = (1024, 512)


@dataclass(frozen=True)
class BodyLayout(Layout):
    """A network's initial weights.

    Attributes:
        body: builds the module with these keys.
        starts: name of the network that takes them.
        heads: how the keys of heads begin, which are left out where initial weights were asked for by name.
    """

    body: Callable[[], nn.Module]
    starts: str
    heads: tuple[str, ...]


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


def _vgg_features() -> nn.Module:
    return nn.ModuleDict({"features": torchvision.models.vgg16(weights=None).features})


_RESNET = NetworkConfig.parse({"name": "deeplab-v2-resnet101", "preprocessing": "caffe"})
LAYOUTS: tuple[Layout, ...] = (
    NetworkLayout(
        "multi-level DeepLab-V2 on ResNet-101 (AdaptSegNet, ADVENT, ESL)",
        ("adaptsegnet", "advent"),
        renaming.kept,
        _RESNET.with_options(multi_level=True),
        partial(heads.two_or_four_branches, usual=4),
    ),
    NetworkLayout(
        "single-level DeepLab-V2 on ResNet-101 (AdaptSegNet, BDL)",
        ("adaptsegnet", "advent", "bdl"),
        renaming.kept,
        _RESNET,
        partial(heads.two_or_four_branches, usual=2),
    ),
    NetworkLayout(
        "DeepLab-V2 on VGG-16 (AdaptSegNet)",
        ("adaptsegnet",),
        renaming.kept,
        NetworkConfig.parse({"name": "deeplab-v2-vgg16", "preprocessing": "caffe"}),
        partial(heads.two_or_four_branches, usual=2),
    ),
    NetworkLayout(
        "DeepLab-V2 on torchvision's ResNet-101 (FADA)",
        ("fada",),
        renaming.fada_resnet,
        NetworkConfig.parse({"name": "deeplab-v2", "backbone": "torchvision/resnet101", "preprocessing": "imagenet"}),
        heads.fada_batch_norm,
    ),
    NetworkLayout(
        "DeepLab-V2 on VGG-16 (FADA)",
        ("fada",),
        renaming.fada_vgg,
        NetworkConfig.parse(
            {"name": "deeplab-v2-vgg16", "preprocessing": "caffe-vgg", "head_learning_rate_multiple": 10.0}
        ),
        heads.all_branches,
    ),
    NetworkLayout(
        "Wide ResNet-38, model A1 (CBST, MLSL)",
        ("cbst",),
        renaming.wide_resnet38,
        NetworkConfig.parse({"name": "wide-resnet38", "preprocessing": "imagenet"}),
        heads.without_branches,
        class_bias="linear.bias",
        input_size=(2048, 1024),
    ),
    NetworkLayout(
        "single-level DeepLab-V2 on ResNet-101 (ADVENT)",
        ("advent",),
        renaming.advent_single_level,
        _RESNET,
        partial(heads.two_or_four_branches, usual=4),
    ),
    BodyLayout(
        "initial weights of ResNet-101",
        (INITIAL,),
        renaming.resnet_body,
        resnet_layers,
        "deeplab-v2-resnet101",
        ("layer5.", "layer6.", "classifier."),
    ),
    BodyLayout(
        "initial weights of VGG-16",
        (INITIAL,),
        renaming.vgg_body,
        _vgg_features,
        "deeplab-v2-vgg16",
        ("layer5.", "layer6.", "classifier."),
    ),
    BodyLayout(
        "initial weights of Wide ResNet-38, model A1",
        (INITIAL,),
        renaming.wide_resnet38_body,
        wide_resnet38_trunk,
        "wide-resnet38",
        ("conv6a_", "linear"),
    ),
)
"""All layouts, networks before bodies: what holds a whole network is never taken for a body by itself."""


_OTHERS: dict[str, tuple[str, ...]] = {
    "Hugging Face's transformers": (
        "segformer.encoder.",
        "model.pixel_level_module.",
        "mobilevit.",
        "beit.encoder.",
        "dpt.encoder.",
        "decode_head.linear_c.",
    ),
    "mmsegmentation": ("decode_head.", "auxiliary_head.", "student.decode_head.", "model.decode_head."),
    "torchvision's segmentation models": ("classifier.0.convs.", "aux_classifier.", "backbone.layer", "backbone.conv1"),
}
"""Other programs' networks by how some of their keys begin, those that begin likewise after those that say more."""


def recognise(tensors: Mapping[str, Tensor], *, layout: str, where: str) -> Fit:
    """The layout that the tensors of a file are in.

    Args:
        tensors: by key, as :func:`acclimate.exchange.tensor_files.read_foreign` reads them.
        layout: ``auto`` for any, or the family of layouts to choose from.
        where: what to call the file in errors.

    Raises:
        UserError: they fit none; the message names the nearest layout and the first keys that do not fit.
    """
    fits = []
    for candidate in LAYOUTS:
        if layout != "auto" and layout not in candidate.families:
            continue
        fit = fitted(_without_heads(tensors, candidate) if layout == INITIAL else tensors, candidate)
        if not fit.problems:
            return fit
        fits.append(fit)
    nearest = min(fits, key=lambda fit: fit.problems)
    parts = [
        f"{len(keys)} {what}: {', '.join(keys[:4])}{', …' if len(keys) > 4 else ''}"
        for what, keys in (
            ("missing", nearest.missing),
            ("unexpected", nearest.unexpected),
            ("of another shape", nearest.shapes),
        )
        if keys
    ]
    writer = next((name for name, signs in _OTHERS.items() if any(key.startswith(signs) for key in tensors)), None)
    if writer is not None:
        raise UserError(
            f"{where} is in the layout of {writer}, which is not imported; build that network in Python, load the file "
            "there and wrap it (acclimate.wrap), or take a checkpoint of the authors' own code"
        )
    among = "any known layout" if layout == "auto" else f"the layout {layout!r}"
    raise UserError(
        f"{where} does not fit {among}; the nearest is {nearest.layout.description}, with keys {'; '.join(parts)}. "
        "Check that it is a segmentation network of AdaptSegNet, ADVENT, ESL, BDL, FADA, CBST or MLSL, or choose "
        "another --layout"
    )


def fitted(tensors: Mapping[str, Tensor], layout: Layout) -> Fit:
    """How well tensors fit one layout."""
    renamed = layout.rename(tensors)
    classes = _classes(renamed, layout.class_bias) if isinstance(layout, NetworkLayout) else None
    with torch.device("meta"):
        expected = _module(layout, classes).state_dict()
    return Fit(
        layout=layout,
        tensors=renamed,
        classes=classes,
        # PyTorch 0.3 and MXNet do not count batches, nor do frozen batch norms
        missing=[key for key in expected if key not in renamed and not key.endswith(COUNTER)],
        unexpected=[key.removeprefix(STRANGE) for key in renamed if key not in expected],
        shapes=[
            f"{key} {tuple(renamed[key].shape)} instead of {tuple(value.shape)}"
            for key, value in expected.items()
            if key in renamed and renamed[key].shape != value.shape
        ],
    )


def _module(layout: Layout, classes: int | None) -> nn.Module:
    if isinstance(layout, NetworkLayout):
        return build_network(layout.network, max(classes or 19, 2))
    assert isinstance(layout, BodyLayout)
    return layout.body()


def _classes(renamed: Mapping[str, Tensor], class_bias: str) -> int | None:
    for key, value in renamed.items():
        if key.endswith(class_bias) and value.ndim == 1:
            return len(value)
    return None


def _without_heads(tensors: Mapping[str, Tensor], layout: Layout) -> Mapping[str, Tensor]:
    """What is left of a segmentation network that was explicitly asked for as initial weights."""
    assert isinstance(layout, BodyLayout)
    return {key: value for key, value in tensors.items() if not key.startswith(layout.heads)}
