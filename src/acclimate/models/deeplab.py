"""DeepLab-V2: the published one on Caffe's ResNet-101, and the same heads on any dilated backbone.

Chen et al., "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully Connected
CRFs"; the single- and multi-level networks of AdaptSegNet (Tsai et al.) and ADVENT (Vu et al.).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from acclimate.io.identity import file_named
from acclimate.models.aspp import ASPP, SmallASPP
from acclimate.models.backbones import Backbone, build_backbone
from acclimate.models.batch_norm import BatchNormSetting
from acclimate.models.config import NetworkOptions
from acclimate.models.network import AUXILIARY, MAIN, Level, Output, SegmentationNetwork
from acclimate.models.preprocessing import PreprocessingName
from acclimate.models.resnet_caffe import resnet_layers
from acclimate.models.weights import is_imagenet, load_weights

RATES = {8: (6, 12, 18, 24), 16: (3, 6, 9, 12)}
"""The head's default dilation rates by output stride: the published ones at 8, the same extent in pixels at 16."""


HeadName: TypeAlias = Literal["aspp", "small-aspp"]


class DeepLabV2ResNet101Options(NetworkOptions):
    """Settings of the published network.

    Attributes:
        multi_level: add an auxiliary head on the mid-level features (AdaptSegNet, ADVENT).
        twin_heads: two main heads on the same features, whose logits are added (CLAN).
        batch_norm: what batch norm does, see :mod:`acclimate.models.batch_norm`.
        weights: of the body: ``imagenet`` (torchvision's, downloaded once), ``imagenet-v1`` (torchvision's first, those
            of most papers), the path of a safetensors file, or None for random ones.
        branches: how many of a head's convolutions are summed; 2 reproduces code that returned too early.
        head_learning_rate_multiple: learning rate of the heads relative to the body's.
        preprocessing: what is subtracted from the image, see :mod:`acclimate.models.preprocessing`; None: what goes
            with the weights.
    """

    multi_level: bool = False
    twin_heads: bool = False
    batch_norm: BatchNormSetting = "published"
    weights: str | None = file_named(None)
    branches: int = Field(default=4, ge=1, le=4)
    head_learning_rate_multiple: PositiveFloat = 10.0
    preprocessing: PreprocessingName | None = None


class DeepLabV2ResNet101(SegmentationNetwork):
    """The published DeepLab-V2 on ResNet-101, output stride 8, with the keys of the authors' checkpoints.

    Single-level: ``layer5`` is the main head, on layer4 (2048 channels). Multi-level: ``layer5`` is the auxiliary head,
    on layer3 (1024 channels), and ``layer6`` the main head, on layer4. 1280x720 images give logits of (91, 161).

    The weights ``imagenet`` are torchvision's, which were trained with the stride on the 3x3 convolutions; here that
    concerns one block only, the first of layer2. They go with the preprocessing ``imagenet``, everything else with
    ``caffe``, unless the config says otherwise.
    """

    name = "deeplab-v2-resnet101"
    summary = "DeepLab-V2 on ResNet-101 as published (AdaptSegNet, ADVENT, ESL, BDL)"
    Options = DeepLabV2ResNet101Options

    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def __init__(self, options: DeepLabV2ResNet101Options, classes: int) -> None:
        preprocessing = options.preprocessing or ("imagenet" if is_imagenet(options.weights) else "caffe")
        super().__init__(
            options.model_copy(update={"preprocessing": preprocessing}),
            classes,
            stride=8,
            preprocessing=preprocessing,
            batch_norm=options.batch_norm,
            head_learning_rate_multiple=options.head_learning_rate_multiple,
            multi_level=options.multi_level,
        )
        layers = resnet_layers()
        load_weights(layers, options.weights, torchvision_name="resnet101")
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.layer5 = ASPP(1024 if options.multi_level else 2048, classes, branches=options.branches)
        self.layer6 = ASPP(2048, classes, branches=options.branches) if options.multi_level else None
        self.finish()

    def segment(self, images: Tensor) -> Output:
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        middle = self.layer3(self.layer2(self.layer1(features)))
        last = self.layer4(middle)
        if self.layer6 is None:
            return Output({MAIN: Level(self.layer5(last), last)})
        return Output({MAIN: Level(self.layer6(last), last), AUXILIARY: Level(self.layer5(middle), middle)})

    def heads(self) -> list[nn.Module]:
        return [self.layer5] if self.layer6 is None else [self.layer5, self.layer6]


class DeepLabV2Options(NetworkOptions):
    """Settings of DeepLab-V2 on another backbone.

    Attributes:
        backbone: ``torchvision/NAME`` or ``timm/NAME``.
        multi_level: add an auxiliary head on the mid-level features (AdaptSegNet, ADVENT).
        twin_heads: two main heads on the same features, whose logits are added (CLAN).
        batch_norm: what batch norm does, see :mod:`acclimate.models.batch_norm`.
        batch_norm_epsilon: what batch norms that use running statistics add to the variance; 0 is FADA's frozen
            batch norm, which adds nothing.
        weights: of the backbone: ``imagenet`` (torchvision's or timm's, downloaded once), ``imagenet-v1``
            (torchvision's first), the path of a safetensors file, or None for random ones.
        output_stride: input pixels per output position.
        head: ``aspp`` as published, or ``small-aspp`` which first reduces the features to ``head_channels``.
        head_channels: channels between the two layers of ``small-aspp``.
        rates: dilation rates of the head's parallel convolutions; None: those of :data:`RATES`.
        head_learning_rate_multiple: learning rate of the heads relative to the body's.
        preprocessing: what is subtracted from the image; None: what the backbone's weights were trained with.
    """

    backbone: str = "torchvision/resnet50"
    multi_level: bool = False
    twin_heads: bool = False
    batch_norm: BatchNormSetting = "published"
    batch_norm_epsilon: float | None = Field(default=None, ge=0, le=0.1)
    weights: str | None = file_named(None)
    output_stride: Literal[8, 16] = 8
    head: HeadName = "aspp"
    head_channels: PositiveInt = 96
    rates: tuple[int, ...] | None = Field(default=None, min_length=1)
    head_learning_rate_multiple: PositiveFloat = 10.0
    preprocessing: PreprocessingName | None = None


class DeepLabV2(SegmentationNetwork):
    """The heads of DeepLab-V2 on a dilated torchvision or timm backbone.

    The main head reads the backbone's last features, the auxiliary head (multi-level) those before its last change of
    resolution, as the published network reads layer4 and layer3.
    """

    name = "deeplab-v2"
    summary = "DeepLab-V2's heads on a dilated torchvision or timm backbone"
    Options = DeepLabV2Options

    def __init__(self, options: DeepLabV2Options, classes: int) -> None:
        stride = options.output_stride
        backbone: Backbone = build_backbone(options.backbone, output_stride=stride, weights=options.weights)
        rates = options.rates or RATES[stride]
        preprocessing = options.preprocessing or backbone.preprocessing
        super().__init__(
            options.model_copy(update={"rates": rates, "preprocessing": preprocessing}),
            classes,
            stride=stride,
            preprocessing=preprocessing,
            batch_norm=options.batch_norm,
            head_learning_rate_multiple=options.head_learning_rate_multiple,
            multi_level=options.multi_level,
        )

        def head(channels: int) -> nn.Module:
            if options.head == "small-aspp":
                return SmallASPP(channels, classes, channels=options.head_channels, rates=rates)
            return ASPP(channels, classes, rates=rates)

        self.backbone = backbone
        self.head = head(backbone.channels[-1])
        self.auxiliary_head = head(backbone.channels[-2]) if options.multi_level else None
        self.finish(batch_norm_epsilon=options.batch_norm_epsilon)

    def segment(self, images: Tensor) -> Output:
        *_, middle, last = self.backbone(images)
        if self.auxiliary_head is None:
            return Output({MAIN: Level(self.head(last), last)})
        return Output({MAIN: Level(self.head(last), last), AUXILIARY: Level(self.auxiliary_head(middle), middle)})

    def heads(self) -> list[nn.Module]:
        return [self.head] if self.auxiliary_head is None else [self.auxiliary_head, self.head]
