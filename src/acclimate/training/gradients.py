"""Means of gradients over the processes, sent in buckets while the backward pass is still at work.

A wrapper around a network (DistributedDataParallel) expects one forward and one backward pass per step. Methods run
several networks several times, freeze some in between and step within a step. So gradients are followed where they
arrive instead: the first step shows after how many backward passes each one is complete and in which order, and from
then on a bucket is sent as soon as the last of its gradients is. The same buckets are sent in the same order by all.

Where a step is not like the first (a gradient changes after its bucket was sent, or comes where none was expected), all
processes find out together, leave what was sent, and exchange their gradients at the end of the step, as in the first
one. The mean is the same either way.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from acclimate.methods.trainable import Learner
from acclimate.models.sharded import is_shared_out
from acclimate.training.processes import average_gradients

FIRST_BUCKET, BUCKET = 1 << 20, 25 << 20
"""Bytes after which a bucket is full; the first one is small, so that sending begins early."""
LONGEST_WAIT = timedelta(days=7)
"""How long a process waits for the others."""
PATIENCE = 3
"""How many steps may have more than was foreseen, until nothing is foreseen any more."""


@dataclass
class Bucket:
    """Gradients that travel together.

    Attributes:
        parameters: whose they are, by number.
        content: all of them, one after the other.
        views: each of them in the layout of its parameter.
        waiting: how many are not complete in this round.
        sent: what tells that the exchange is over; None while it has not begun.
    """

    parameters: list[int]
    content: Tensor
    views: list[Tensor]
    waiting: int = 0
    sent: Any = None


@dataclass
class Exchanged:
    """What was exchanged so far, for those who measure.

    Attributes:
        early: buckets that were sent before the last backward pass of their round was over.
        buckets: all that were sent.
        whole: rounds in which gradients were exchanged at the end.
        waited: seconds between the end of backward passes and that of the exchange.
    """

    early: int = 0
    buckets: int = 0
    whole: int = 0
    waited: float = 0.0


@dataclass
class _Seen:
    """What the first step shows, by round: how often each parameter's gradient grew, and when it last did."""

    counts: list[Counter[int]] = field(default_factory=list)
    last: dict[tuple[int, int], int] = field(default_factory=dict)
    clock: int = 0


@contextmanager
def exchange_of(learner: Learner[Any], fabric: Fabric) -> Iterator[GradientExchange | None]:
    """A :class:`GradientExchange` for a block; None for one process, or where FSDP has its own."""
    if fabric.world_size == 1 or is_shared_out(learner):
        yield None
        return
    exchange = GradientExchange(learner, fabric)
    try:
        yield exchange
    finally:
        exchange.close()


class GradientExchange:
    """The exchange of a learner's gradients; of all processes, with the same learner in each.

    A *round* ends where optimisers step: a step has one, but for methods that step within it.

    Args:
        learner: whose parameters; those that are frozen now are not foreseen.
        fabric: launched, of several processes.
    """

    def __init__(self, learner: Learner[Any], fabric: Fabric) -> None:
        self.learner, self.fabric = learner, fabric
        self.done = Exchanged()
        self._parameters: list[nn.Parameter] = [each for each in learner.parameters() if each.requires_grad]
        self._number = {id(each): number for number, each in enumerate(self._parameters)}
        # apart from all else that is exchanged: buckets may be sent before it in one process and after it in another
        self._group: Any = torch.distributed.new_group(timeout=LONGEST_WAIT)
        self._hooks = [
            each.register_post_accumulate_grad_hook(self._grown)  # type: ignore[no-untyped-call]
            for each in self._parameters
        ]
        self._buckets: list[Bucket] = []
        self._place: dict[int, int] = {}
        self._expected: list[list[int]] | None = None
        self._before: list[list[int]] | None = None
        self._surprises = 0
        self._round = 0
        self._seen = _Seen()
        self._grown_by: Counter[int] = Counter()
        self._next, self._late = 0, False

    def begin_step(self) -> None:
        """Says that a step begins."""
        if self._expected is None and self._seen.counts and self._surprises < PATIENCE:
            self._learn()
        self._round, self._seen = 0, _Seen()
        self._begin_round()

    def close(self) -> None:
        """Lets the learner go."""
        for hook in self._hooks:
            hook.remove()
        # its threads must have ended before the process does
        torch.distributed.destroy_process_group(self._group)

    def exchange(self) -> None:
        """Replaces every gradient by its mean over the processes; ends a round."""
        begin = time.monotonic()
        foreseen = self._expected is not None and self._round < len(self._expected)
        if not foreseen or not self._finish():
            self.done.whole += 1
            average_gradients(self.learner, self.fabric)
        self.done.waited += time.monotonic() - begin
        self._seen.counts.append(self._grown_by)
        self._round += 1
        self._begin_round()

    def _begin_round(self) -> None:
        self._grown_by, self._next, self._late = Counter(), 0, False
        if self._expected is None or self._round >= len(self._expected):
            return
        expected = self._expected[self._round]
        for bucket in self._buckets:
            bucket.waiting, bucket.sent = sum(expected[number] > 0 for number in bucket.parameters), None

    def _grown(self, parameter: Tensor) -> None:
        number = self._number[id(parameter)]
        self._grown_by[number] += 1
        self._seen.clock += 1
        self._seen.last[self._round, number] = self._seen.clock
        if self._expected is None or self._round >= len(self._expected):
            return
        times, expected = self._grown_by[number], self._expected[self._round][number]
        if times > expected:
            self._late = True
        elif times == expected:
            self._buckets[self._place[number]].waiting -= 1
            self._send_what_is_ready()

    def _send_what_is_ready(self) -> None:
        for bucket in self._of_this_round(self._next):
            if bucket.waiting > 0:
                return
            self._send(bucket)
            self.done.early += 1

    def _of_this_round(self, first: int = 0) -> Iterator[Bucket]:
        """The buckets from number ``first`` on in which the round was foreseen to have gradients."""
        assert self._expected is not None
        expected = self._expected[self._round]
        for bucket in self._buckets[first:]:
            if any(expected[number] for number in bucket.parameters):
                yield bucket

    def _send(self, bucket: Bucket) -> None:
        share = 1.0 / self.fabric.world_size
        for number, view in zip(bucket.parameters, bucket.views, strict=True):
            gradient = self._parameters[number].grad
            if gradient is None:
                view.zero_()
            else:
                torch.mul(gradient, share, out=view)
        bucket.sent = torch.distributed.all_reduce(bucket.content, group=self._group, async_op=True)
        self._next = self._buckets.index(bucket) + 1
        self.done.buckets += 1

    def _finish(self) -> bool:
        """Sends what is left and takes the means; False where the round was not as foreseen, in any process."""
        # which parameters have a gradient anywhere, and whether anything came that was not foreseen
        told = [float(each.grad is not None) for each in self._parameters] + [float(self._late or self._stray())]
        somewhere = torch.tensor(told, device=self.fabric.device)
        torch.distributed.all_reduce(somewhere)
        *with_gradient, surprised = somewhere.tolist()
        for bucket in self._of_this_round(self._next):
            if any(with_gradient[number] for number in bucket.parameters):
                self._send(bucket)
        sent = [bucket for bucket in self._buckets if bucket.sent is not None]
        for bucket in sent:
            bucket.sent.wait()
        if surprised:
            self._surprises += 1
            self._expected, self._before = None, self._expected
            return False
        for bucket in sent:
            for number, view in zip(bucket.parameters, bucket.views, strict=True):
                self._parameters[number].grad = view if with_gradient[number] else None
        return True

    def _stray(self) -> bool:
        """Whether a gradient is in none of the round's buckets."""
        carried = {id(self._parameters[number]) for bucket in self._of_this_round() for number in bucket.parameters}
        return any(each.grad is not None and id(each) not in carried for each in self.learner.parameters())

    def _learn(self) -> None:
        """Takes the first process's view of the step that is over for the plan of all that follow.

        Of a step that had more than was foreseen and the one foreseen, the plan is the larger of both: a bucket that
        waits for what does not come is sent at the end, if it holds anything.
        """
        count, before = len(self._parameters), self._before or []
        rounds = max(len(self._seen.counts), len(before))
        plan = torch.zeros(1 + rounds, count, dtype=torch.int64)
        plan[1 : 1 + len(before)] = torch.tensor(before) if before else 0
        # by the first round that has it, then by when it was complete there
        complete = {number: (at, when) for (at, number), when in sorted(self._seen.last.items(), reverse=True)}
        never = (rounds, 0)
        in_order = sorted(range(count), key=lambda number: complete.get(number, never))
        plan[0] = torch.tensor(in_order)
        for at, counts in enumerate(self._seen.counts):
            for number, times in counts.items():
                plan[1 + at, number] = max(times, int(plan[1 + at, number]))
        plan = plan.to(self.fabric.device)
        torch.distributed.broadcast(plan, src=0)
        self._expected = plan[1:].tolist()
        self._buckets = self._filled(plan[0].tolist())
        self._place = {number: at for at, bucket in enumerate(self._buckets) for number in bucket.parameters}

    def _filled(self, order: list[int]) -> list[Bucket]:
        """Buckets over the parameters in the order in which their gradients were complete."""
        groups: list[list[int]] = []
        size = 0
        for number in order:
            parameter = self._parameters[number]
            full = size >= (FIRST_BUCKET if len(groups) == 1 else BUCKET)
            if not groups or full or parameter.dtype != self._parameters[groups[-1][-1]].dtype:
                groups.append([])
                size = 0
            groups[-1].append(number)
            size += parameter.numel() * parameter.element_size()
        return [self._bucket(numbers) for numbers in groups]

    def _bucket(self, numbers: list[int]) -> Bucket:
        parameters = [self._parameters[number] for number in numbers]
        content = torch.zeros(
            sum(each.numel() for each in parameters), dtype=parameters[0].dtype, device=parameters[0].device
        )
        views, begin = [], 0
        for each in parameters:
            dense = torch.empty_like(each).stride()  # the parameter's own order of dimensions, without gaps
            views.append(content.as_strided(each.shape, dense, begin))
            begin += each.numel()
        return Bucket(numbers, content, views)
