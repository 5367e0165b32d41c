"""Nothing that is read can run code: no call in the package that could, and files that try do nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import acclimate
from acclimate.data.readers.files import read_image
from acclimate.errors import UserError
from acclimate.io.images import MAX_PIXELS
from acclimate.models.checkpoint import load_network
from acclimate.models.weights import read_tensors
from acclimate.pseudo.histogram import load_histograms
from acclimate.pseudo.store import label_path

PACKAGE = Path(acclimate.__file__).parent
FORBIDDEN = {
    "eval", "exec", "compile", "__import__",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open", "dill.load",
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.safe_load_all",
    "os.system", "os.popen", "joblib.load", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter",
}  # fmt: skip


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def offences(source: str) -> list[str]:
    """The calls in a source that could run code from a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in ("pickle", "marshal", "shelve", "dill", "joblib"):
            found.extend(f"from {node.module} import {name.name}" for name in node.names)
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}

        def says(key: str, value: bool, keywords: dict[str | None, ast.expr] = keywords) -> bool:
            given = keywords.get(key)
            return isinstance(given, ast.Constant) and given.value is value

        if (
            name in FORBIDDEN
            or (name == "torch.load" and not says("weights_only", True))
            or (name in ("np.load", "numpy.load") and not says("allow_pickle", False))
            or says("allow_pickle", True)
            or says("weights_only", False)
            or (name.startswith("subprocess.") and says("shell", True))
            or name.endswith((".extractall", ".extract"))
        ):
            found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_call_that_could_run_code(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    ["pickle.load(f)", "from pickle import loads", "torch.load(p)", "torch.load(p, weights_only=False)", "eval(x)",
     "np.load(p)", "yaml.load(t, Loader=yaml.Loader)", "zipfile.ZipFile(p).extractall()"],
)  # fmt: skip
def test_the_scan_sees(source: str) -> None:
    assert offences(source)
    assert not offences("torch.load(p, weights_only=True)\nnp.load(p, mmap_mode='r', allow_pickle=False)")


@pytest.mark.parametrize("reader", [load_network, read_tensors, load_histograms, read_image])
def test_a_pickle_in_the_place_of_any_file_does_nothing(reader: object, tmp_path: Path) -> None:
    import os
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "crater"),)

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UserError, match=r"model\.safetensors"):
        reader(path)  # type: ignore[operator]
    assert not (tmp_path / "crater").exists()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a//b", ".", "a/..", "a\\..\\x", "C:/x", "a\0b"])
def test_names_cannot_leave_their_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot become a file"):
        label_path(tmp_path, name)


def test_a_linked_folder_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "labels/town").symlink_to(tmp_path / "outside", target_is_directory=True)
    with pytest.raises(UserError, match="leads out"):
        label_path(tmp_path, "town/a")


def bomb(path: Path, side: int) -> Path:
    """A picture of one colour: a few kilobytes that would fill side * side * 3 bytes of memory."""
    Image.new("1", (side, side)).save(path, format="PNG")
    return path


def test_image_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.png", 20_000)
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match=r"bomb\.png .*exceeds limit"):  # Pillow's own limit
        read_image(path)
    with pytest.raises(UserError, match=r"bomb\.png has 11000x11000 pixels, more than the 100 million"):
        read_image(bomb(path, 11_000))


def test_the_limit_is_the_documented_one() -> None:
    docs = Path(__file__).parents[1] / "docs" / "reliability.md"
    assert f"{MAX_PIXELS // 10**6} million pixels" in docs.read_text(encoding="utf-8")


def test_text_from_data_is_escaped_in_the_page(tmp_path: Path) -> None:
    from acclimate.io.files import write_json, write_text
    from acclimate.report.page import write_report

    evil = "<script>alert(1)</script>"
    pictures = tmp_path / "run/1-scores/pictures"
    pictures.mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(pictures / "p.png")
    picture = Image.new("RGB", (4, 4))
    ImageDraw.Draw(picture).point((1, 1), fill=(255, 0, 0))
    picture.save(pictures / "i.jpg")
    image = {"domain": evil, "name": evil, "input": "i.jpg", "label": None, "models": {evil: {"prediction": "p.png"}}}
    write_json(pictures / "index.json", {"classes": [evil], "colours": [[1, 2, 3]], "images": [image]})
    write_text(tmp_path / "run/recipe.yaml", f"name: '{evil}'\nabout: '{evil}'\n")
    write_report([tmp_path / "run"], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page
