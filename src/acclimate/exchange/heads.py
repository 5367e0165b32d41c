"""What the keys of published weights leave open: how many branches of the heads count, and what batch norm does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from acclimate.errors import UserError
from acclimate.models.config import NetworkConfig

COUNTER = "num_batches_tracked"
"""How the one key ends whose values are no weights: how many batches a batch norm has seen."""

_BRANCHES_OF_FAMILIES = {"adaptsegnet": 2, "advent": 4}


@dataclass(frozen=True)
class ImportOptions:
    """What the person who imports a file said of it.

    Attributes:
        layout: ``auto`` or a family of layouts.
        branches: how many branches are summed, or None.
        where: what to call the file in errors.
    """

    layout: str
    branches: int | None
    where: str


Completed: TypeAlias = tuple[NetworkConfig, list[str]]
"""The network with what its keys leave open, and a sentence on each decision and its reason."""

Complete: TypeAlias = Callable[[NetworkConfig, Mapping[str, Tensor], ImportOptions], Completed]


def two_or_four_branches(
    config: NetworkConfig, tensors: Mapping[str, Tensor], options: ImportOptions, *, usual: int
) -> Completed:
    """Heads of AdaptSegNet's kind: as the option says, else the family, else the values, else ``usual``."""
    found = trained_branches(tensors)
    fixed = _BRANCHES_OF_FAMILIES.get(options.layout)
    if options.branches is not None:
        chosen, why = options.branches, "as --branches says"
    elif fixed is not None:
        chosen, why = fixed, f"as the layout {options.layout} says"
    elif found is not None:
        chosen, why = found, "the others hold initial values" if found == 2 else "all of them were trained"
    else:
        chosen, why = usual, "usual for this layout; the values do not tell, so give --branches if you know better"
    remarks = [f"head: {chosen} of 4 branches are summed ({why})"]
    if found is not None and found != chosen:
        remarks.append(f"warning: by their values {found} branches were trained; compare with --branches {found}")
    return config.with_options(branches=chosen), remarks


def all_branches(config: NetworkConfig, tensors: Mapping[str, Tensor], options: ImportOptions) -> Completed:
    """FADA's heads, all four branches of which count.

    Raises:
        UserError: another number was asked for.
    """
    if options.branches not in (None, 4):
        raise UserError(f"--branches {options.branches}: FADA's heads sum all 4 branches; leave the option out")
    return config, ["head: 4 of 4 branches are summed"]


def fada_batch_norm(config: NetworkConfig, tensors: Mapping[str, Tensor], options: ImportOptions) -> Completed:
    """FADA's heads on ResNet-101, whose batch norm was frozen unless it counted batches.

    Raises:
        UserError: another number of branches was asked for, or a frozen batch norm would divide by 0.
    """
    config, remarks = all_branches(config, tensors, options)
    if _counts_batches(tensors):
        return config.with_options(batch_norm="trained"), [*remarks, "batch norm: trained"]
    _refuse_zero_variances(tensors, options.where)
    frozen = config.with_options(batch_norm="frozen", batch_norm_epsilon=0.0)
    return frozen, [*remarks, "batch norm: frozen, without epsilon"]


def without_branches(config: NetworkConfig, tensors: Mapping[str, Tensor], options: ImportOptions) -> Completed:
    """A head that is one convolution after another, of which nothing is open.

    Raises:
        UserError: a number of branches was asked for.
    """
    if options.branches is not None:
        raise UserError(
            f"--branches {options.branches}: the head of {config.name} has no parallel branches; leave the option out"
        )
    return config, []


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


def _counts_batches(keys: Iterable[str]) -> bool:
    return any(key.endswith(COUNTER) for key in keys)


def _refuse_zero_variances(tensors: Mapping[str, Tensor], where: str) -> None:
    for key, value in tensors.items():
        if key.endswith("running_var") and not bool((value > 0).all()):
            raise UserError(
                f"{where}: {key} holds a variance of 0, which FADA's frozen batch norm, without an epsilon, cannot "
                "divide by; the file is damaged"
            )
