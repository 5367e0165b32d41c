"""The image-level classifier of MLSL: which classes an image holds, from the encoder's features."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

PUBLISHED_FEATURES = 4096
"""Channels of Wide ResNet-38's features, with which the published head has 2048 and 512 channels."""


NARROWEST = 16
"""Channels below which ReLU may leave nothing alive."""


class ImageClassifier(nn.Module):
    """1x1 and 3x3 convolutions, global average pooling and two fully connected layers (MLSL section 3.3).

    Widths are half (2048) and an eighth (512) of the features' channels: as published with 4096 channels, and in
    proportion with smaller encoders, down to 16. ReLU follows every layer but the last.

    Args:
        in_channels: channels D of the features.
        classes: C.
    """

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        width, hidden = max(NARROWEST, in_channels // 2), max(NARROWEST, in_channels // 8)
        self.reduce = nn.Conv2d(in_channels, width, kernel_size=1)
        self.context = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.hidden = nn.Linear(width, hidden)
        self.classes = nn.Linear(hidden, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, C), one per class and image, of features (B, D, h, w)."""
        features = functional.relu(self.context(functional.relu(self.reduce(features))))
        logits: Tensor = self.classes(functional.relu(self.hidden(features.mean(dim=(2, 3)))))
        return logits
