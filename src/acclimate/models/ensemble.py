"""Several networks that answer as one: the mean of their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from acclimate.models.network import MAIN, Level, Output
from acclimate.models.resize import upsample
from acclimate.precision import full_precision


class MeanOfNetworks(nn.Module):
    """The logits whose softmax is the mean of the networks' probabilities, at the first network's stride.

    FDA averages its three networks before it enlarges (its "multi-band transfer"); so does this. Probabilities of
    networks of another stride are those of their enlarged logits.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Output:
        """Logits (B, C, h, w) of RGB images (B, 3, H, W) in [0, 1]; float32 or better, without features."""
        each: list[Tensor] = [full_precision(network(images).logits) for network in self.networks]
        size = (each[0].shape[2], each[0].shape[3])
        each = [logits if logits.shape[2:] == size else upsample(logits, size) for logits in each]
        together = torch.stack([logits.log_softmax(dim=1) for logits in each]).logsumexp(dim=0)
        return Output({MAIN: Level(together - math.log(len(each)))})
