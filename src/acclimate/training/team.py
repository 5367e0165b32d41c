"""The processes that share out work on images: which of them this is, and how they put together what each has found.

Everything that is put together is counted in whole numbers or belongs to one image, so that the result is the same, bit
by bit, whatever the number of processes.
"""

from __future__ import annotations

import functools
import itertools
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from acclimate.io.environment import default_device
from acclimate.io.progress import Tracker, progress
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

    def handed_out(
        self, items: Sequence[Item], bar: Tracker | None = None, *, size: Callable[[Item], int] = lambda item: 1
    ) -> Iterator[Item]:
        """What falls to this process of a list that is the same in all.

        Every item goes to exactly one process, the first that is free for it, so that none waits long for a slower one.
        All processes have to ask together; which of them gets what differs from run to run.

        Args:
            items: the same in all processes.
            bar: kept where the list is, unless the caller has taken it further within an item.
            size: by how much an item moves the bar.

        Raises:
            Interrupted: the process that keeps count has ended.
        """
        begins = list(itertools.accumulate(map(size, items), initial=0 if bar is None else bar.done))
        count = itertools.count().__next__ if self.size == 1 else self._counter()
        for place in itertools.takewhile(lambda place: place < len(items), iter(count, None)):
            if bar is not None:
                bar.reach(begins[place])
            yield items[place]
        if bar is not None:
            bar.reach(begins[-1])

    def _counter(self) -> Callable[[], int]:
        """Counts from 0 up, over all processes together."""
        # a new name every time: where processes are started again, the store may remember counts of those before
        name = f"acclimate/{self.gathered(secrets.token_hex(8))[0]}"
        return lambda: int(_with_the_others(lambda: _store().add(name, 1))) - 1

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
        """What ``work`` finds in every item, in their order and in all processes.

        Args:
            items: the same list in all.
            work: finds what :meth:`gathered` can pass on.
            title: of the progress bar.
        """
        found: dict[int, Result] = {}
        with progress(title, len(items), silent=not self.first) as bar:
            for place in self.handed_out(range(len(items)), bar):
                found[place] = work(items[place])
        everything = {place: result for share in self.gathered(found) for place, result in share.items()}
        return [everything[place] for place in range(len(items))]

    def in_order(self, found: Sequence[Item]) -> list[Item]:
        """What all found of their :meth:`share` of a list, in the order of that list."""
        shares = self.gathered(list(found))
        return [shares[place % self.size][place // self.size] for place in range(sum(map(len, shares)))]


ALONE = Team()


@functools.cache
def _store() -> Any:
    """The memory that the processes share since they found each other, kept by the first or by what started them."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return torch.distributed.TCPStore(address, port)  # type: ignore[attr-defined]


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
