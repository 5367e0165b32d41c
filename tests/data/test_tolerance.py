from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.data.registry import open_dataset
from acclimate.data.tolerance import without_bad_files
from acclimate.errors import UserError
from acclimate.pipeline.recipe_run import opened as open_sets
from acclimate.pipeline.run import Run, run
from acclimate.recipe.load import load_recipe

BAD = {"b", "e", "g", "h"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten pictures: one truncated, one empty, one label with an unknown id, one without its label."""
    generator = np.random.default_rng(0)
    for name in "abcdefghij":
        for folder, shape, top in (("images", (32, 64, 3), 255), ("labels", (32, 64), 2)):
            (tmp_path / folder).mkdir(exist_ok=True)
            values = generator.integers(0, top, shape, dtype=np.uint8)
            Image.fromarray(values).save(tmp_path / folder / f"{name}.png")
    content = (tmp_path / "images/b.png").read_bytes()
    (tmp_path / "images/b.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "images/e.png").write_bytes(b"")
    Image.fromarray(np.full((32, 64), 77, dtype=np.uint8)).save(tmp_path / "labels/g.png")
    (tmp_path / "labels/h.png").unlink()
    (tmp_path / "data.yaml").write_text(
        "images: {train: images, val: images}\nlabels: {train: labels, val: labels}\nclasses: [road, sky]\n"
    )
    return tmp_path


def test_what_cannot_be_read_is_left_out_and_listed(data: Path, tmp_path: Path) -> None:
    opened = open_dataset(f"folder:{data}/data.yaml", tolerant=True)
    part, lines = without_bad_files(opened, cap=0.5, folder=tmp_path / "kept")
    assert set(part.names) == set("abcdefghij") - BAD
    assert [line.partition(":")[0] for line in lines] == sorted(BAD)
    assert "77" in lines[2]
    kept = next((tmp_path / "kept").iterdir())
    before = kept.stat().st_mtime_ns
    again, same = without_bad_files(opened, cap=0.5, folder=tmp_path / "kept")
    assert (again.names, same) == (part.names, lines)
    assert kept.stat().st_mtime_ns == before, "looked at once"
    kept.write_text(kept.read_text().replace('"1"', '"2"'))
    assert without_bad_files(opened, cap=0.5, folder=tmp_path / "kept")[1] == lines, "damage is looked at again"


def test_more_than_the_cap_is_refused(data: Path, tmp_path: Path) -> None:
    opened = open_dataset(f"folder:{data}/data.yaml", tolerant=True)
    with pytest.raises(UserError, match=r"4 of 10 images cannot be used, more than bad_data_cap=0\.3 allows.*check"):
        without_bad_files(opened, cap=0.3, folder=tmp_path / "kept")


def recipe(data: Path, **changes: object) -> str:
    content = {
        "name": "tiny",
        "source": f"folder:{data}/data.yaml",
        "target": f"folder:{data}/data.yaml",
        "network": {"name": "small", "width": 16},
        "training": {
            "steps": 3, "batch_size": 2, "precision": "32-true",
            "source_transform": {"size": [64, 32]}, "target_transform": {"size": [64, 32]},
        },
        "stages": {
            "base": {"train": "source_only"},
            "labels": {"label": "base"},
            "ssl": {"train": "source_only", "pseudo_labels": "labels"},
            "scores": {"evaluate": ["ssl"], "pictures": 1},
        },
        **changes,
    }  # fmt: skip
    path = data / "recipe.yaml"
    path.write_text(json.dumps(content))
    return str(path)


def test_a_whole_recipe_on_bad_data(data: Path, tmp_path: Path) -> None:
    loaded, origins = load_recipe(recipe(data, bad_data="skip", bad_data_cap=0.5))
    rows = run(loaded, Run(output=tmp_path / "runs/a"), origins=origins)
    assert rows[0].images == 6
    for folder in ("", "1-base", "2-labels", "3-ssl", "4-scores-ssl"):
        listed = json.loads((tmp_path / "runs/a" / folder / "skipped.json").read_text())
        assert {key: len(lines) for key, lines in listed.items()} == {"source": 4, "target": 4, "evaluation": 4}
    done = json.loads((tmp_path / "runs/a/1-base/done.json").read_text())
    assert done["skipped"] == {"source": 4, "target": 4, "evaluation": 4}
    assert len(list((tmp_path / "runs/a/2-labels/labels").iterdir())) == 6


def test_stopping_is_the_default(data: Path) -> None:
    loaded, _ = load_recipe(recipe(data))
    assert loaded.bad_data == "stop"
    with pytest.raises(UserError, match=r"h\.png|acclimate check"):
        open_sets(loaded)
