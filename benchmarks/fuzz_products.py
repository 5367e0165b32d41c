"""What stages leave and later ones read, for ``fuzz.py`` to damage: detectors, translators, done files, results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from acclimate.detection.checkpoint import DetectorCard, load_detector, save_detector
from acclimate.detection.config import DetectorConfig
from acclimate.detection.networks import build_detector
from acclimate.errors import UserError
from acclimate.evaluation.scores import read_results, read_scores
from acclimate.io.checksums import write_verified_json
from acclimate.models.modules import load_modules, save_modules
from acclimate.pipeline.store import Store
from acclimate.translation.apply import load_generator, save_translator
from acclimate.translation.cyclegan import CycleGan
from acclimate.translation.settings import CycleGanOptions
from fuzz_data import Kind


class _WithModule:
    """A method that keeps a module for the next round."""

    def __init__(self) -> None:
        self.classifier = torch.nn.Linear(7, 5)

    def saved_modules(self) -> dict[str, torch.nn.Module]:
        return {"classifier": self.classifier}


def product_kinds(folder: Path, *, mutated: Any, mutated_text: Any) -> dict[str, Kind]:
    """Name -> what is damaged and how it is read.

    Args:
        folder: for the files around the damaged one.
        mutated: damages bytes.
        mutated_text: damages lines.
    """
    config = DetectorConfig(name="light-ssd")
    card = DetectorCard(
        network=config, classes=("car", "man"), colours=((1, 2, 3), (4, 5, 6)), class_space="x", input_size=(64, 64)
    )
    save_detector(folder / "detector.safetensors", build_detector(config, 2), card=card)
    options = CycleGanOptions(width=4, blocks=1, discriminator_width=4)
    translator = CycleGan(options, learning_rate=0.1, discriminator_learning_rate=0.1)
    save_translator(folder / "translator.safetensors", translator, note={"seed": 0})
    save_modules(folder / "modules.safetensors", _WithModule())

    def restored(path: Path) -> Mapping[str, torch.Tensor]:
        method = _WithModule()
        load_modules(path, method)
        return method.classifier.state_dict()

    def verified(name: str, load: Callable[[Path], Mapping[str, torch.Tensor]]) -> Kind:
        wanted = {key: value.clone() for key, value in load(folder / name).items()}

        def read(mutant: Path) -> str:
            found = load(mutant)
            assert found.keys() == wanted.keys(), "other contents were accepted"
            assert all(torch.equal(found[key], wanted[key]) for key in wanted), "changed contents were accepted"
            return "unchanged"

        return name, [(folder / name).read_bytes()], read, mutated

    row = {
        "name": "advent", "stage": "2-advent", "method": "advent", "seed": 0, "data": "scenes:camera", "split": "val",
        "images": 6, "protocol": "scenes", "miou": 0.5, "classes_averaged": 1, "iou": {"road": 0.5, "sky": None},
    }  # fmt: skip
    content = {"schema": 1, "rows": [row], "environment": {}}

    def results(path: Path) -> str:
        read_results(path)
        return "read"

    write_verified_json(folder / "scores.json", content)

    def scores(path: Path) -> str:
        found = read_scores(path)
        # without its checksum a file is one of an early version, which is read as it is
        if "sha256" in json.loads(path.read_bytes()):
            assert [each.model_dump(exclude_unset=True) for each in found] == [row], "changed scores were accepted"
        return "read"

    return {
        "detectors": verified("detector.safetensors", lambda path: load_detector(path)[0].state_dict()),
        "translators": verified("translator.safetensors", lambda path: load_generator(path).state_dict()),
        "modules of methods": verified("modules.safetensors", restored),
        "finished stages": _finished_stage(folder, mutated),
        "results": ("results.json", [json.dumps(content, indent=1).encode()], results, mutated_text),
        "scores": ("scores.json", [(folder / "scores.json").read_bytes()], scores, mutated),
    }


def _finished_stage(folder: Path, mutated: Any) -> Kind:
    """``done.json`` and a product whose checksum it holds: where one is damaged, the stage is not done."""
    store = Store(folder / "store")
    with store.working_on("train-x", {}) as stage:
        (stage / "model.bin").write_bytes(bytes(range(256)))
        store.finish("train-x", {"steps": 10}, ["model.bin"])
    good = {name: (stage / name).read_bytes() for name in ("done.json", "model.bin")}

    def read(mutant: Path) -> str:
        damaged = mutant.read_bytes()
        for name in good:
            for each, whole in good.items():
                (stage / each).write_bytes(damaged if each == name else whole)
            found = store.finished("train-x")
            assert found in (None, {"steps": 10}), "another summary was accepted"
            assert found is None or name == "done.json" or damaged == good[name], "a changed model was accepted"
            if found is not None:
                return "unchanged"
        raise UserError("the stage is not done")

    return "done.json", list(good.values()), read, mutated
