from __future__ import annotations

import io

import pytest

from acclimate.io.progress import progress
from acclimate.io.terminal import SafeConsole
from acclimate.io.whole import whole_run


def test_a_log_says_now_and_then_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("acclimate.io.progress.time.monotonic", lambda: clock[0])
    with progress("train", 40, done=10) as bar:
        for step in range(30):
            clock[0] += 1.0
            bar.advance(1, f"loss {step}" if step % 10 == 9 else None)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "train: 11/40, 29 s left  ",
        "train: 26/40, 14 s left  loss 9",  # the note stays until there is a new one
        "train: 40/40, 0 s left  loss 29",
    ]


def test_only_the_first_process_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("train", 2, silent=True) as bar:
        bar.advance()
        bar.advance()
    assert capsys.readouterr().err == ""


def test_a_log_tells_of_the_whole_run_in_the_same_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("acclimate.io.progress.time.monotonic", lambda: clock[0])
    with whole_run() as run, run.stage("a", "train"):
        run.expect({"a": 10.0, "b": 90.0})
        with progress("train", 2) as bar:
            clock[0] += 6.0
            bar.advance(1, "9.9 img/s", values={"loss": 0.5, "entropy": 0.123456})
            clock[0] += 5.0
            bar.advance(1)
    assert capsys.readouterr().err.splitlines() == [
        "train: 1/2, 6 s left  loss 0.5  entropy 0.123  9.9 img/s",  # of one step nothing follows for the whole
        "train: 2/2, 0 s left (1:30 in all)  loss 0.5  entropy 0.123  9.9 img/s",
    ]


def test_a_terminal_shows_two_lines_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = SafeConsole(file=screen, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr("acclimate.io.progress.console", terminal)
    with whole_run() as run, run.stage("a", "train (stage 1 of 2, seed 0)"):
        run.expect({"a": 10.0, "b": 10.0})
        with progress("train (stage 1 of 2, seed 0)", 4) as bar:
            bar.advance(1, "9.9 img/s", values={"segmentation": 0.5, "adversarial main": 0.1, "third": 9.0})
            first, second = bar.lines(80)
    assert "1/4" in first
    assert "segmentation 0.5" in first
    assert "adversarial main 0.1" in first
    assert second.startswith("whole run")
    assert "12 %" in second
    assert "whole run" in screen.getvalue()
