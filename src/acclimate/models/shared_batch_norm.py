"""Batch norm over the images of all processes: statistics of the whole batch, wherever its parts are.

PyTorch's own synchronised batch norm refuses to work on a CPU, where our tests run; this one is written in operations
that PyTorch differentiates, and works on both.
"""

from __future__ import annotations

import torch
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from acclimate.errors import UserError


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm that normalises by the mean and variance over the pixels of all processes.

    The gradient is that of the sum of all processes' losses; with the mean of gradients over the processes, that is the
    gradient of the mean loss, as in one process that sees the whole batch. In one process, and in evaluation mode, it
    is ordinary batch norm.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and several_processes()):
            return super().forward(input)
        self._check_input_dim(input)
        values = input if input.dtype in (torch.float32, torch.float64) else input.float()
        mean, variance, pixels = _of_all(values)
        self._move_running_statistics(mean.detach(), variance.detach(), pixels)
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        return (values * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)).to(input.dtype)

    @torch.no_grad()
    def _move_running_statistics(self, mean: Tensor, variance: Tensor, pixels: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_((variance * pixels / (pixels - 1).clamp_(min=1)).to(self.running_var), momentum)


def several_processes() -> bool:
    """Whether this process trains beside others."""
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _of_all(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(C,) mean and (C,) biased variance over batch and space of all processes' values, and how many those are."""
    own = values.numel() // values.shape[1]
    variance, mean = torch.var_mean(values, dim=(0, 2, 3), correction=0)
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    mine = torch.cat([mean, variance, mean.new_tensor([float(own)])])
    # a row each: sums with zeros are exact, so that all processes hold the same numbers
    rows = nn.functional.pad(mine[None], (0, 0, rank, world - 1 - rank))
    rows = differentiable.all_reduce(rows)  # type: ignore[no-untyped-call]
    channels = len(mean)
    means, variances, counts = rows[:, :channels], rows[:, channels:-1], rows[:, -1:].detach()
    total = counts.sum()
    together = (counts * means).sum(dim=0) / total
    # the mean of squares less the square of the mean would cancel; parts' variances do not
    spread = (counts * (variances + (means - together) ** 2)).sum(dim=0) / total
    return together, spread, total


def share_batch_norm(module: nn.Module) -> None:
    """Replaces every batch norm inside ``module``, parameters and buffers kept, by one over all processes.

    Raises:
        UserError: a layer does more than batch norm, so that replacing it would change the network.
    """
    replaced: dict[int, SharedBatchNorm] = {}
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if not isinstance(child, _BatchNorm) or isinstance(child, SharedBatchNorm):
                continue
            if type(child) is not nn.BatchNorm2d:
                raise UserError(
                    f"training.sync_batch_norm: {type(child).__name__} ({name}) is more than a plain batch norm of "
                    "pictures; set it to false, or take a backbone of torchvision or another decoder"
                )
            if id(child) not in replaced:
                replaced[id(child)] = _shared(child)
            parent._modules[name] = replaced[id(child)]


def normalises_alone(module: nn.Module) -> bool:
    """Whether a layer in training mode normalises by the images of its own process."""
    return any(
        isinstance(layer, _BatchNorm) and layer.training and not isinstance(layer, SharedBatchNorm)
        for layer in module.modules()
    )


def _shared(layer: nn.BatchNorm2d) -> SharedBatchNorm:
    shared = SharedBatchNorm(
        layer.num_features, layer.eps, layer.momentum, affine=False, track_running_stats=layer.track_running_stats
    )
    shared.affine = layer.affine
    shared._parameters.update(layer._parameters)
    shared._buffers.update(layer._buffers)
    return shared.train(layer.training)
