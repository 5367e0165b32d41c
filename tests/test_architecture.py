"""The house as docs/architecture.md draws it: every room has its floor, and imports only go down."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import acclimate

HOUSE = Path(acclimate.__file__).parent
FLOORS = """
__main__
cli
__init__ bench planning
pipeline
recipe
tasks wrapping
stages
detection translation
report training
exchange methods pseudo doctor
evaluation
models
data
io losses scenes
errors labels precision
"""
"""From the command line down to what everything stands on; rooms of one floor do not know each other."""

FLOOR = {room: number for number, floor in enumerate(FLOORS.strip().splitlines()) for room in floor.split()}


def imports() -> Iterator[tuple[Path, str, str]]:
    """(file, the room it is in, a room it imports from), imports within functions too."""
    for path in sorted(HOUSE.rglob("*.py")):
        room = path.relative_to(HOUSE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "acclimate":
                found = [f"acclimate.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found = [node.module or ""]
            elif isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            else:
                continue
            for module in found:
                if module.startswith("acclimate.") and (other := module.split(".")[1]) != room:
                    yield path, room, other


def test_every_room_has_its_floor() -> None:
    rooms = {
        path.name.removesuffix(".py") for path in HOUSE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))
    }
    assert rooms == set(FLOOR)


def test_imports_only_go_down() -> None:
    upwards = [
        f"{path.relative_to(HOUSE)} imports {other}" for path, room, other in imports() if FLOOR[room] >= FLOOR[other]
    ]
    assert upwards == []


def test_rooms_are_drawn_in_the_docs() -> None:
    drawn = (HOUSE.parents[1] / "docs/architecture.md").read_text(encoding="utf-8")
    kept_quiet = {"__main__"}
    assert [room for room in FLOOR if room not in kept_quiet and f"  {room}" not in drawn] == []
