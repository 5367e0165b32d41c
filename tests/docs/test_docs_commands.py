"""Commands the documentation shows exist as written; those that end at once print what is shown."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from markdown_pages import PAGES, ROOT, Command, agrees, all_blocks, blocks, code, commands, page_name, tables
from PIL import Image
from reader_workspace import write_ids, write_picture

from acclimate.cli.app import app, main
from acclimate.data.registry import DATASETS
from acclimate.detection.registry import BOXED_DATASETS
from acclimate.io.plugins import names_added
from acclimate.pseudo.boxes import BoxSelection
from acclimate.pseudo.thresholds import Selection
from acclimate.recipe.load import TrainStage, load_recipe, parse_override, validated

SHOWN = [command for block in all_blocks("console") for command in commands(block)]
OURS = [command for command in SHOWN if command.words[0] == "acclimate"]
GROUP: Any = typer.main.get_command(app)
COMMANDS_PAGE = ROOT / "docs" / "commands.md"


def at_once(command: Command) -> bool:
    """Whether a command ends in a moment and needs no data that only its reader has."""
    words = command.words
    quick = words[1] in ("list", "check", "stats") or {"--help", "--dry-run"} & set(words)
    if words[1] == "adapt":  # it needs weights, and has tests of its own
        return False
    return bool(quick) and (bool(command.shown) or not any("/data/" in word for word in words))


def parsed(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The name and the parameters of a command, as the command line itself understands them."""
    context = GROUP.make_context("acclimate", list(words[1:]))
    name, command, rest = GROUP.resolve_command(context, context._protected_args + context.args)
    return name, command.make_context(name, rest, parent=context).params


@pytest.mark.parametrize("command", [c for c in SHOWN if c not in OURS], ids=str)
def test_other_commands_are_make_targets_or_known(command: Command) -> None:
    if command.words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(command.words[1:]) <= set(targets)
    elif command.words[0] == "python":
        assert (ROOT / command.words[1]).is_file()
    else:
        assert command.words == ["source", ".venv/bin/activate"]


@pytest.mark.parametrize("command", [c for c in OURS if "--help" not in c.words], ids=str)
def test_command_is_understood(command: Command, workspace: Path) -> None:
    for block in blocks(command.block.page, "yaml"):
        if block.title.endswith(".yaml") and "/" not in block.title:
            (workspace / block.title).write_text(block.text, encoding="utf-8")
    name, values = parsed(command.words)
    wrong_on_purpose = any(line.startswith("error:") for line in command.shown)
    for key in ("source", "target", "data"):
        folder = name == "adapt" and ":" not in str(values.get(key))
        if values.get(key) and not folder and not wrong_on_purpose:
            assert values[key].partition(":")[0] in {*DATASETS, *BOXED_DATASETS, *names_added("acclimate.datasets")}
    if name in ("run", "demo") and not wrong_on_purpose:
        recipe = values.get("recipe") or ("demo-quick" if values["quick"] else "demo")
        load_recipe(recipe, overrides=dict(map(parse_override, values["overrides"] or [])))
    if name == "label":
        of_boxes = command.block.page.name == "detection.md"
        kind = BoxSelection if of_boxes else Selection
        validated(kind, dict(map(parse_override, values["overrides"] or [])), "the selection")


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_checkpoints_are_where_recipes_leave_them(page: Path, workspace: Path) -> None:
    for run, stage in re.findall(r"runs/([\w-]+)/([\w-]+)/model\.safetensors", page.read_text(encoding="utf-8")):
        recipe, _ = load_recipe(f"{run}.yaml" if (workspace / f"{run}.yaml").is_file() else run)
        stages = enumerate(recipe.stages.items(), start=1)
        trained = [f"{number}-{name}" for number, (name, verb) in stages if isinstance(verb, TrainStage)]
        assert stage in trained


@pytest.mark.parametrize("command", [c for c in OURS if at_once(c)], ids=str)
def test_command_prints_what_is_shown(
    command: Command, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if command.block.mark:
        break_something(workspace, command.block.mark)
    monkeypatch.setattr(sys, "argv", command.words)
    status: Any = 0
    try:
        main()
    except SystemExit as end:
        status = end.code or 0
    out, err = capsys.readouterr()
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert status == (2 if errors else 0), err
    if command.shown:
        printed = out.splitlines() + errors
        assert agrees(command.shown, printed), "\n".join(["printed:", *printed])
    else:
        assert not errors


def break_something(workspace: Path, what: str) -> None:
    """Makes the mistake that a page shows the message of."""
    labels = workspace / "renders" / "labels"
    if what == "broken: labels":
        (labels / "0000.png").unlink()
        write_ids(labels / "0001.png", (0, 7, 99))
        with Image.open(labels / "0002.png") as label:
            label.resize((320, 180), Image.Resampling.NEAREST).save(labels / "0002.png")
    elif what == "broken: key":
        description = workspace / "renders" / "dataset.yaml"
        description.write_text(description.read_text().replace("labels:", "lables:"))
    elif what == "broken: colours":
        write_picture(labels / "0000.png")
    else:
        raise AssertionError(f"no test knows how to make {what!r}")


def test_comparison_of_outputs_can_fail() -> None:
    assert agrees(["a", "…", "d"], ["a", "b", "c", "d"])
    assert agrees(["known: …"], ["known: x, y"])
    assert not agrees(["a", "d"], ["a", "b", "d"])
    assert not agrees(["a"], ["a", "b"])
    assert not agrees(["a", "…", "e"], ["a", "b", "d"])


# --- the page of commands ----------------------------------------------------------------------------------------


def sections() -> dict[str, str]:
    """Command -> its section of the page."""
    text = COMMANDS_PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^## acclimate (.*)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_page_has_every_command_and_no_other() -> None:
    assert [title.split()[0] for title in sections()] == list(GROUP.commands)


@pytest.mark.parametrize("name", list(GROUP.commands))
def test_page_has_every_argument_option_and_default(name: str, tmp_path: Path) -> None:
    title, section = next((title, text) for title, text in sections().items() if title.split()[0] == name)
    (page := tmp_path / "section.md").write_text(section, encoding="utf-8")
    written = {tuple(sorted(code(row[0]))): row[1] for table in tables(page) for row in table[1:]}
    options, arguments = {}, []
    for parameter in GROUP.commands[name].params:
        if parameter.param_type_name == "argument":
            arguments.append((parameter.metavar or parameter.name).upper())
        elif parameter.name != "help":
            options[tuple(sorted(parameter.opts))] = default_of(parameter)
    assert title.split()[1:] == arguments
    assert written == options


def default_of(parameter: Any) -> str:
    """An option's default as the page writes it."""
    if parameter.required:
        return "required"
    default = parameter.default
    if isinstance(default, bool):
        return "on" if default else "off"
    return str(default) if default not in (None, "", [], ()) else "–"
