from __future__ import annotations

import pytest

from acclimate.io.progress import progress


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
