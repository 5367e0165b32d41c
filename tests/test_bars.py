from __future__ import annotations

import pytest

from acclimate.io import whole
from acclimate.io.bars import bar, clock, shortened, stage_line, whole_line
from acclimate.io.whole import WholeRun, whole_run

ADVERSARIAL = {
    "segmentation": 0.12345,
    "adversarial main": 0.0456,
    "discriminator main on source": 0.693,
    "discriminator main on target": 0.694,
}


def line(width: int, what: str = "fine-grained-entropy (stage 11 of 12, seed 2)") -> str:
    return stage_line(width, what, done=12345, total=120000, left=7384.0, values=ADVERSARIAL, note="12.3 img/s")


@pytest.mark.parametrize("width", range(42, 200))
def test_count_time_and_two_losses_are_always_there(width: int) -> None:
    shown = line(width)
    assert len(shown) <= width
    assert "12345/120000" in shown
    assert "2:03:04" in shown
    assert "0.12" in shown
    assert "0.046" in shown or "0.0456" in shown


def test_at_80_columns_the_losses_have_their_names_and_there_is_a_bar() -> None:
    shown = line(80, "advent (stage 4 of 5, seed 0)")
    assert shown.startswith("advent  ━")
    assert "seg 0.123  adv 0.0456" in shown
    assert line(220, "advent (stage 4 of 5, seed 0)").endswith("discriminator main on target 0.694  12.3 img/s")


def test_names_are_shortened_the_same_way_everywhere() -> None:
    assert shortened("discriminator main on source") == "disc src"
    assert shortened("adversarial main") == "adv"
    assert shortened("mixed (view 2)") == "mixed (view 2)"
    assert shortened("main") == "main"


@pytest.mark.parametrize(("seconds", "text"), [(None, "-:--"), (7.4, "0:07"), (59.6, "1:00"), (3900, "1:05:00")])
def test_time_left(seconds: float | None, text: str) -> None:
    assert clock(seconds) == text


def test_a_bar_is_full_at_the_end_alone() -> None:
    assert bar(0.0, 4) == "╌╌╌╌"
    assert bar(0.5, 4) == "━━╌╌"
    assert bar(1.0, 4) == bar(1.7, 4) == "━━━━"
    assert "50 %" in whole_line(80, share=0.5, left=60.0)
    assert len(whole_line(12, share=0.5, left=60.0)) <= 12


# --- the whole run -----------------------------------------------------------------------------------------------


def test_time_left_of_all_stages_follows_their_work(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(whole.time, "monotonic", lambda: now[0])
    run = WholeRun()
    run.expect({"a": 10.0, "b": 30.0})
    assert run.seconds_left() is None
    with run.stage("a", "first"):
        now[0] = 5.0
        run.heard("resized images", 3, 4, first=0)  # another bar within the stage
        assert run.seconds_left() is None
        run.heard("first: pass 1", 50, 100, first=0)
        assert run.share == pytest.approx(5 / 40)
        assert run.seconds_left() is None  # the clock begins here: how long it took to come so far says nothing
        now[0] = 7.0
        run.heard("first: pass 1", 70, 100, first=0)
        assert run.seconds_left() == pytest.approx(33.0)  # one unit a second
    now[0] = 10.0
    assert run.seconds_left() == pytest.approx(30.0)
    with run.stage("reused", "first"):
        pass
    assert run.share == pytest.approx(0.25)


def test_what_was_done_before_an_interruption_is_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(whole.time, "monotonic", lambda: now[0])
    run = WholeRun()
    run.expect({"a": 100.0})
    with run.stage("a", "train"):
        now[0] = 110.0
        run.heard("train", 91, 100, first=90)
        assert run.share == pytest.approx(0.91)
        now[0] = 120.0
        run.heard("train", 92, 100, first=90)
        assert run.seconds_left() == pytest.approx(80.0)  # ten seconds for one of the eight that are left


def test_bars_find_the_run_they_are_in() -> None:
    assert whole.current() is None
    with whole_run() as outer, whole_run() as inner:
        assert whole.current() is inner is not outer
    assert whole.current() is None
