"""Where a training step's time and memory go: its parts by the clock, its tensors by their size, and a trace."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from acclimate.data.sample import Dataset, evenly_spaced
from acclimate.data.transforms import Transform
from acclimate.data.wrappers import Subset
from acclimate.errors import UserError
from acclimate.planning.machine import machine_in_words
from acclimate.planning.measuring import FewImages, trial
from acclimate.recipe.load import Recipe, TrainStage
from acclimate.stages.stage import RunData
from acclimate.stages.train import launched_fabric
from acclimate.training.loop import Watch, train_step, unwatched
from acclimate.training.placing import compiles, place
from acclimate.training.resources import peak_memory_mb, reset_peak_memory
from acclimate.training.settings import TrainingSettings, resolved_precision

WARM_UP, TRACED = 2, 2
"""Steps that are not timed, and steps in the trace."""
IMAGES = 32
"""Of each domain, evenly spaced, that the profiled steps read."""
OTHER = "losses and all else"


@dataclass
class Part:
    """What one part of a step takes.

    Attributes:
        name: of it.
        milliseconds: of a step, without what other parts take within it.
        calls: in a step.
    """

    name: str
    milliseconds: float
    calls: float


@dataclass
class Profile:
    """Where a step's time and memory go.

    Attributes:
        title: recipe, stage and method.
        remarks: how it computes.
        step_ms: the median of steps that nobody watches.
        images: of both domains in a step.
        parts: in the order in which they begin; the clock makes all of them together a little longer than a step.
        memory: what it is -> MB.
    """

    title: str
    remarks: list[str]
    step_ms: float
    images: int
    parts: list[Part]
    memory: dict[str, float]

    def lines(self) -> Iterator[str]:
        """The table, within 80 columns."""
        yield self.title
        yield from self.remarks
        yield ""
        yield f"{'part of a step':42}{'ms':>12}{'share':>12}{'calls':>12}"
        together = sum(part.milliseconds for part in self.parts)
        for part in self.parts:
            share = f"{100 * part.milliseconds / together:.1f} %"
            yield f"{part.name[:41]:42}{part.milliseconds:12.2f}{share:>12}{part.calls:12.4g}"
        yield f"{'a step, unwatched':42}{self.step_ms:12.2f}{1000 * self.images / self.step_ms:12.4g} images/s"
        yield ""
        yield f"{'memory':42}{'MB':>12}"
        for name, size in self.memory.items():
            yield f"{name[:41]:42}{size:12.1f}"


@dataclass
class Clock:
    """Parts of a step by the clock; time within a part that another one takes is the other one's alone."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    _open: list[tuple[str, Any]] = field(default_factory=list)
    _since: float = 0.0

    def begin(self, part: str) -> None:
        self._pass()
        self.seconds.setdefault(part, 0.0)
        self.calls[part] += 1
        named: Any = torch.profiler.record_function(part)
        named.__enter__()
        self._open.append((part, named))

    def end(self) -> None:
        self._pass()
        _, named = self._open.pop()
        named.__exit__(None, None, None)

    def _pass(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1][0]] += now - self._since
        self._since = now

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        self.begin(part)
        try:
            yield
        finally:
            self.end()


@dataclass
class Activations:
    """The most bytes that were kept for backward passes at a time, weights not counted."""

    known: set[int]
    most: int = 0
    _alive: Counter[int] = field(default_factory=Counter)
    _sizes: dict[int, int] = field(default_factory=dict)
    _now: int = 0

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if place not in self.known:
            if not self._alive[place]:
                self._sizes[place] = storage.nbytes()
                self._now += storage.nbytes()
                self.most = max(self.most, self._now)
            self._alive[place] += 1
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if self._alive[place]:
            self._alive[place] -= 1
            if not self._alive[place]:
                self._now -= self._sizes.pop(place)
        return tensor


@dataclass
class Steps:
    """Steps of a training, one after the other.

    Attributes:
        method, source, target: what learns, and the batches of both domains; None: it does not look at the target.
        settings: of the training.
        fabric: where.
        domains: while a step goes on, the domain of the images at an address in memory.
        taken: steps so far.
    """

    method: Any
    source: Iterator[Any]
    target: Iterator[Any] | None
    settings: TrainingSettings
    fabric: Fabric
    domains: dict[int, str] = field(default_factory=dict)
    taken: int = 0

    def take(self, watch: Watch = unwatched) -> int:
        """One more step, whose parts ``watch`` is told of; how many images it saw."""
        with watch("load source images"):
            loaded = {"source": next(self.source)}
        if self.target is not None:
            with watch("load target images"):
                loaded["target"] = next(self.target)
        with watch("copy to the device"):
            moved = {
                domain: batch.to(self.fabric.device, channels_last=self.settings.channels_last)
                for domain, batch in loaded.items()
            }
        self.domains.update({batch.images.data_ptr(): domain for domain, batch in moved.items()})
        with watch(OTHER):
            train_step(
                self.method,
                moved["source"],
                moved.get("target"),
                self.taken,
                fabric=self.fabric,
                clip=self.settings.clip_gradients,
                accumulate=self.settings.accumulate,
                watch=watch,
            )
        self.domains.clear()
        self.taken += 1
        return sum(len(batch.names) for batch in moved.values())


def profiled(recipe: Recipe, data: RunData, *, stage: str | None, steps: int, trace: Path) -> Profile:
    """Takes some steps of one training of a recipe; its initial weights and images of the data stand for all others.

    Args:
        recipe: of segmentation or detection.
        data: of the run.
        stage: which training; None: the recipe's last.
        steps: that are timed with and without the clock.
        trace: the file for the trace of :data:`TRACED` steps, in Chrome's format.

    Raises:
        UserError: there is no such training, or data or weights cannot be had.
    """
    name, chosen = _training(recipe, stage)
    settings = recipe.training_settings(chosen)
    network = recipe.network_config(chosen)
    precision = resolved_precision(settings.precision, network)

    def images(which: str, transform: Transform, *, labels: bool) -> Any:
        dataset = getattr(data, which)
        if not isinstance(dataset, Dataset):
            return dataset
        if settings.cache and transform.size is not None:
            return FewImages(dataset, copied_to=transform.size, labels=labels)
        return Subset(dataset, evenly_spaced(IMAGES, len(dataset)))

    all_steps = WARM_UP + 2 * steps + 1 + TRACED
    training = settings.model_copy(update={"precision": precision, "steps": max(settings.steps, all_steps)})
    fabric = launched_fabric(precision)
    device = fabric.device
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        request = trial(recipe, chosen, training, data, images)
        method = request.build_method(Path(folder))
        place(method, request.training, device)
        method.train()
        source, target = request.batches(0, cache=Path(folder), fabric=fabric)
        running = Steps(method, source, target, settings, fabric)
        reset_peak_memory()
        for _ in range(WARM_UP):
            running.take()
        times, count = [], 0
        for _ in range(steps):
            begin = time.perf_counter()
            count = running.take()
            _wait(device)
            times.append(time.perf_counter() - begin)
        peak = peak_memory_mb()
        clock = Clock(device)
        _watch_modules(method, clock, running.domains, stack)
        for _ in range(steps):
            running.take(clock)
        spent = [Part(part, 1000 * clock.seconds[part] / steps, clock.calls[part] / steps) for part in _order(clock)]
        memory = _memory(method, device)
        memory["activations kept for the way back"] = _activations(method, running.take)
        memory["peak of " + ("the GPU" if device.type == "cuda" else "this process")] = peak
        _trace(lambda: running.take(clock), device, trace, Path(folder) / "trace.json")
    compiled, reason = compiles(request.training, method.network, device)
    remarks = [
        f"{machine_in_words()}, {torch.get_num_threads()} threads, {precision}"
        f"{', channels-last' if settings.channels_last else ''}",
        f"layers are {'' if compiled else 'not '}compiled: {reason}",
    ]
    title = f"{recipe.name}, {name}: {chosen.train}, {network.name}, {count} images a step"
    return Profile(title, remarks, 1000 * statistics.median(times), count, spent, memory)


def _training(recipe: Recipe, stage: str | None) -> tuple[str, TrainStage]:
    trainings = {name: each for name, each in recipe.stages.items() if isinstance(each, TrainStage)}
    if not trainings:
        raise UserError(f"{recipe.name} trains nothing that could be profiled")
    if stage is not None and stage not in trainings:
        raise UserError(f"--stage {stage}: {recipe.name} has no such training; it has {', '.join(trainings)}")
    return list(trainings.items())[-1] if stage is None else (stage, trainings[stage])


def _watch_modules(method: Any, clock: Clock, domains: dict[int, str], stack: ExitStack) -> None:
    """Tells the clock when a network of the method begins and ends."""

    def watch(module: nn.Module, name: Callable[[Any], str]) -> None:
        def before(module: nn.Module, inputs: Any) -> None:
            clock.begin(name(inputs))

        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            clock.end()

        stack.enter_context(_removed(module.register_forward_pre_hook(before)))
        stack.enter_context(_removed(module.register_forward_hook(after)))

    def seen(inputs: Any) -> str:
        image = inputs[0] if inputs else None
        place = image.data_ptr() if isinstance(image, Tensor) else 0
        return f"network, {domains.get(place, 'changed')} images"

    for name, module in [*method.named_children(), *method.references.items()]:
        if name == "network":
            watch(module, seen)
        elif name == "teacher":
            watch(module.network, lambda inputs: "teacher")
        else:
            for part in module.children() if isinstance(module, (nn.ModuleDict, nn.ModuleList)) else [module]:
                watch(part, lambda inputs, name=name: name)  # type: ignore[misc]


@contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


def _order(clock: Clock) -> list[str]:
    """The parts in a reader's order: loading first, the rest as it began."""
    first = [part for part in clock.seconds if part.startswith(("load", "copy"))]
    return first + [part for part in clock.seconds if part not in (*first, OTHER)] + [OTHER]


def _memory(method: Any, device: torch.device) -> dict[str, float]:
    """MB of what stays from step to step."""
    network = list(method.network.state_dict().values())
    own = {id(tensor) for tensor in [*method.network.parameters(), *method.network.buffers()]}
    others = [tensor for tensor in [*method.parameters(), *method.buffers()] if id(tensor) not in own]
    others += [tensor for module in method.references.values() for tensor in module.state_dict().values()]
    gradients = [parameter.grad for parameter in method.parameters() if parameter.grad is not None]
    states = [
        value
        for optimizer in method.optimizers.values()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    ]
    found = {"network": network, "teacher, discriminators and the like": others}
    found |= {"gradients": gradients, "states of the optimisers": states}
    return {name: _megabytes(tensors) for name, tensors in found.items()}


def _megabytes(tensors: Iterable[Tensor]) -> float:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 2**20


def _activations(method: Any, step: Callable[[], object]) -> float:
    """MB that a step keeps for backward passes at most."""
    weights = [*method.parameters(), *method.buffers()]
    kept = Activations({tensor.untyped_storage().data_ptr() for tensor in weights})
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, kept.unpack):
        step()
    return kept.most / 2**20


def _trace(step: Callable[[], object], device: torch.device, path: Path, draft: Path) -> None:
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as profiler:
        for _ in range(TRACED):
            step()
        profiler.add_metadata_json("acclimate", '"profile"')
    profiler.export_chrome_trace(str(draft))
    path.write_bytes(draft.read_bytes().replace(str(draft).encode(), b"acclimate"))  # it names itself


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
