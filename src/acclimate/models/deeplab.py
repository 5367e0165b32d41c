"""DeepLab-V2: the published one on Caffe's ResNet-101, and the same heads on any dilated backbone.

Chen et al., "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully Connected
CRFs"; the single- and multi-level networks of AdaptSegNet (Tsai et al.) and ADVENT (Vu et al.).
"""

from __future__ import annotations

from torch import Tensor, nn

from acclimate.models.aspp import ASPP, SmallASPP
from acclimate.models.backbones import Backbone, build_backbone
from acclimate.models.config import NetworkConfig
from acclimate.models.network import AUXILIARY, MAIN, Level, Output, SegmentationNetwork
from acclimate.models.resnet_caffe import resnet_layers
from acclimate.models.weights import is_imagenet, load_weights

RATES = {8: (6, 12, 18, 24), 16: (3, 6, 9, 12)}
"""The head's default dilation rates by output stride: the published ones at 8, the same extent in pixels at 16."""


class DeepLabV2ResNet101(SegmentationNetwork):
    """The published DeepLab-V2 on ResNet-101, output stride 8, with the keys of the authors' checkpoints.

    Single-level: ``layer5`` is the main head, on layer4 (2048 channels). Multi-level: ``layer5`` is the auxiliary head,
    on layer3 (1024 channels), and ``layer6`` the main head, on layer4. 1280x720 images give logits of (91, 161).

    The weights ``imagenet`` are torchvision's, which were trained with the stride on the 3x3 convolutions; here that
    concerns one block only, the first of layer2. They go with the preprocessing ``imagenet``, everything else with
    ``caffe``, unless the config says otherwise.
    """

    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def __init__(self, config: NetworkConfig, classes: int) -> None:
        if config.preprocessing is None:
            config = config.model_copy(update={"preprocessing": "imagenet" if is_imagenet(config.weights) else "caffe"})
        super().__init__(config, classes, stride=8)
        layers = resnet_layers()
        load_weights(layers, config.weights, torchvision_name="resnet101")
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.layer5 = ASPP(1024 if config.multi_level else 2048, classes, branches=config.branches)
        self.layer6 = ASPP(2048, classes, branches=config.branches) if config.multi_level else None
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


class DeepLabV2(SegmentationNetwork):
    """The heads of DeepLab-V2 on a dilated torchvision or timm backbone.

    The main head reads the backbone's last features, the auxiliary head (multi-level) those before its last change of
    resolution, as the published network reads layer4 and layer3.
    """

    def __init__(self, config: NetworkConfig, classes: int) -> None:
        stride = config.output_stride or 8
        rates = config.rates or RATES[stride]
        backbone: Backbone = build_backbone(config.backbone or "", output_stride=stride, weights=config.weights)
        preprocessing = config.preprocessing or backbone.preprocessing
        config = config.model_copy(update={"rates": rates, "preprocessing": preprocessing})
        super().__init__(config, classes, stride=stride)
        self.backbone = backbone
        self.head = _head(config, backbone.channels, classes)
        self.auxiliary_head = _head(config, backbone.middle_channels, classes) if config.multi_level else None
        self.finish()

    def segment(self, images: Tensor) -> Output:
        middle, last = self.backbone(images)
        if self.auxiliary_head is None:
            return Output({MAIN: Level(self.head(last), last)})
        return Output({MAIN: Level(self.head(last), last), AUXILIARY: Level(self.auxiliary_head(middle), middle)})

    def heads(self) -> list[nn.Module]:
        return [self.head] if self.auxiliary_head is None else [self.auxiliary_head, self.head]


def _head(config: NetworkConfig, channels: int, classes: int) -> nn.Module:
    rates = config.rates or RATES[8]
    if config.head == "small-aspp":
        return SmallASPP(channels, classes, channels=config.head_channels or 96, rates=rates)
    return ASPP(channels, classes, rates=rates, branches=config.branches)
