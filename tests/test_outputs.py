"""acclimate replaces and removes only what it wrote, and writes into no data that it reads: every option that names
a place to write to."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from acclimate.cli.app import app
from acclimate.data.places import places_read
from acclimate.data.registry import open_dataset
from acclimate.errors import UserError
from acclimate.io.outputs import MARK, FolderKind, claim_file, claim_folder
from acclimate.models.checkpoint import ModelCard, save_network
from acclimate.models.config import NetworkConfig
from acclimate.models.registry import build_network

CLASSES = ("road", "sky", "car")
RECIPE = """
name: tiny
source: folder:data/dataset.yaml
target: folder:other/dataset.yaml
protocol: own
network: {name: small, width: 8}
training: {steps: 1, batch_size: 1, precision: 32-true}
stages: {base: {train: source_only}}
"""


def write_data(folder: Path) -> None:
    for part in ("images", "labels"):
        (folder / part / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a", "deep/b"):
        Image.fromarray(rng.integers(0, 255, (32, 48, 3), dtype=np.uint8)).save(folder / f"images/{name}.png")
        Image.fromarray(rng.integers(0, 3, (32, 48), dtype=np.uint8)).save(folder / f"labels/{name}.png")
    classes = ", ".join(CLASSES)
    (folder / "dataset.yaml").write_text(f"name: own\nimages: images\nlabels: labels\nclasses: [{classes}]\n")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    for name in ("data", "other"):
        write_data(folder / name)
    network = build_network(NetworkConfig.parse({"name": "small", "width": 8}), len(CLASSES))
    colours = ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    card = ModelCard(network=network.config, classes=CLASSES, colours=colours, class_space="own", input_size=(48, 32))
    save_network(folder / "model.safetensors", network, card=card)
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "mine").mkdir()
    (folder / "mine/notes.csv").write_text("the user's")
    (folder / "mine/.secret.tmp").write_text("the user's")
    return folder


@pytest.fixture
def home(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a user's: two data sets, a model, a recipe and other things."""
    home = tmp_path / "home"
    shutil.copytree(original, home)
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return home


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


SPEC, OTHER, MODEL = "folder:data/dataset.yaml", "folder:other/dataset.yaml", "model.safetensors"
TRANSLATE = ("translate", "--source", SPEC, "--target", OTHER, "--translator", "histogram", "-o")
FOLDERS = {
    "run": ("run", "recipe.yaml", "-o"),
    "label": ("label", MODEL, "--data", SPEC, "-o"),
    "translate": TRANSLATE,
    "predict": ("predict", MODEL, "data/images", "-o"),
    "store": ("run", "recipe.yaml", "-o", "out", "--store"),
    "stats --store": ("stats", SPEC, "--store"),
}
PLACES = ("data/images", "data/images/out", "data/images/deep/x/y", "data/labels", "data", ".", "mine", MODEL)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("verb", FOLDERS)
def test_no_folder_of_the_users_is_written_to(verb: str, place: str, home: Path) -> None:
    if verb == "predict" and place == "data/labels":
        pytest.skip("predict does not read the labels; see below")
    before = contents(home)
    done = CliRunner().invoke(app, [*FOLDERS[verb], place])
    assert isinstance(done.exception, UserError), done.output
    after = contents(home)
    if verb == "store":  # the run's own folder was claimed before
        after.pop(f"out/{MARK}", None)
    assert after == before


def test_predictions_never_replace_labels(home: Path) -> None:
    before = contents(home)
    done = CliRunner().invoke(app, ["predict", MODEL, "data/images", "-o", "data/labels"])
    assert isinstance(done.exception, UserError)
    assert "acclimate did not write" in str(done.exception)
    assert contents(home) == before


FILES = {
    "evaluate": ("evaluate", MODEL, "--data", SPEC, "--split", "train", "--json"),
    "spatial priors": ("stats", SPEC, "--spatial-priors"),
    "export": ("export", MODEL, "-o"),
}


@pytest.mark.parametrize(
    "place", [MODEL, "data/images/a.png", "data/labels/deep/b.png", "recipe.yaml", "mine/notes.csv"]
)
@pytest.mark.parametrize("verb", FILES)
def test_no_file_of_the_users_is_replaced(verb: str, place: str, home: Path) -> None:
    suffix = {"spatial priors": ".png", "export": ".pt2"}.get(verb, "")
    if suffix:  # a file of that name, whatever it is in truth
        named = home / f"{place}{suffix}" if not place.endswith(suffix) else home / place
        if named != home / place:
            shutil.copy(home / place, named)
        place = str(named.relative_to(home))
    before = contents(home)
    done = CliRunner().invoke(app, [*FILES[verb], place])
    assert isinstance(done.exception, UserError), done.output
    assert contents(home) == before


@pytest.mark.parametrize("verb", FILES)
def test_nothing_new_is_put_into_data_that_are_read(verb: str, home: Path) -> None:
    if verb == "export":
        pytest.skip("reads no data")
    before = contents(home)
    done = CliRunner().invoke(app, [*FILES[verb], "data/images/deep/new.png"])
    assert isinstance(done.exception, UserError), done.output
    assert "lies within data that are read" in str(done.exception)
    assert contents(home) == before


def test_what_acclimate_wrote_it_may_write_again(home: Path) -> None:
    run = CliRunner().invoke
    for _ in range(2):
        for arguments in (
            ["label", MODEL, "--data", SPEC, "-o", "labels"],
            [*TRANSLATE, "translated"],
            ["predict", MODEL, "data/images", "-o", "predictions"],
            ["evaluate", MODEL, "--data", SPEC, "--split", "train", "--json", "scores.json"],
            ["stats", SPEC, "--spatial-priors", "priors.png"],
        ):
            done = run(app, arguments)
            assert done.exit_code == 0, (arguments, done.output, done.exception)
    assert {path.parent.name for path in home.rglob(MARK)} == {"labels", "translated", "predictions"}
    done = run(app, ["predict", MODEL, "data/images", "-o", "labels"])
    assert "holds what `acclimate label` wrote" in str(done.exception)
    # each is recognised as what it is, not only as ours
    done = run(app, ["evaluate", MODEL, "--data", SPEC, "--split", "train", "--json", "priors.png"])
    assert "is no file of scores" in str(done.exception)


def test_outputs_beside_data_are_no_data(home: Path) -> None:
    """In a folder that is searched for another command: what acclimate wrote there is left out."""
    done = CliRunner().invoke(app, ["predict", MODEL, "other/images", "-o", "data/images/predictions"])
    assert done.exit_code == 0, done.exception
    assert list(open_dataset(SPEC).names) == ["a", "deep/b"]


def test_what_is_read_is_known_by_the_folders_that_were_searched(home: Path) -> None:
    found = places_read(open_dataset(SPEC), None)
    assert {str(path) for path in found} >= {"data/images", "data/labels", "data/dataset.yaml"}
    assert places_read(open_dataset("scenes:render,images=1,size=64x32")) == []


def test_a_folder_with_notes_alone_is_as_good_as_empty(tmp_path: Path) -> None:
    for name in ("log.txt", "slurm-1.out", ".DS_Store", "log"):
        (tmp_path / name).write_text("x")
    claim_folder(tmp_path, "run")
    assert json.loads((tmp_path / MARK).read_text())["kind"] == "run"


@pytest.mark.parametrize(
    ("kind", "names"),
    [("run", ("recipe.yaml", "environment.json")), ("label", ("started.json",)), ("translate", ("identity.json",))],
)
def test_outputs_of_an_early_version_are_taken_over(kind: str, names: tuple[str, ...], tmp_path: Path) -> None:
    for name in (*names, "more.png"):
        (tmp_path / name).write_text("{}")
    claim_folder(tmp_path, kind)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"acclimate {kind}"):
        claim_folder(tmp_path, "predict")


def test_links_do_not_hide_where_a_place_is(home: Path) -> None:
    (home / "elsewhere").symlink_to(home / "data/images", target_is_directory=True)
    with pytest.raises(UserError, match="within data"):
        claim_folder(home / "elsewhere/out", "label", reads=[home / "data/images"])
    with pytest.raises(UserError, match="within data"):
        claim_file(home / "elsewhere/x.json", "scores", reads=[home / "data/images"])


def test_devices_folders_and_links_that_lead_nowhere_are_no_files_to_write(tmp_path: Path) -> None:
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "broken", tmp_path / "folder", tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UserError, match="no ordinary file"):
            claim_file(place, "scores")


def test_names_that_are_no_utf_8_are_refused_at_once(tmp_path: Path) -> None:
    for claim in (lambda path: claim_folder(path, "run"), lambda path: claim_file(path, "scores")):
        with pytest.raises(UserError, match="not UTF-8"):
            claim(tmp_path / "\udcff")
    assert list(tmp_path.iterdir()) == []


def test_a_kill_while_the_mark_is_written_leaves_a_folder_that_can_be_claimed(tmp_path: Path) -> None:
    for kind in get_args(FolderKind):
        home = tmp_path / kind
        home.mkdir()
        (home / "..acclimate.json.acclimate-1-00000000.tmp").write_text('{"progr')
        claim_folder(home, kind)
        assert [path.name for path in home.iterdir()] == [".acclimate.json"]


def test_leftovers_are_swept_when_a_place_is_claimed(tmp_path: Path) -> None:
    for folder in ("a", "a/deep", "b", "b/deep"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ".x.png.acclimate-1-00000000.tmp").write_text("half")
        (tmp_path / folder / ".mine.tmp").write_text("the user's")
    claim_folder(tmp_path / "a", "label")
    claim_file(tmp_path / "b/x.png", "picture")
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.tmp"))
    assert left == [
        "a/.mine.tmp",
        "a/deep/.mine.tmp",
        "b/.mine.tmp",
        "b/deep/.mine.tmp",
        "b/deep/.x.png.acclimate-1-00000000.tmp",
    ]
