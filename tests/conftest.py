"""What all tests share: none leaves anything in the user's cache folder."""

from __future__ import annotations

import signal

import pytest

from acclimate.data import content

# a shell lets what it runs in the background ignore Ctrl-C, nohup the end of its terminal, and so would all tests start
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests of data files and the like go to a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setattr(content, "_digests", None)
