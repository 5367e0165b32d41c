"""The processes that share out work on images: which of them this is, and how they put together what each has found.

Everything that is put together is counted in whole numbers or belongs to one image, so that the result is the same, bit
by bit, whatever the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from acclimate.io.environment import default_device
from acclimate.io.progress import progress
from acclimate.io.stopping import Interrupted, state
from acclimate.training.processes import gathered

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Team:
    """The processes of a run, seen by one of them.

    Attributes:
        fabric: launched; None: this process is alone.
    """

    fabric: Fabric | None = None

    @property
    def rank(self) -> int:
        """Which process this is, from 0."""
        return 0 if self.fabric is None else self.fabric.global_rank

    @property
    def size(self) -> int:
        """How many there are."""
        return 1 if self.fabric is None else self.fabric.world_size

    @property
    def first(self) -> bool:
        """Whether this is the one that tells, and writes what there is one of."""
        return self.rank == 0

    @property
    def device(self) -> str:
        """Where this process computes; alone, on the GPU where there is one."""
        return default_device() if self.fabric is None else str(self.fabric.device)

    def share(self, items: Sequence[Item]) -> list[Item]:
        """This process's part of a list that is the same in all: every one goes to exactly one process."""
        return list(items[self.rank :: self.size])

    def meet(self) -> None:
        """Waits until all are here.

        Raises:
            Interrupted: another process has ended instead.
        """
        if self.fabric is not None and self.size > 1:
            _with_the_others(self.fabric.barrier)

    def sum(self, counts: Tensor) -> None:
        """Replaces whole numbers by their sum over the processes, in place."""
        if self.size > 1:
            _with_the_others(lambda: torch.distributed.all_reduce(counts))

    def summed(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum of whole numbers over the processes, in all of them."""
        if self.fabric is None or self.size == 1:
            return counts
        together = torch.from_numpy(counts.astype(np.int64)).to(self.fabric.device)
        self.sum(together)
        result: NDArray[np.int64] = together.cpu().numpy()
        return result

    def gathered(self, found: Any) -> list[Any]:
        """What every process found, in the order of their ranks, in all of them.

        Args:
            found: nested lists and dicts of tensors, numbers and texts.
        """
        fabric = self.fabric
        if fabric is None or self.size == 1:
            return [found]
        result: list[Any] = _with_the_others(lambda: gathered(found, fabric))
        return result

    def each(self, items: Sequence[Item], work: Callable[[Item], Result], *, title: str) -> list[Result]:
        """What ``work`` finds in every item, in their order and in all processes, each of which does its :meth:`share`.

        Args:
            items: the same list in all.
            work: finds what :meth:`gathered` can pass on.
            title: of the progress bar.
        """
        mine, found = self.share(items), []
        with progress(title, len(mine), silent=not self.first) as bar:
            for item in mine:
                found.append(work(item))
                bar.advance()
        return self.in_order(found)

    def in_order(self, found: Sequence[Item]) -> list[Item]:
        """What all found of their :meth:`share` of a list, in the order of that list."""
        shares = self.gathered(list(found))
        return [shares[place % self.size][place // self.size] for place in range(sum(map(len, shares)))]


ALONE = Team()


def _with_the_others(exchange: Callable[[], Any]) -> Any:
    """Does what needs all processes.

    Raises:
        Interrupted: one of them has ended: its connection is closed.
    """
    try:
        return exchange()
    except RuntimeError as error:
        why = f"stopped by {state.asked}" if state.asked else "another process of this run has ended"
        raise Interrupted(f"{why}; what was done is kept") from error
