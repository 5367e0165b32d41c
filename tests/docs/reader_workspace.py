"""The folder of a reader who does what the page on own data says."""

from __future__ import annotations

from pathlib import Path

from markdown_pages import OWN_DATA, blocks
from PIL import Image

WIDTH, HEIGHT = 640, 360
RENDER_IDS = (0, 7, 11, 23, 26)
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
