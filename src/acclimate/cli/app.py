"""The command line: its commands in order, and how it ends. Results go to stdout, progress and problems to stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from acclimate.cli import (
    adapt,
    clean,
    data,
    demo_data,
    doctor,
    frames,
    init,
    listing,
    models,
    predict,
    profile,
    runs,
    several,
)
from acclimate.errors import UserError
from acclimate.training.interrupt import INTERRUPTED, Interrupted, stoppable

app = typer.Typer(
    name="acclimate",
    help="Adapt a segmentation model trained on labelled SOURCE images to unlabelled TARGET images.\n\n"
    "Data is named KIND:PATH, for instance gta5:/data/GTA5, camvid:/data/CamVid, folder:/data/mine/dataset.yaml, or "
    "scenes:camera for the built-in street scenes. Begin with `acclimate demo --quick`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        print(f"acclimate {metadata.version('acclimate')}")
        raise typer.Exit


@app.callback()
def everywhere(
    networks: Annotated[
        list[str] | None,
        typer.Option("--network", help="python:package.module:factory, code that checkpoints may name (repeatable)"),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="say which version this is", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Unsupervised domain adaptation for semantic segmentation."""
    if networks:
        from acclimate.models.wrapped import allow_code

        for name in networks:
            allow_code(name)


COMMANDS: dict[str, Callable[..., None]] = {
    "demo": runs.demo_command,
    "demo-data": demo_data.demo_data_command,
    "adapt": adapt.adapt_command,
    "run": runs.run_command,
    "bench": runs.bench_command,
    "profile": profile.profile_command,
    "evaluate": models.evaluate_command,
    "predict": predict.predict_command,
    "label": data.label_command,
    "translate": data.translate_command,
    "frames": frames.frames_command,
    "init": init.init_command,
    "check": data.check_command,
    "stats": data.stats_command,
    "report": runs.report_command,
    "doctor": doctor.doctor_command,
    "import": models.import_command,
    "export": models.export_command,
    "clean": clean.clean_command,
    "list": listing.list_command,
}
"""The commands in the order of ``--help``; the docstring of each is its help."""

for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def main() -> None:
    """The entry point: user errors exit with 2 and one message, interruption with 130, our faults with a traceback."""
    import logging
    import warnings

    from acclimate.io.faults import machine_fault
    from acclimate.io.terminal import guard_terminal

    try:
        with stoppable():
            guard_terminal()
            several.command_line[:] = sys.argv[1:]
            warnings.filterwarnings("ignore", module="lightning_fabric")
            # it tells of every precision it is given; its own level is set when it is imported, this one's is not
            logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
            app()
    except (Interrupted, KeyboardInterrupt) as error:
        _say(f"interrupted: {error}; run the same command again to go on".replace(": ;", ";"))
        sys.exit(INTERRUPTED)
    except Exception as error:
        told = error if isinstance(error, UserError) else machine_fault(error)
        if told is None:
            raise
        _say(f"error: {told}")
        sys.exit(2)


def _say(text: str) -> None:
    text = "\n".join(_bounded(line) for line in text.split("\n"))
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(text, file=sys.stderr, flush=True)


def _bounded(line: str, *, most: int = 4000) -> str:
    """A line of a message without its middle where that repeats a whole file."""
    return line if len(line) <= most else f"{line[: most // 2]} … {line[-most // 2 :]}"


if __name__ == "__main__":
    main()
