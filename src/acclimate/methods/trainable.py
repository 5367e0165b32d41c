"""What a method of any task is to the training loop: networks, optimisers and the losses of a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import Self

from acclimate.methods.optimizers import OptimizerSettings, lay_out_moments, network_optimizer
from acclimate.models.sharded import parts_like
from acclimate.models.together import Together

Role = Literal["supervised", "adaptation", "adversarial", "discriminator", "figure"]
"""What a term is there for: it decides what the loop does with it and which warnings may speak of it."""


@dataclass(frozen=True)
class Term:
    """One named quantity of a step.

    Attributes:
        value: a scalar.
        weight: its factor in the sum that is backpropagated.
        role: ``supervised``: against labels of the source (or the oracle's); ``adaptation``: any other loss of the
            network; ``adversarial``: the network against a discriminator; ``discriminator``: a discriminator's own;
            ``figure``: no loss at all, written to the history and never backpropagated (the share of pixels a teacher
            is sure of, say).
    """

    value: Tensor
    weight: float = 1.0
    role: Role = "adaptation"


Statistic = Literal["class ratios", "class sizes", "class shares", "class thresholds", "initial network"]
"""What a method can ask to know of the data; see :class:`acclimate.methods.base.Setting`."""

KEPT_SHARE = "kept share"
"""The figure that says which share of the target's pixels a teacher is sure enough of."""

Losses = dict[str, Term]
"""The terms of a step by name."""

STEP: Losses = {}
"""What a method yields where its optimisers step once before the step is over; known by its identity."""


def figure(value: Tensor) -> Term:
    """A quantity that is written down and not descended."""
    return Term(value.detach(), 0.0, "figure")


class StepBatch(Protocol):
    """What the loop knows of a batch of any task: how many images there are, and how to move them."""

    names: list[str]

    def to(self, device: object, *, channels_last: bool = False) -> Self:
        """The same batch on another device, perhaps in the channels-last memory format."""
        ...

    def parts(self, count: int) -> list[Self]:
        """The batch in so many parts of equal size, in order."""
        ...


AnyBatch = TypeVar("AnyBatch", bound=StepBatch)


class Learner(nn.Module, ABC, Generic[AnyBatch]):
    """All the loop knows: modules, their optimisers in :attr:`optimizers`, and the losses of a step.

    A learner is a module, so that ``state_dict`` holds all it owns: networks, discriminators, buffers. The loop saves
    and restores both modules and optimisers.
    """

    optimizers: dict[str, Optimizer]
    together: Together
    """What a step does at once for all layers of some networks: of none, unless it was placed so."""

    def __init__(self) -> None:
        super().__init__()
        self.together = Together()
        # a plain dictionary on purpose: what is frozen is part of no state, checkpoint or optimiser
        self.references: dict[str, nn.Module] = {}

    def refer_to(self, name: str, network: nn.Module) -> None:
        """Keeps a frozen network beside the learner: in evaluation mode, on its device, and in no checkpoint."""
        self.references[name] = network.eval().requires_grad_(False)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        # what `to`, `float` and their like go through
        for network in self.references.values():
            network._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    @abstractmethod
    def losses(self, source: AnyBatch, target: AnyBatch | None, step: int) -> Iterator[Losses]:
        """The step's losses, in the order in which they are backpropagated.

        The loop backpropagates each yielded sum before it asks for the next, so that the activations of one domain are
        freed before those of the other are made; then it steps every optimiser. Where :data:`STEP` is yielded it steps
        in between as well, and begins with new gradients.
        """

    def terms(self, source: AnyBatch, target: AnyBatch | None, step: int) -> Iterator[Losses]:
        """All of a step: :meth:`losses`, and behind them what options add to any method."""
        yield from self.losses(source, target, step)

    def after_step(self, step: int) -> None:
        """What happens once the optimisers have stepped (moving averages, say). Nothing, unless a method says so."""

    def averaged_buffers(self) -> list[Tensor]:
        """Buffers that each of several processes moves by its own images and that all then have the mean of."""
        return []

    def saved_modules(self) -> dict[str, nn.Module]:
        """What is kept beside the network for a later stage that starts from it: nothing, unless a method says so."""
        return {}

    def method_state(self) -> dict[str, Any]:
        """Everything the learner owns, as nested dicts of tensors and numbers."""
        return {
            "modules": self.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def follow_parameters(self, taken: Mapping[nn.Parameter, nn.Parameter]) -> None:
        """Gives the optimisers those parameters that have taken the place of others, before the first step."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["params"] = [taken.get(parameter, parameter) for parameter in group["params"]]

    def load_method_state(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`method_state` returned, exactly."""
        own = self.state_dict()
        modules = {key: parts_like(value, own[key]) if key in own else value for key, value in state["modules"].items()}
        self.load_state_dict(modules, strict=True)
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
            lay_out_moments(optimizer)

    def process_state(self) -> dict[str, Any]:
        """What each of several processes owns alone, as nested lists and dicts of tensors and numbers.

        Networks and optimisers are the same in all of them and belong to :meth:`method_state`. Empty, unless a learner
        remembers something of its own share of the images.
        """
        return {}

    def load_process_state(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`process_state` returned in the process of the same rank, exactly."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps nothing for a process alone, got {sorted(state)}")


class Trainable(Learner[AnyBatch]):
    """One way to train a network from a labelled source and an unlabelled target, whatever the task."""

    name: ClassVar[str]
    summary: ClassVar[str]
    Options: ClassVar[type[BaseModel]]
    trains_on: ClassVar[str] = "source"
    """Whose labels the supervised loss reads: ``source``, ``target`` (the oracle alone), or ``pseudo-labels``: those of
    the target that an earlier stage made, which then take the source's place."""
    smallest_input: ClassVar[int] = 1
    """Pixels that the shorter side of its pictures has at least."""
    network_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Options that its network has to have."""
    sees_target: ClassVar[bool] = True
    """Whether a step receives target images even without pseudo-labels."""

    takes_pseudo_labels: ClassVar[bool] = True
    """Whether it can be given pseudo-labels that an earlier stage made."""

    network: nn.Module

    @classmethod
    def needs(cls, options: Any) -> frozenset[Statistic]:
        """Which statistics of the data the method asks for: they come with its setting."""
        return frozenset()

    def result(self) -> nn.Module:
        """The network that is kept: saved, scored, exported. The trained one, unless a method says otherwise."""
        return self.network

    def __init__(self, network: Any, *, optimizer: OptimizerSettings) -> None:
        super().__init__()
        self.network = network
        self.optimizers = {"network": network_optimizer(network, optimizer)}
