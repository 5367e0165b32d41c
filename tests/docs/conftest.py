from __future__ import annotations

import sys
from pathlib import Path

import pytest
from reader_workspace import own_entry_points, write_workspace

from acclimate.io import plugins
from acclimate.models import wrapped


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's current folder, with the data and the package of the pages on bringing one's own in it."""
    write_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        monkeypatch.delitem(sys.modules, name)
    declared = own_entry_points()
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: [each for each in declared if each.group == group])
    monkeypatch.setattr(wrapped, "_allowed", set())
    return tmp_path
