"""Processes that share work, played by threads: the same work, without the seconds that real ones take to start."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from acclimate.training.team import Team


class Meeting:
    """Where the members of a team put things together."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)
        self.brought: list[Any] = [None] * size


class Member(Team):
    """One thread of a team."""

    def __init__(self, number: int, meeting: Meeting) -> None:
        super().__init__(None)
        object.__setattr__(self, "number", number)
        object.__setattr__(self, "meeting", meeting)

    number: int
    meeting: Meeting

    @property
    def rank(self) -> int:
        return self.number

    @property
    def size(self) -> int:
        return len(self.meeting.brought)

    @property
    def device(self) -> str:
        return "cpu"

    def meet(self) -> None:
        self.meeting.barrier.wait()

    def gathered(self, found: Any) -> list[Any]:
        self.meeting.brought[self.rank] = found
        self.meet()
        everything = list(self.meeting.brought)
        self.meet()
        return everything

    def _counter(self) -> Callable[[], int]:
        count = self.gathered(itertools.count())[0]
        return lambda: next(count)

    def sum(self, counts: torch.Tensor) -> None:
        together = torch.stack(self.gathered(counts.clone())).sum(dim=0)
        counts.copy_(together)

    def summed(self, counts: Any) -> Any:
        return sum(self.gathered(counts))


def in_a_team(size: int, work: Callable[[Team], Any]) -> list[Any]:
    """What ``work`` gives in each of so many members; raises what one raises, after the others are let go."""
    meeting = Meeting(size)

    def one(number: int) -> Any:
        try:
            return work(Member(number, meeting))
        except threading.BrokenBarrierError:
            return None
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return [future.result() for future in [pool.submit(one, number) for number in range(size)]]
