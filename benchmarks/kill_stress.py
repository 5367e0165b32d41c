"""Kills every method, verb and command, again and again, and counts what is lost: a table of kills and losses.

    python benchmarks/kill_stress.py --kills 30
    python benchmarks/kill_stress.py --kills 6 --only "train dacs"

Each cell is one command of the command line. It runs once to its end, uninterrupted. Then it lives again and again: in
each life it is started and killed up to twelve times, each time going on with what the last one left, and is let run to
its end. The kills are: before or after one of the file operations it makes (opening to write, renaming, removing,
making a folder), at a random time, in the middle of a file (half of it is written), and by a signal that asks it to
stop (SIGTERM, SIGHUP, SIGINT), in an order of their own in each life.

After each life everything it leaves is compared with what the uninterrupted command leaves. A product is lost where its
content differs or it is not there: weights and label maps bit by bit, histories, scores, and in every second life the
last state of a training with its optimisers and discriminators. A file is left behind where the uninterrupted command
leaves none of that name, and every traceback is counted.

A run is a fork of this process, which has imported PyTorch once and started no thread: a process of its own with its
own memory, files and signals, which the operating system kills as any other. One in thirty is a newly started
``python -m acclimate`` all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import multiprocessing
import os
import pkgutil
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open

import acclimate
from acclimate.errors import UserError
from acclimate.io.checksums import digest_of
from acclimate.recipe.load import VERBS
from acclimate.report.template import environment
from acclimate.stages import label_passes
from acclimate.training import checkpoint
from kill_cells import BASE, RECIPE, VERB_STAGES, Command, commands, commands_named, recipes
from scripts import at_least_one, run_script

FORK = multiprocessing.get_context("fork")
LIFE = 2 * ("operation", "time", "half a file", "operation", "time", "signal")
"""The kills of a life, in an order of its own."""
REACH = 0.6
"""How far into an uninterrupted run a kill comes at most: each start goes on from the last, so all of it is reached."""
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
PATIENCE = 120
"""Seconds after which a run that was asked to stop, or let go on, is said to hang."""
UNEQUAL = ("tensorboard",)
"""Folders whose files are named by time."""


@dataclass
class Cell:
    """What happened to one command, and the sums of all.

    Attributes:
        operation, time, half, asked: kills at a file operation, at a random time, within a file, and by a signal.
        compared, lost, left, tracebacks: products compared, of these lost, files left behind, and tracebacks told.
        hung: runs that did not end in time, and last runs that did not end well.
    """

    name: str
    operation: int = 0
    time: int = 0
    half: int = 0
    asked: int = 0
    compared: int = 0
    lost: int = 0
    left: int = 0
    tracebacks: int = 0
    hung: int = 0

    @property
    def kills(self) -> int:
        return self.operation + self.time + self.half + self.asked


class Hook:
    """Counts the file operations of a process below a folder, and kills it at one of them."""

    def __init__(self, folder: Path, *, at: int = 0, how: str = "", count: Path | None = None) -> None:
        self.folder, self.at, self.how, self.count = str(folder), at, how, count
        self.seen = 0
        self.after = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.after and event != "os.kill":
            os.kill(os.getpid(), signal.SIGKILL)  # the operation before this one is done
        renames = event == "os.rename"
        opens = event == "open" and isinstance(arguments[1], str) and any(mode in arguments[1] for mode in "wax+")
        if not (renames or opens or event in ("os.remove", "os.mkdir", "os.rmdir")):
            return
        if not str(arguments[0]).startswith(self.folder) or (self.how == "half a file" and not renames):
            return
        self.seen += 1
        if self.count is not None:
            with open(os.open(self.count, os.O_CREAT | os.O_WRONLY | os.O_APPEND), "ab") as stream:
                stream.write(b"r" if renames else b".")
        if self.seen != self.at:
            return
        if self.how == "after":
            self.after = True
            return
        if self.how == "half a file" and os.path.isfile(arguments[0]):
            os.truncate(arguments[0], os.path.getsize(arguments[0]) // 2)
        os.kill(os.getpid(), signal.SIGKILL)


def _child(
    arguments: list[str], log: Path, hook: Hook | None, keeps_state: bool, prepare: Callable[[], None] | None
) -> None:
    stream = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for number in (1, 2):
        os.dup2(stream, number)
    os.environ["TQDM_DISABLE"] = "1"
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    label_passes.SECONDS_BETWEEN_SAVES = 0.0
    if keeps_state:
        checkpoint.Checkpoints.clear = lambda self: None  # type: ignore[method-assign]
    if prepare is not None:
        prepare()
    if hook is not None:
        sys.addaudithook(hook)
    from acclimate.cli.app import main

    sys.argv = ["acclimate", *arguments]
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Life:
    """One folder in which a command is started, killed and let end."""

    def __init__(self, command: Command, out: Path, log: Path, *, keeps_state: bool = False) -> None:
        self.out, self.log, self.keeps_state = out, log, keeps_state
        self.arguments = [part.replace("OUT", str(out)) for part in command.arguments]
        if command.given is not None:
            shutil.copytree(command.given, out)
        out.mkdir(parents=True, exist_ok=True)

    def start(self, hook: Hook | None = None, prepare: Callable[[], None] | None = None) -> Any:
        """A run of the command in a process of its own, which calls ``prepare`` first."""
        process = FORK.Process(target=_child, args=(self.arguments, self.log, hook, self.keeps_state, prepare))
        process.start()
        return process

    def to_the_end(self, hook: Hook | None = None, prepare: Callable[[], None] | None = None) -> bool:
        """Whether a run that nobody kills ends well, within :data:`PATIENCE`."""
        process = self.start(hook, prepare)
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
            return False
        return bool(process.exitcode == 0)

    def killed_newly_started(self, seconds: float, chance: random.Random) -> bool:
        """Whether ``python -m acclimate`` was killed before its end."""
        with open(self.log, "ab") as stream:
            command = [sys.executable, "-m", "acclimate", *self.arguments]
            process = subprocess.Popen(command, stdout=stream, stderr=stream)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(2.0, 5.0 + seconds))
            return False
        process.kill()
        process.wait()
        return True

    def products(self) -> dict[str, str]:
        """Digest of every file, and of the last state of every training where states are kept."""
        found = {}
        for path in sorted(self.out.rglob("*")):
            state = path.name.startswith("state-")
            if not path.is_file() or path.parent.name in UNEQUAL or (state and self.keeps_state):
                continue
            found[str(path.relative_to(self.out))] = content_of(path)
        if self.keeps_state:
            for folder in sorted({path.parent for path in self.out.rglob("state-*.pt")}):
                newest = checkpoint.Checkpoints(folder).newest()
                if newest is not None:
                    kept = {key: value for key, value in newest.items() if key != "seconds"}
                    found[f"{folder.relative_to(self.out)}/state"] = _digest(kept)
        return found


def content_of(path: Path) -> str:
    """Digest of what must not depend on interruptions; of pages, programs and times only that they are there."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:  # the library writes the entries of a header in any order
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            return digest_of(dict(sorted((file.metadata() or {}).items())), tensors)
    if path.name == "scores.json":
        rows = json.loads(path.read_text()).get("rows", [])
        timed = ("peak_memory_mb", "train_seconds", "images_per_second")
        return str([{key: value for key, value in row.items() if key not in timed} for row in rows])
    if path.suffix in (".png", ".jpg", ".csv", ".npy") or path.name in ("manifest.json", "curves.json"):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return "there"


def _digest(state: Any) -> str:
    digest = hashlib.sha256()
    for part in _flat(state):
        digest.update(part)
    return digest.hexdigest()


def _flat(state: Any) -> Iterator[bytes]:
    if isinstance(state, torch.Tensor):
        yield f"{state.dtype}{tuple(state.shape)}".encode()
        yield state.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(state, dict):
        for key, value in state.items():
            yield str(key).encode()
            yield from _flat(value)
    elif isinstance(state, (list, tuple)):
        for value in state:
            yield from _flat(value)
    else:
        yield repr(state).encode()


def stress(name: str, command: Command, folder: Path, *, kills: int, seed: int) -> Cell:
    """Lives through one cell until it was killed ``kills`` times."""
    cell, chance = Cell(name), random.Random(f"{seed} {name}")
    folder.mkdir(parents=True)
    log = folder / "log"
    wanted, seconds, operations, renames = {}, 0.0, 0, 0
    for keeps_state in (False, True):
        counted = folder / f"operations-{keeps_state}"
        whole = Life(command, folder / f"whole-{keeps_state}", log, keeps_state=keeps_state)
        begin = time.monotonic()
        well = whole.to_the_end(Hook(whole.out, count=counted))
        seconds = time.monotonic() - begin
        wanted[keeps_state] = whole.products()
        if not well or not wanted[keeps_state]:
            raise SystemExit(f"{name}: a run that nobody killed did not end well: {log.read_text()[-800:]}")
        operations, renames = counted.stat().st_size, counted.read_bytes().count(b"r")
    lives = 0
    while cell.kills < kills and lives < 4 * kills:
        keeps_state = lives % 2 == 1
        life = Life(command, folder / f"life-{lives}", log, keeps_state=keeps_state)
        lives += 1
        for kind in chance.sample(LIFE, len(LIFE)):
            if _killed(cell, life, kind, chance, seconds=seconds, operations=operations, renames=renames):
                break  # it came to its end
        cell.hung += not life.to_the_end()
        found = life.products()
        cell.compared += len(wanted[keeps_state])
        for key in sorted(wanted[keeps_state].keys() | found.keys()):
            was, now = wanted[keeps_state].get(key), found.get(key)
            if was != now:
                cell.lost, cell.left = cell.lost + (was is not None), cell.left + (was is None)
                print(f"{name}, life {lives - 1}: {key} was {was}, is {now}", file=sys.stderr)
        shutil.rmtree(life.out)
    text = log.read_text(errors="replace")
    cell.tracebacks = text.count("Traceback (most recent call last)")
    if cell.tracebacks:
        found_at = text.index("Traceback (most recent call last)")
        print(text[max(0, found_at - 1000) :][:4000], file=sys.stderr)
    return cell


def _killed(
    cell: Cell, life: Life, kind: str, chance: random.Random, *, seconds: float, operations: int, renames: int
) -> bool:
    """Starts a life's command once more and kills it; whether it came to its end before."""
    # one in thirty of all; a new process clears the last state when it comes to the end
    if kind == "time" and not life.keeps_state and chance.random() < 0.2:
        killed = life.killed_newly_started(seconds, chance)
        cell.time += killed
        return not killed
    hook = None
    if kind == "operation":
        hook = Hook(
            life.out, at=chance.randint(1, max(1, round(REACH * operations))), how=chance.choice(("before", "after"))
        )
    elif kind == "half a file":
        hook = Hook(life.out, at=chance.randint(1, max(1, round(REACH * renames))), how=kind)
    process = life.start(hook)
    if hook is None:
        process.join(chance.uniform(0.02, REACH) * seconds)
        if process.is_alive() and kind == "signal":
            os.kill(process.pid, chance.choice(SIGNALS))
            process.join(PATIENCE)
            cell.asked += 1
            if process.is_alive():
                cell.hung += 1
        elif process.is_alive():
            cell.time += 1
        if process.is_alive():
            process.kill()
    process.join(PATIENCE)
    if process.is_alive():
        cell.hung += 1
        process.kill()
        process.join()
        return False
    if hook is not None and process.exitcode == -signal.SIGKILL:
        if kind == "operation":
            cell.operation += 1
        else:
            cell.half += 1
    return bool(process.exitcode == 0)


def table(results: list[Cell]) -> str:
    """The results as Markdown."""
    columns: dict[str, Callable[[Cell], int]] = {
        "kills": lambda cell: cell.kills,
        "at a file operation": lambda cell: cell.operation,
        "at a time": lambda cell: cell.time,
        "within a file": lambda cell: cell.half,
        "asked to stop": lambda cell: cell.asked,
        "compared": lambda cell: cell.compared,
        "lost": lambda cell: cell.lost,
        "left behind": lambda cell: cell.left,
        "tracebacks": lambda cell: cell.tracebacks,
        "hung": lambda cell: cell.hung,
    }
    total = Cell("all")
    for field in fields(Cell)[1:]:
        setattr(total, field.name, sum(getattr(cell, field.name) for cell in results))
    lines = [f"| {' | '.join(['what', *columns])} |", "|---" * (len(columns) + 1) + "|"]
    for cell in [*results, total]:
        lines.append(f"| {cell.name} | {' | '.join(str(value(cell)) for value in columns.values())} |")
    return "\n".join(lines)


def prepared(folder: Path) -> dict[str, Command]:
    """Every cell, after the model that some of them start from is trained."""
    (folder / "frames").mkdir(parents=True)
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"frames/{number}.png")
    (folder / "base.yaml").write_text(RECIPE + BASE)
    base = Command(["run", str(folder / "base.yaml"), "-o", "OUT/run", "--store", "OUT/.stages"])
    trained = Life(base, folder / "base", folder / "log")
    if not trained.to_the_end():
        raise SystemExit((folder / "log").read_text()[-800:])
    shutil.copytree(folder / "base/.stages", folder / "given/.stages", symlinks=True)
    return commands(folder, folder / "base/run/1-base/model.safetensors", folder / "base/run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=at_least_one, default=6, help="of each method, verb and command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="cells whose name contains this")
    arguments = parser.parse_args()
    known = [*recipes(), *commands_named()]
    if not any(arguments.only in name for name in known):
        raise UserError(f"no method, verb or command contains {arguments.only!r}; there are: {', '.join(known)}")
    torch.set_num_threads(1)
    import_all()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        for number, (name, command) in enumerate(prepared(folder / "shared").items()):
            if arguments.only in name:
                place = folder / str(number)
                results.append(stress(name, command, place, kills=arguments.kills, seed=arguments.seed))
                print(results[-1], file=sys.stderr, flush=True)
                shutil.rmtree(place)
    print(table(results))
    if missing := set(VERBS) - {"train", *VERB_STAGES}:
        print(f"\nnot covered: {', '.join(sorted(missing))}")
    sys.exit(any(cell.lost or cell.left or cell.tracebacks or cell.hung for cell in results))


def import_all() -> None:
    """Imports the package and compiles its pages here, once, not in every run; what an extra brings may be missing."""
    for module in pkgutil.walk_packages(acclimate.__path__, "acclimate."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)
    for page in (Path(acclimate.__path__[0]) / "report").glob("*.html"):
        environment().get_template(page.name)


if __name__ == "__main__":
    run_script(main)
