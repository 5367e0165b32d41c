"""How many operators a training step asks for, by kind, and how often it waits for the device: ours against plain ones.

    python benchmarks/operators.py [--only advent dacs mic] [--size 64] [--tiny]

On a GPU whose kernels are shorter than what it takes to launch them, a step takes as long as its launches. They can be
counted where there is no GPU: one step of `plain_steps.py` in float32, of acclimate in mixed precision as it was
(*apart*), and with casts and counts taken together (`acclimate.models.together`, as it is on a GPU), on a CPU, with
DeepLab-V2 ResNet-101 and pictures of 2 + 2. Operators that only look at a tensor anew, or reserve memory, launch
nothing and are left out; an operator may launch several kernels. A *wait* is where the program asks for a value that is
computed on the device (`.item()`, `.cpu()`, `bool`, an index by a mask), or copies to it what is not pinned.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from scripts import at_least_one, run_script

CASES = ("advent", "dacs", "mic")
SIDES = ("plain", "apart", "together")
KINDS = {
    "casts": ("_to_copy",),
    "many tensors at once": ("_foreach", "_fused"),
    "convolutions": ("convolution", "mm", "addmm"),
    "batch norms": ("native_batch_norm", "cudnn_batch_norm"),
    "sums in place": ("add_",),
}
"""Name -> how its operators' names begin; the rest is counted as *others*."""
FREE = {
    *("alias", "as_strided", "detach", "empty", "empty_like", "empty_strided", "expand", "flatten", "is_same_size"),
    *("lift_fresh", "permute", "promote_types", "select", "slice", "split", "squeeze", "t", "transpose", "unbind"),
    *("unsqueeze", "unsqueeze_", "view", "_unsafe_view"),
}
"""Operators that launch nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--size", type=at_least_one, default=64, help="of the square pictures")
    parser.add_argument("--tiny", action="store_true", help="a small network in the place of ResNet-101")
    arguments = parser.parse_args()
    print(f"| step | loop | {' | '.join(KINDS)} | others | all | waits |")
    print(f"|---|---|{'---|' * (len(KINDS) + 3)}")
    for method in arguments.only:
        for side in SIDES:
            counts, waits = of_a_step(method, side, size=arguments.size, tiny=arguments.tiny)
            numbers = [*(counts[kind] for kind in KINDS), counts["others"], counts.total(), waits]
            print(f"| {method} | {side} | {' | '.join(f'{number:,}' for number in numbers)} |", flush=True)


def of_a_step(method: str, side: str, *, size: int, tiny: bool) -> tuple[Counter[str], int]:
    """Operators by kind, and waits, of the second step."""
    import step_cases

    chosen = step_cases.case(method, source=(size, size), target=(size, size), images=2, tiny=tiny)
    made = step_cases.batches
    step_cases.batches = lambda *given: tuple(  # type: ignore[assignment]
        replace(batch, images=on_device(batch.images), labels=None if batch.labels is None else on_device(batch.labels))
        for batch in made(*given)
    )
    try:
        if side == "plain":
            step = step_cases.plain_step(chosen)
        else:
            step = step_cases.our_step(chosen, precision="bf16-mixed", together=side == "together")
    finally:
        step_cases.batches = made
    step()
    with Operators() as operators:
        step()
    with Waits() as waits:
        step()
    return operators.counts, len(waits.told)


class Operators(TorchDispatchMode):
    """Counts what is asked for during a block, by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in FREE:
            kinds = [kind for kind, begins in KINDS.items() if name.startswith(begins)]
            self.counts[kinds[0] if kinds else "others"] += 1
        return func(*args, **(kwargs or {}))


class OnDevice(Tensor):
    """A tensor that stands for one on a device, as does everything computed from it."""


def on_device(values: Tensor) -> OnDevice:
    """Values that stand for such on a device."""
    return values.as_subclass(OnDevice)


class Waits(TorchFunctionMode):
    """Writes down what a block waits for the device with, by the names of the functions."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        of_device = bool(args) and isinstance(args[0], OnDevice)
        asked = of_device and name in ASKING
        masked = of_device and name in ("__getitem__", "__setitem__") and _has_mask(args[1])
        # what is not pinned is copied to the device at once, unless nobody waits for it
        moved = name in ("to", "tensor", "as_tensor") and not of_device and _names_device(args, kwargs)
        if asked or masked or (moved and not kwargs.get("non_blocking")):
            self.told.append(name)
        result = func(*args, **kwargs)
        return result.as_subclass(Tensor) if name == "cpu" else result


ASKING = {
    *("item", "tolist", "cpu", "numpy", "nonzero", "unique", "masked_select", "equal"),
    *("__bool__", "__int__", "__float__", "__index__"),
}
"""Functions that need a tensor's values."""


def _has_mask(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, Tensor) and part.dtype == torch.bool for part in parts)


def _names_device(args: Any, kwargs: Any) -> bool:
    return any(isinstance(each, torch.device) for each in (*args, kwargs.get("device")))


if __name__ == "__main__":
    run_script(main)
