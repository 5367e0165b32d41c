"""DeepLab-V2 on VGG-16, as in AdaptSegNet and FADA."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from acclimate.io.identity import file_named
from acclimate.models.aspp import ASPP
from acclimate.models.config import NetworkOptions
from acclimate.models.network import MAIN, Level, Output, SegmentationNetwork
from acclimate.models.preprocessing import PreprocessingName
from acclimate.models.weights import is_imagenet, load_backbone, read_tensors, torchvision_tensors

_WIDTHS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512)
# torchvision's index of a layer -> ours: its pool4 (23) is not here
_CONV5 = {24: 23, 26: 25, 28: 27}


class DeepLabV2VGG16Options(NetworkOptions):
    """Settings of the network on VGG-16.

    Attributes:
        weights: of the convolutions: ``imagenet`` (torchvision's, downloaded once), the path of a safetensors file, or
            None for random ones.
        branches: how many of the head's convolutions are summed; 2 reproduces code that returned too early.
        head_learning_rate_multiple: learning rate of the head relative to the body's.
        preprocessing: what is subtracted from the image; None: what goes with the weights.
    """

    weights: str | None = file_named(None)
    branches: int = Field(default=4, ge=1, le=4)
    head_learning_rate_multiple: PositiveFloat = 1.0
    preprocessing: PreprocessingName | None = None


class DeepLabV2VGG16(SegmentationNetwork):
    """DeepLab-V2 on VGG-16 without its last two poolings, output stride 8, with the keys of AdaptSegNet's checkpoint.

    conv5 has dilation 2; fc6 and fc7 are 3x3 convolutions to 1024 channels with dilation 4 (``features.29`` and
    ``features.31``); ``classifier`` is the head. Single-level, without batch norm.

    AdaptSegNet trains everything at one learning rate (the default) on BGR images minus Caffe's mean; FADA trains the
    head at ten times the learning rate (``head_learning_rate_multiple: 10``) with the preprocessing ``caffe-vgg``.
    ``imagenet`` weights are torchvision's and bring the preprocessing ``imagenet``.
    """

    name = "deeplab-v2-vgg16"
    summary = "DeepLab-V2 on VGG-16 (AdaptSegNet, FADA)"
    Options = DeepLabV2VGG16Options

    def __init__(self, options: DeepLabV2VGG16Options, classes: int) -> None:
        preprocessing = options.preprocessing or ("imagenet" if is_imagenet(options.weights) else "caffe")
        super().__init__(
            options.model_copy(update={"preprocessing": preprocessing}),
            classes,
            stride=8,
            preprocessing=preprocessing,
            head_learning_rate_multiple=options.head_learning_rate_multiple,
        )
        convolutions = _vgg16()
        _load(convolutions, options.weights)
        self.features = nn.Sequential(
            *convolutions,
            nn.Conv2d(512, 1024, kernel_size=3, padding=4, dilation=4),
            nn.ReLU(inplace=True),
            nn.Conv2d(1024, 1024, kernel_size=3, padding=4, dilation=4),
            nn.ReLU(inplace=True),
        )
        self.classifier = ASPP(1024, classes, branches=options.branches)
        self.finish()

    def segment(self, images: Tensor) -> Output:
        features = self.features(images)
        return Output({MAIN: Level(self.classifier(features), features)})

    def heads(self) -> list[nn.Module]:
        return [self.classifier]


def _vgg16() -> nn.Sequential:
    """conv1_1 to conv5_3: torchvision's feature list without pool4 and pool5."""
    layers: list[nn.Module] = []
    channels = 3
    for width in _WIDTHS:
        if isinstance(width, int):
            layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        else:
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    for _ in range(3):
        layers += [nn.Conv2d(512, 512, kernel_size=3, padding=2, dilation=2), nn.ReLU(inplace=True)]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers)


def _load(convolutions: nn.Sequential, weights: str | None) -> None:
    """Fills conv1_1 to conv5_3 with weights whose keys are torchvision's ``features.N``."""
    if weights is None:
        return
    tensors = torchvision_tensors("vgg16", weights) if is_imagenet(weights) else read_tensors(Path(weights))
    renamed = {}
    for key, tensor in tensors.items():
        prefix, *rest = key.split(".")
        if prefix == "features" and len(rest) == 2 and rest[0].isdigit():
            key = f"features.{_CONV5.get(int(rest[0]), int(rest[0]))}.{rest[1]}"
        renamed[key] = tensor
    where = "torchvision/vgg16" if is_imagenet(weights) else weights
    load_backbone(nn.ModuleDict({"features": convolutions}), renamed, where=where)
