"""Draws suites as one SVG: what every system gained over source-only, mean and deviation over seeds, best first.

    python benchmarks/suite_picture.py runs/scenes runs/carla-camvid-all -o gains.svg

Reads results.json of suites (`acclimate bench`). The grey band is the AdaBN control; of self-training in rounds the
last one is drawn. A dot is filled where the system differs from the control by more than its deviation over seeds.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from acclimate.errors import UserError
from acclimate.evaluation.scores import Spread
from acclimate.io.files import read_json, write_text
from acclimate.report.tables import signed_points
from scripts import run_script

ROW, PANEL, LABEL, GAIN, TOP, MARGIN = 20, 560, 196, 84, 76, 26
CAPTION = "gain over source-only, points of mIoU; filled: further from the control than ±"
INK, QUIET, LINE, BAND, BELOW, ABOVE = "#1d2726", "#66716f", "#d9dedd", "#e9eeed", "#c2622a", "#0d7a78"


@dataclass(frozen=True)
class System:
    """One row: its name, gain over source-only and over the control, in points."""

    name: str
    gain: Spread
    over_control: Spread | None
    control: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    panels = [suite(path) for path in arguments.suites]
    write_text(arguments.output, drawing(panels))


def suite(path: Path) -> tuple[str, list[System]]:
    """A suite's name and its systems, best first.

    Raises:
        UserError: it is no suite, or nothing in it is measured against source-only.
    """
    content = read_json(path / "results.json" if path.is_dir() else path)
    models: list[dict[str, Any]] = content.get("models", [])
    rounds = {name: max(numbers) for name, numbers in _rounds(models).items()}
    systems = []
    for model in models:
        name, number = _parted(model["name"])
        if model["gain"] is None or model["role"] == "oracle" or (number and number < rounds[name]):
            continue
        over = model["over_control"]
        systems.append(
            System(
                model["name"],
                Spread(**model["gain"]),
                Spread(**over) if over else None,
                control=model["role"] == "control",
            )
        )
    if not systems:
        raise UserError(
            f"{path} is not the results of a suite with gains over source-only; `acclimate bench` writes one"
        )
    return content["suite"], sorted(systems, key=lambda system: -system.gain.mean)


def _parted(name: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.+)-(\d)", name)
    return (match[1], int(match[2])) if match else (name, 0)


def _rounds(models: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for model in models:
        name, number = _parted(model["name"])
        found.setdefault(name, []).append(number)
    return found


def drawing(panels: Sequence[tuple[str, list[System]]]) -> str:
    """The whole SVG."""
    height = TOP + ROW * max(len(systems) for _, systems in panels) + MARGIN
    width = PANEL * len(panels) + MARGIN
    parts = [panel(name, systems, left=MARGIN + PANEL * place) for place, (name, systems) in enumerate(panels)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13">\n'
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def panel(name: str, systems: Sequence[System], *, left: int) -> str:
    """One suite: a line for each system, on an axis of its own."""
    reach = [(_low(system.gain), _high(system.gain)) for system in systems]
    low, high = min(0.0, *(a for a, _ in reach)), max(0.0, *(b for _, b in reach))
    start, length = left + LABEL, PANEL - LABEL - GAIN - MARGIN

    def x(points: float) -> float:
        return round(start + length * (points - low) / (high - low), 1)

    bottom = TOP + ROW * len(systems)
    control = next((system.gain for system in systems if system.control), None)
    lines = [
        f'<text x="{left}" y="24" font-size="17" font-weight="600" fill="{INK}">{escape(name)}</text>',
        f'<text x="{left}" y="42" fill="{QUIET}">{CAPTION}</text>',
    ]
    if control is not None:
        a, b = x(_low(control)), x(_high(control))
        lines.append(
            f'<rect x="{a}" y="{TOP - 10}" width="{max(b - a, 1.5):.1f}" height="{bottom - TOP + 10}" fill="{BAND}"/>'
        )
        middle = (a + b) / 2
        lines.append(
            f'<text x="{middle:.1f}" y="{TOP - 14}" fill="{QUIET}" font-size="11" text-anchor="middle">control</text>'
        )
    lines.append(f'<path d="M{x(0)} {TOP - 10}V{bottom}" stroke="{QUIET}" stroke-dasharray="2 3"/>')
    for number, system in enumerate(systems):
        lines.append(_line(system, x, left=left, right=start + length, y=TOP + ROW * number + ROW / 2))
    return "\n".join(lines)


def _line(system: System, x: Any, *, left: int, right: int, y: float) -> str:
    colour = QUIET if system.control else ABOVE if system.gain.mean > 0 else BELOW
    over = system.over_control
    sure = over is not None and over.deviation is not None and abs(over.mean) > over.deviation
    fill = colour if sure or system.control else "#fff"
    gain = signed_points(system.gain).replace("-", "−")
    dot = f'fill="{fill}" stroke="{colour}" stroke-width="1.5"'
    return (
        f'<text x="{left}" y="{y + 4}" fill="{INK}">{escape(system.name)}</text>'
        f'<path d="M{left + LABEL - 8} {y + ROW / 2}H{right + 8}" stroke="{LINE}" stroke-width=".5"/>'
        f'<path d="M{x(_low(system.gain))} {y}H{x(_high(system.gain))}" stroke="{colour}" stroke-width="2"/>'
        f'<circle cx="{x(100 * system.gain.mean)}" cy="{y}" r="4.5" {dot}/>'
        f'<text x="{right + GAIN}" y="{y + 4}" fill="{QUIET}" font-size="12" text-anchor="end">{gain}</text>'
    )


def _low(value: Spread) -> float:
    return 100 * (value.mean - (value.deviation or 0.0))


def _high(value: Spread) -> float:
    return 100 * (value.mean + (value.deviation or 0.0))


if __name__ == "__main__":
    run_script(main)
