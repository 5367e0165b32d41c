"""What all tests share: none leaves anything in the user's cache folder."""

from __future__ import annotations

import signal

import pytest

from acclimate.data import content

# a shell lets what it runs in the background ignore Ctrl-C, and so would everything the tests start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests of data files and the like go to a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setattr(content, "_digests", None)
