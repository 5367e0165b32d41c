"""Feeds mutated images, labels, recipes and checkpoints to everything that reads files: a table of what came of it.

    python benchmarks/fuzz.py --count 2400

Each mutant must be read or refused with a UserError, in less than ten seconds. A checkpoint or a labelling state that
is read must hold exactly what was written: its mutants are damage, and damage must not be taken for content.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from acclimate.data.class_spaces import class_space
from acclimate.data.readers.description import read_description
from acclimate.data.readers.files import IdTable, image_size, read_ids, read_image
from acclimate.data.readers.png16 import read_first_channel
from acclimate.errors import UserError
from acclimate.io.checksums import read_verified_json, write_verified_json
from acclimate.models.checkpoint import ModelCard, load_network, save_network
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network
from acclimate.pseudo.histogram import ScoreHistogram, load_histograms, save_histograms
from acclimate.recipe.load import load_recipe, recipe_names
from acclimate.training.checkpoint import Checkpoints
from fuzz_data import data_kinds
from fuzz_products import product_kinds
from scripts import at_least_one, run_script

SECONDS = 10.0


ODD = (
    *("", "[]", "{}", "null", "-1", "1e999", ".nan", "yes", "2001-99-99", "[" * 200, "&a [*a]", "*a", "<<: 1", "- x"),
    *("!!python/name:os.system", "'../../x'", '"\\0"', "99999999999999999999", "{a: {b: {c: d}}}", "0x_", "!!binary x"),
)
"""What people and others may write in the place of a value."""


class Hang(BaseException):
    """A mutant took too long."""


@dataclass
class Tried:
    """What came of the mutants of one kind."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A damaged copy: bits flipped, bytes replaced, inserted, removed, zeroed, doubled, or the end cut off."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 5, 20))):
        if not data:
            break
        at, length = chance.randrange(len(data)), chance.choice((1, 2, 4, 16, 64))
        kind = chance.randrange(7)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        elif kind == 2:
            data[at:at] = chance.randbytes(length)
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at : at + length] = bytes(len(data[at : at + length]))
        elif kind == 5:
            data[at:at] = data[at : at + length]
        else:
            del data[at:]
    return bytes(data)


def mutated_text(content: bytes, chance: random.Random) -> bytes:
    """A recipe damaged as people damage them, or as :func:`mutated` does."""
    if chance.random() < 0.4:
        return mutated(content, chance)
    lines = content.decode().splitlines()
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(lines))
        key, sign, _ = lines[at].partition(":")
        kind = chance.randrange(5)
        if kind == 0:
            lines[at] = f"{key}{sign} {chance.choice(ODD)}"
        elif kind == 1:
            del lines[at]
        elif kind == 2:
            lines.insert(at, chance.choice(lines))
        elif kind == 3:
            lines[at] = " " * chance.randrange(6) + lines[at].lstrip()
        else:
            lines[at] = lines[at].replace(chance.choice("abcdefgst:{}[],"), chance.choice("xyz:{}[]&*!|>%@`\t"), 1)
        if not lines:
            break
    return "\n".join(lines).encode()


def _png(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, **{"format": "PNG", **options})
    return stream.getvalue()


def _png16(chance: random.Random) -> bytes:
    """A plain 16-bit RGB PNG, which Pillow does not write."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(bytes([y % 5]) + chance.randbytes(12 * 6) for y in range(8))
    header = struct.pack(">IIBBBBB", 12, 8, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


Reader = Callable[[Path], str]
"""Reads a mutant; returns ``read`` or, for damage, ``unchanged``; raises UserError, or AssertionError for damage that
was taken for content."""


def kinds(folder: Path, chance: random.Random) -> dict[str, tuple[str, list[bytes], Reader, Any]]:
    """Name -> (file name, seeds, how they are read, how they are mutated)."""
    noise = np.random.default_rng(0)
    picture = noise.integers(0, 255, (24, 32, 3), dtype=np.uint8)
    ids = noise.integers(0, 3, (24, 32), dtype=np.uint8)
    table = IdTable({0: 0, 1: 1, 2: 2, 255: 255})
    images = [_png(picture), _png(picture, format="JPEG"), _png(ids), _png(np.dstack([picture, ids]))]
    palette = Image.fromarray(ids).convert("P")
    stream = io.BytesIO()
    palette.save(stream, format="PNG")

    def image(path: Path) -> str:
        pixels = read_image(path)
        assert pixels.dtype == np.uint8
        assert pixels.shape == (*image_size(path), 3)
        return "read"

    def label(path: Path) -> str:
        assert set(np.unique(table.train_ids(read_ids(path), path, spec="folder:x"))) <= {0, 1, 2, 255}
        return "read"

    def wide(path: Path) -> str:
        assert read_first_channel(path).dtype == np.uint16
        return "read"

    def recipe(path: Path) -> str:
        load_recipe(str(path))
        return "read"

    def description(path: Path) -> str:
        read_description(path)
        return "read"

    recipes = [(resources.files("acclimate") / "recipes" / f"{name}.yaml").read_bytes() for name in recipe_names()]
    described = b"name: mine\nimages: {train: images, val: val}\nlabels: {train: labels}\nclasses: [road, {name: sky, colour: [1, 2, 3]}]\nids: {0: road, 1: sky, 2: void}\n"  # noqa: E501
    found: dict[str, tuple[str, list[bytes], Reader, Any]] = {
        "images": ("image.png", images, image, mutated),
        "labels": ("label.png", [_png(ids), stream.getvalue()], label, mutated),
        "labels of 16 bits": ("label.png", [_png16(chance)], wide, mutated),
        "recipes": ("recipe.yaml", recipes, recipe, mutated_text),
        "descriptions of data": ("dataset.yaml", [described], description, mutated_text),
    }
    return (
        found
        | data_kinds(folder, mutated=mutated, mutated_text=mutated_text)
        | _checkpoints(folder)
        | product_kinds(folder, mutated=mutated, mutated_text=mutated_text)
    )


def _checkpoints(folder: Path) -> dict[str, tuple[str, list[bytes], Reader, Any]]:
    space = class_space("scenes")
    network = build_network(NetworkConfig.parse({"name": "small", "width": 16}), len(space))
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    card = ModelCard(
        network=network.config, classes=space.classes, colours=space.colours, class_space=space.name, seed=3
    )
    save_network(folder / "model.safetensors", network, card=card)
    written_card = load_network(folder / "model.safetensors")[1]

    def model(path: Path) -> str:
        restored, its_card = load_network(path)
        assert its_card == written_card, "a changed card was accepted"
        for key, value in restored.state_dict().items():
            assert torch.equal(value, weights[key]), f"changed weights were accepted: {key}"
        return "unchanged"

    home = folder / "states"
    states = Checkpoints(home)
    tensor = torch.arange(200.0)
    for step in (1, 2):
        states.save(step, {"seconds": 1.0, "images": 4, "method": {"modules": {"w": tensor * step}}})
    good = {path.name: path.read_bytes() for path in home.iterdir()}

    def state(path: Path) -> str:
        for name, content in good.items():
            (home / name).write_bytes(content)
        place = "state-00000002.pt" if path.suffix == ".pt" else "state-00000002.json"
        (home / place).write_bytes(path.read_bytes())
        restored = states.newest()
        assert restored is not None, "the older state was not used"
        assert torch.equal(restored["method"]["modules"]["w"], tensor * restored["step"]), (
            "a changed state was accepted"
        )
        if restored["step"] == 1:
            raise UserError("refused, the older one is used")
        return "unchanged"

    histogram = ScoreHistogram(3, "entropy")
    histogram.add(torch.arange(90, dtype=torch.uint8) % 3, torch.rand(90, generator=torch.Generator().manual_seed(0)))
    save_histograms(folder / "pass.safetensors", {"entropy": histogram}, progress={"images": "7"})

    def histograms(path: Path) -> str:
        restored, progress = load_histograms(path)
        assert progress == {"images": "7"}, "a changed place was accepted"
        assert torch.equal(restored["entropy"].counts, histogram.counts), "changed counts were accepted"
        return "unchanged"

    tally = {"images": 3, "invalid": 0, "change": [1, 2, 3], "quality": {}}
    write_verified_json(folder / "second-pass.json", tally)

    def second(path: Path) -> str:
        assert json.dumps(read_verified_json(path), sort_keys=True) == json.dumps(tally, sort_keys=True)
        return "unchanged"

    def of(name: str, reader: Reader, what: bytes | None = None) -> tuple[str, list[bytes], Reader, Any]:
        return name, [what if what is not None else (folder / name).read_bytes()], reader, mutated

    return {
        "checkpoints of networks": of("model.safetensors", model),
        "checkpoints of runs": of("state.pt", state, good["state-00000002.pt"]),
        "their checksums": of("state.json", state, good["state-00000002.json"]),
        "labelling, first pass": of("pass.safetensors", histograms),
        "labelling, second pass": of("second-pass.json", second),
    }


def fuzz(folder: Path, *, count: int, seed: int) -> dict[str, Tried]:
    """Tries ``count`` mutants, shared out over the kinds."""
    chance = random.Random(seed)
    everything = kinds(folder, chance)
    results = {}
    for name, (file, seeds, reader, mutate) in everything.items():
        tried = results[name] = Tried()
        mutants = folder / "mutants" / name.replace(" ", "-")
        mutants.mkdir(parents=True, exist_ok=True)
        for _ in range(-(-count // len(everything))):
            content = mutate(chance.choice(seeds), chance)
            (mutants / file).write_bytes(content)
            outcome, fault = _tried(reader, mutants / file)
            tried.outcomes[outcome] += 1
            if fault:
                tried.faults.append(fault)
                (mutants / f"fault-{len(tried.faults)}-{file}").write_bytes(content)
    return results


def _tried(reader: Reader, path: Path) -> tuple[str, str]:
    def late(number: int, frame: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return reader(path), ""
    except UserError:
        return "refused", ""
    except Hang:
        return "hang", f"more than {SECONDS} s"
    except AssertionError as error:
        return "accepted damage", str(error)
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def table(results: dict[str, Tried]) -> str:
    """The results as Markdown."""
    columns = ("read", "unchanged", "refused", "accepted damage", "traceback", "hang")
    lines = [f"| mutants of | tried | {' | '.join(columns)} |", "|---" * (2 + len(columns)) + "|"]
    for name, tried in results.items():
        cells = " | ".join(str(tried.outcomes[column]) for column in columns)
        lines.append(f"| {name} | {tried.outcomes.total()} | {cells} |")
    total: Counter[str] = sum((tried.outcomes for tried in results.values()), Counter())
    lines.append(f"| all | {total.total()} | {' | '.join(str(total[column]) for column in columns)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=at_least_one, default=2400, help="mutants in all")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.getLogger("acclimate").setLevel(logging.ERROR)  # each damaged state and stage is warned of
    with tempfile.TemporaryDirectory() as folder:
        results = fuzz(Path(folder), count=arguments.count, seed=arguments.seed)
    print(table(results))
    faults = [f"{name}: {fault}" for name, tried in results.items() for fault in tried.faults]
    print(*dict.fromkeys(faults), sep="\n", file=sys.stderr)
    sys.exit(bool(faults))


if __name__ == "__main__":
    run_script(main)
