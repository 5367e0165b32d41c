"""The folder of a reader who does what the pages on bringing one's own say."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path

from markdown_pages import OWN_DATA, OWN_PAGES, blocks
from PIL import Image

WIDTH, HEIGHT = 640, 360
RENDER_IDS = (0, 7, 11, 23, 26)
RECORDED_IDS = (0, 1, 2, 3, 4, 5)
SCORED_IDS = (0, 1, 2, 3, 255)


def write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 150)).save(path)


def write_ids(path: Path, ids: tuple[int, ...]) -> None:
    """A label map of vertical stripes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    label = Image.new("L", (WIDTH, HEIGHT))
    for number, raw in enumerate(ids):
        label.paste(raw, (number * WIDTH // len(ids), 0, WIDTH, HEIGHT))
    label.save(path)


def write_workspace(folder: Path) -> None:
    """Pictures and label maps laid out as the page shows them, with its YAML files."""
    for number in range(3):
        write_picture(folder / "renders" / "images" / f"{number:04d}.png")
        write_ids(folder / "renders" / "labels" / f"{number:04d}.png", RENDER_IDS)
        write_picture(folder / "footage" / "frames" / "drive-1" / f"{number:04d}.png")
    for number in range(2):
        write_picture(folder / "footage" / "scored" / "images" / f"{number:04d}.png")
        write_ids(folder / "footage" / "scored" / "labels" / f"{number:04d}.png", SCORED_IDS)
    for block in blocks(OWN_DATA, "yaml"):
        if block.title != "dataset.yaml":
            (folder / block.title).write_text(block.text, encoding="utf-8")
    for number in range(3):
        write_picture(folder / "recordings" / "frames" / f"{number:04d}.png")
        write_ids(folder / "recordings" / "ids" / f"{number:04d}.png", RECORDED_IDS)
    write_own_package(folder)


def write_own_package(folder: Path) -> None:
    """The recipes and the package of the pages "Your own …"."""
    (folder / "my_package").mkdir()
    (folder / "my_package" / "__init__.py").touch()
    for block in [block for page in OWN_PAGES for language in ("python", "yaml") for block in blocks(page, language)]:
        if block.title and block.title != "excerpt":
            (folder / block.title).write_text(block.text, encoding="utf-8")


def own_entry_points() -> list[EntryPoint]:
    """What the package declares."""
    return [
        EntryPoint(name, value, group)
        for page in OWN_PAGES
        for block in blocks(page, "toml")
        for group in re.findall(r'entry-points\."(.*)"', block.text)
        for name, value in re.findall(r'^([\w-]+) = "(.*)"$', block.text, re.MULTILINE)
    ]
