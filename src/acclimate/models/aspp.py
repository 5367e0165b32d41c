"""The classifier of DeepLab-V2: parallel dilated convolutions whose logits are summed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

PUBLISHED_RATES = (6, 12, 18, 24)

# from here on folding is the faster way on a CPU
_MANY_CHANNELS = 512


class ASPP(nn.Module):
    """ "ASPP-L": one 3x3 convolution with bias per dilation rate, from features to logits, summed.

    No batch norm, no activation, no 1x1 branch. Weights start at N(0, 0.01).

    Args:
        in_channels: channels of the features.
        classes: number of classes C.
        rates: dilation of each convolution (Chen et al., DeepLab, section 3.2).
        branches: how many of the convolutions are summed. The public code of AdaptSegNet and early BDL returns inside
            its loop, so that only the first 2 contribute; their checkpoints must be evaluated likewise. The others are
            kept, frozen, so that the parameters' names are the same.

    Attributes:
        foldable: whether processors may use the faster way of the same sum; exported models must not.
    """

    def __init__(
        self, in_channels: int, classes: int, *, rates: Sequence[int] = PUBLISHED_RATES, branches: int | None = None
    ) -> None:
        super().__init__()
        self.foldable = True
        self.branches = len(rates) if branches is None else min(branches, len(rates))
        self.conv2d_list = nn.ModuleList(
            nn.Conv2d(in_channels, classes, kernel_size=3, padding=rate, dilation=rate) for rate in rates
        )
        for number, convolution in enumerate(self.conv2d_list):
            nn.init.normal_(convolution.weight, std=0.01)  # type: ignore[arg-type]
            convolution.requires_grad_(number < self.branches)

    def forward(self, features: Tensor) -> Tensor:
        convolutions = [layer for layer in self.conv2d_list if isinstance(layer, nn.Conv2d)][: self.branches]
        if self.foldable and features.device.type == "cpu" and features.shape[1] >= _MANY_CHANNELS:
            return _folded(features, convolutions)
        logits: Tensor = convolutions[0](features)
        for convolution in convolutions[1:]:
            logits = logits + convolution(features)
        return logits


def _folded(features: Tensor, convolutions: list[nn.Conv2d]) -> Tensor:
    """The sum of dilated 3x3 convolutions as one matrix product and a shifted addition per rate, in float32.

    Processors' dilated convolutions are slow when many channels become few: on 2048 channels this takes a quarter of
    their time, forward and backward, for the same memory, and loses less in bfloat16 because it adds in float32.
    """
    # a convolution reads the pixel at +shift, folding writes to it: hence the mirrored kernels
    kernels = [layer.weight.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2) for layer in convolutions]
    products = functional.conv2d(features, torch.cat(kernels)[:, :, None, None])
    # folding is not covered by autocast and adds up many terms
    products = products.to(torch.promote_types(products.dtype, torch.float32)).flatten(2)
    size = (features.shape[2], features.shape[3])
    biases: list[Tensor] = [layer.bias for layer in convolutions if layer.bias is not None]
    # one after the other: the sum of a stack would hand every bias a view of one gradient, in which later backward
    # passes then add up
    total = biases[0]
    for bias in biases[1:]:
        total = total + bias
    logits = total.view(1, -1, 1, 1)
    for layer, product in zip(convolutions, products.chunk(len(convolutions), dim=1), strict=True):
        rate = layer.dilation[0]
        logits = logits + functional.fold(product, size, kernel_size=3, dilation=rate, padding=rate)
    return logits


class SmallASPP(nn.Module):
    """A 1x1 convolution to ``channels``, ReLU, then :class:`ASPP`: the published head at a price a CPU can pay.

    On the 1280 channels of MobileNetV2 and 19 classes this costs 189 thousand multiplications per position with 96
    channels, the published head 875 thousand.
    """

    def __init__(self, in_channels: int, classes: int, *, channels: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, channels, kernel_size=1)
        nn.init.kaiming_normal_(self.reduce.weight, nonlinearity="relu")
        nn.init.zeros_(self.reduce.bias)  # type: ignore[arg-type]
        self.aspp = ASPP(channels, classes, rates=rates)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.aspp(functional.relu(self.reduce(features), inplace=True))
        return logits
