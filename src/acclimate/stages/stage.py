"""The life of a stage: what it is made from, what identifies it, and the work itself, done once.

A verb of recipes is one file of this folder: the model of what a recipe says (a :class:`StageSettings`), and the
:class:`Stage` that is ready to be done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict

from acclimate.data.class_space import ClassSpace
from acclimate.errors import UserError

MODEL, MODULES = "model.safetensors", "modules.safetensors"
PREDICTION_WORK = 0.6
"""What predicting an image at its native size costs, relative to training on one once."""


@dataclass(frozen=True)
class RunData:
    """The data sets of a run, opened once: each a ``Dataset``, or in detection a ``BoxedDataset``.

    Attributes:
        class_space: of labels and networks.
        protocol: how the run's models are scored.
        source, target: what is trained on.
        evaluation: what is scored on; None where nothing is.
        skipped: which files of each set were left out, and why.
    """

    class_space: ClassSpace
    protocol: Any
    source: Any
    target: Any
    evaluation: Any
    skipped: dict[str, list[str]] = field(default_factory=dict)

    def skipped_counts(self) -> dict[str, Any]:
        """How many files of each set were left out, for a stage's summary; empty when none."""
        counts = {name: len(lines) for name, lines in self.skipped.items() if lines}
        return {"skipped": counts} if counts else {}


@dataclass
class Done:
    """A finished stage: its key in the store, what it cost, and the stages it was made from."""

    key: str
    folder: Path
    summary: dict[str, Any]
    method: str = ""
    made_from: Sequence[Done] = ()

    def chain(self) -> dict[str, Done]:
        """This stage and everything it was made from, each once."""
        found = {self.key: self}
        for earlier in self.made_from:
            found.update(earlier.chain())
        return found


@dataclass(frozen=True)
class Place:
    """Where a stage does its work.

    Attributes:
        folder: its own, in the store.
        cache: what several stages share.
        fabric: the processes.
    """

    folder: Path
    cache: Path
    fabric: Fabric


@dataclass(frozen=True)
class Context:
    """What a stage of a recipe may know of the run it belongs to.

    Attributes:
        recipe: see :class:`acclimate.recipe.schema.Recipe`.
        task: see :class:`acclimate.tasks.Task`.
        data: the opened data sets.
        seed: of everything random.
        cache: what several stages share.
        finished: the stages before it, by name.
        name: the stage's own.
        title: of its bar.
    """

    recipe: Any
    task: Any
    data: RunData
    seed: int
    cache: Path
    finished: Mapping[str, Done]
    name: str
    title: str

    def earlier(self, name: str | None) -> Done | None:
        """The stage of that name; None without a name."""
        return None if name is None else self.finished[name]


@dataclass(frozen=True)
class Written:
    """What a stage may know of the recipe it is written in, before any data is opened.

    Attributes:
        recipe: see :class:`acclimate.recipe.schema.Recipe`.
        task: see :class:`acclimate.tasks.Task`.
        name: the stage's own.
        training_fits: whether the recipe's own ``training`` is without mistakes.
    """

    recipe: Any
    task: Any
    name: str
    training_fits: bool = True

    @property
    def at(self) -> str:
        """How its keys begin in messages."""
        return f"stages.{self.name}"

    def mistakes(self, check: Callable[..., object], *arguments: Any, prefix: str = "", **keywords: Any) -> list[str]:
        """What a check that raises UserError finds wrong, for a message that tells all mistakes."""
        try:
            check(*arguments, **keywords)
        except UserError as error:
            return [prefix + str(error).removeprefix(f"recipe {self.recipe.name}: ")]
        return []


class StageSettings(BaseModel, ABC):
    """What a recipe says of a stage of one verb.

    Attributes:
        verb: the key that tells stages of this kind.
        tasks: which tasks have it.
        leaves: the verb whose result it leaves behind; its own unless it says otherwise.
        takes: key -> verb of the earlier stage, or stages, that the key names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    verb: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]] = ("segmentation",)
    leaves: ClassVar[str | None] = None
    takes: ClassVar[Mapping[str, str]] = {}

    def made_from(self) -> Iterator[tuple[str, str, str]]:
        """(key, earlier stage, verb whose result that has to be) of everything it takes."""
        for key, verb in self.takes.items():
            named = getattr(self, key)
            for name in named if isinstance(named, list) else [named]:
                if name is not None:
                    yield key, name, verb

    def expect_known(self, task: Any) -> None:
        """Raises UserError where it names something that the task does not have."""
        return

    def problems(self, written: Written) -> Iterator[str]:
        """Further mistakes, each a line, beside earlier stages that are not there."""
        yield from ()

    def planned(self, recipe: Any) -> tuple[dict[str, Any], int]:
        """What tells it from stages that say the same of other settings, and its training steps; for suites."""
        return {}, 0

    def check(self, context: Context) -> None:
        """Raises UserError for what can be known to be wrong before anything is done: a file that does not fit, say."""
        return

    @abstractmethod
    def ready(self, context: Context) -> Sequence[Stage]:
        """The stage, or several: each is done by itself."""


def can_name_a_folder(name: str) -> bool:
    """Whether a stage or a row may be called this: its results lie in a folder of that name."""
    return 0 < len(name) <= 100 and name.isprintable() and not set(name) & set("/\\")


class Stage(ABC):
    """A stage that is ready to be done.

    Attributes:
        verb: what it does, the first part of its key.
        products: the files it may leave for later stages; changed or gone, the stage is done again.
        shared: whether all processes work on it together; otherwise the first one alone does.
        title: of its bar and its messages.
        inputs: the stages it is made from.
        method: what trained its model.
        suffix: of its folder's name in a run, where several stages come from one of the recipe's.
        precision: of the processes' arithmetic, where it is shared.
    """

    verb: ClassVar[str]
    products: tuple[str, ...]
    shared: bool = False
    method: str = ""
    suffix: str = ""
    precision: str = "32-true"

    def __init__(self, context: Context, *, inputs: Sequence[Done | None] = ()) -> None:
        self.context = context
        self.title = context.title
        self.inputs = [stage for stage in inputs if stage is not None]

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Everything that decides what the stage leaves behind, as JSON."""

    def work(self) -> float:
        """About how much there is to do, in images trained on once; for the bar of the whole run."""
        return 0.0

    @abstractmethod
    def run(self, place: Place) -> dict[str, Any]:
        """Does the work, or goes on with it; returns what it cost.

        Raises:
            UserError: data, options or checkpoints do not fit.
            Interrupted: asked to stop; what is done is kept.
        """

    def clear(self, folder: Path) -> None:
        """Removes what only a stage that is not finished needs. Nothing, unless a stage says so."""
        return
