"""What batch norm does during training, as a named setting.

| setting | normalises with | running statistics | scale and bias |
|---|---|---|---|
| ``published`` | statistics of the current batch | updated, momentum 0.1 | frozen |
| ``frozen`` | running statistics | unchanged | frozen |
| ``global`` | running statistics | unchanged | trained |
| ``trained`` | statistics of the current batch | updated, momentum 0.1 | trained |

``published`` is what the code of AdaptSegNet, ADVENT, ESL and BDL does, perhaps without meaning to: it freezes the
affine parameters yet leaves the modules in training mode, so every forward pass, source or target, normalises with its
own image and moves the running statistics. ``global`` is what CBST and MLSL do. At evaluation all four use the running
statistics.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from acclimate.errors import UserError

BatchNormSetting: TypeAlias = Literal["published", "frozen", "global", "trained"]


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """All batch-norm layers inside ``module``, in the order of its definition."""
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


def freeze_affine(module: nn.Module, setting: BatchNormSetting) -> None:
    """Says once, when a network is built, whether the scales and biases of its batch norms are trained."""
    trained = setting in ("trained", "global")
    for layer in batch_norms(module):
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad_(trained)


def set_epsilon(module: nn.Module, epsilon: float, *, setting: BatchNormSetting | None) -> None:
    """Sets what is added to the variances that batch norms divide by; 0 is FADA's frozen batch norm.

    Raises:
        UserError: 0 with statistics of the current batch, whose variance may be 0, or with running variances of 0.
    """
    if epsilon == 0 and setting not in ("frozen", "global"):
        raise UserError(
            f"batch_norm_epsilon 0 divides by the bare variance, which batch_norm {setting!r} may find to be 0; use it "
            "with batch_norm 'frozen' or 'global', or leave it out"
        )
    for name, layer in module.named_modules():
        if not isinstance(layer, _BatchNorm):
            continue
        variance = layer.running_var
        if epsilon == 0 and variance is not None and not variance.is_meta and not bool((variance > 0).all()):
            raise UserError(
                f"batch_norm_epsilon 0, but the weights have a running variance of 0 in {name}, which cannot be "
                "divided by; leave the option out"
            )
        layer.eps = epsilon


def use_running_statistics(module: nn.Module, setting: BatchNormSetting) -> None:
    """Puts batch norms whose statistics never change back into evaluation mode; call after every ``module.train()``."""
    if setting in ("frozen", "global"):
        for layer in batch_norms(module):
            layer.eval()
