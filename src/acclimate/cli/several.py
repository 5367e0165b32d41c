"""``--processes N``: the same command line in N processes of this machine, each with its number in the environment.

What ``torchrun`` does for several machines, for one, and with one message where something is wrong.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from acclimate.errors import UserError
from acclimate.training.interrupt import STOPPING

command_line: list[str] = []
"""What the program was called with; empty where a command is called from Python."""
SECONDS_TO_END = 30.0
"""How long the others may take to save their place when one has ended with an error."""
_DIES_WITH_PARENT = 1
"""Linux: the first argument of prctl for a signal at the parent's death."""


def in_several_processes(count: int) -> None:
    """Starts this command so many times and ends with its exit status; returns at once in each of those it started.

    Args:
        count: of processes; with 1, or where ``torchrun`` or SLURM has started several, nothing is done.

    Raises:
        UserError: there is no command line to start again.
        SystemExit: always, where the processes have ended.
    """
    if count == 1 or "WORLD_SIZE" in os.environ:
        return
    if not command_line:
        raise UserError("--processes starts a command line several times; from Python, start the program with torchrun")
    with TemporaryDirectory() as folder:
        errors = [Path(folder) / f"{rank}.txt" for rank in range(count)]
        team = _started(errors)
        with _signals_passed_on(team):
            failed = _waited_for(team)
        status = 0 if failed is None else team[failed].returncode
        if failed is not None and status != team[0].returncode:  # else the first has told the same
            _tell(failed, status, errors[failed])
    raise SystemExit(status if status >= 0 else 128 - status)


def _started(errors: Sequence[Path]) -> list[subprocess.Popen[bytes]]:
    """The processes; the first has the terminal, what the others say of errors goes to their files."""
    count, port = len(errors), _free_port()
    team = []
    for rank, path in enumerate(errors):
        environment = {
            "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count)),
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        with open(path, "wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "acclimate", *command_line],
                env=environment,
                start_new_session=True,  # else the terminal's Ctrl-C reached them as well as the one passed on
                preexec_fn=_die_with_parent if os.name == "posix" else None,
                stdin=None if rank == 0 else subprocess.DEVNULL,
                stdout=None if rank == 0 else subprocess.DEVNULL,
                stderr=None if rank == 0 else stream,
            )
        team.append(process)
    return team


def _tell(rank: int, status: int, errors: Path) -> None:
    """What the process that failed first said at its end."""
    if status < 0:
        print(f"process {rank} was ended by {signal.Signals(-status).name}", file=sys.stderr)
    elif rank:
        lines = errors.read_text(encoding="utf-8", errors="replace").splitlines()
        begin = max((place for place, line in enumerate(lines) if line.startswith(("error:", "Traceback"))), default=0)
        print("\n".join(lines[begin:]), file=sys.stderr)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _die_with_parent() -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, int(signal.SIGTERM))


@contextlib.contextmanager
def _signals_passed_on(team: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Requests to stop reach every process once: they are in sessions of their own."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in team:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _waited_for(team: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """The number of the process that failed first, after all have ended; None where none did."""
    failed: int | None = None
    deadline = float("inf")
    while any(process.poll() is None for process in team):
        if failed is None:
            failed = next((rank for rank, process in enumerate(team) if process.returncode), None)
            if failed is not None:
                deadline = time.monotonic() + SECONDS_TO_END
                for process in team:
                    process.terminate()
        if time.monotonic() > deadline:
            for process in team:
                process.kill()
        time.sleep(0.05)
    return failed if failed is not None else next((rank for rank, each in enumerate(team) if each.returncode), None)
