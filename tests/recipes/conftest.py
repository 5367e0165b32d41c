from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fixture data and one store for all recipes: equal stages run once."""
    return tmp_path_factory.mktemp("dry-runs")
