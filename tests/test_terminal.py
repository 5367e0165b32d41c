"""Names from data cannot command the terminal; what Rich itself says still can."""

from __future__ import annotations

import io
import logging
import sys

import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text

from acclimate.io.terminal import SafeConsole, guard_terminal, shown

HOSTILE = "a\x1b[31mRED\x1b]0;title\x07\x1b[2J\x9b2J\rb\u202egnp.\udcff"
TOLD = r"a\x1b[31mRED\x1b]0;title\x07\x1b[2J\x9b2J\x0db\u202egnp.\xff"


def test_commands_are_shown() -> None:
    assert shown(HOSTILE) == TOLD
    assert shown("Straße 東京\t1\nnext") == "Straße 東京\t1\nnext"
    assert shown(ValueError(HOSTILE)) == TOLD


def test_prints_and_logs_are_guarded_and_rich_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    out, problems = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", problems)
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers.clear()
    try:
        guard_terminal()
        guard_terminal()
        print(HOSTILE)
        logging.warning("skipped %s", HOSTILE)
        SafeConsole(force_terminal=True, width=60).print(Text(HOSTILE, style="bold"), end="")
    finally:
        root.handlers[:] = before
    said = out.getvalue()
    assert said.startswith(TOLD + "\n")
    assert said.count("\x1b[1m") == 1  # Rich's own bold
    assert "\x1b" not in said.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert problems.getvalue() == f"WARNING: skipped {TOLD}\n"


def test_bars_may_move_the_cursor_while_their_texts_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = io.StringIO()
    monkeypatch.setattr(sys, "stderr", problems)
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers.clear()
    try:
        guard_terminal()
        console = SafeConsole(stderr=True, force_terminal=True, width=60)
        with Live(Text("one\ntwo"), console=console, auto_refresh=False) as live:
            live.update(Text(HOSTILE + "\nfour"), refresh=True)
    finally:
        root.handlers[:] = before
    assert "\x1b[1A" in problems.getvalue()  # one line up, by Rich
    assert r"\x1b[31m" in problems.getvalue()
    assert r"\x1b[1A" not in problems.getvalue()


def test_tables_are_guarded() -> None:
    table = Table()
    table.add_column(Text("class\x1b[2J"))
    table.add_row(HOSTILE)
    stream = io.StringIO()
    SafeConsole(file=stream, width=120).print(table)
    assert "\x1b" not in stream.getvalue()
    assert "\x9b" not in stream.getvalue()
    assert r"class\x1b[2J" in stream.getvalue()
