"""The YAML and Python of the documentation is real; links lead somewhere; files named exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_pages import OWN_DATA, PAGES, ROOT, Block, all_blocks, anchors, links, page_name
from reader_workspace import write_ids, write_picture

import acclimate
from acclimate.bench.suite import plan
from acclimate.data.readers.folder import Folder, read_description
from acclimate.recipe.load import load_recipe, merged

SURROUNDINGS = {"name": "excerpt", "network": {"name": "small"}, "stages": {"source-only": {"train": "source_only"}}}
"""What an excerpt of a recipe is read in."""


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_yaml_is_valid(block: Block, workspace: Path) -> None:
    content = yaml.safe_load(block.text)
    path = workspace / "block.yaml"
    if block.title == "excerpt":
        network = content.get("network", SURROUNDINGS["network"])
        path.write_text(
            yaml.safe_dump({**merged(SURROUNDINGS, content), "network": network}, sort_keys=False), encoding="utf-8"
        )
        load_recipe(str(path))
    elif "images" in content:
        path.write_text(block.text, encoding="utf-8")
        (workspace / "labelmap.txt").write_text("background:0,0,0::\nroad:128,64,128::\n")  # as CVAT exports it
        read_description(path)
    elif "entries" in content:
        path.write_text(block.text, encoding="utf-8")
        planned = plan(str(path))
        assert Path(block.title).stem == planned.suite.name
    else:
        path.write_text(block.text, encoding="utf-8")
        recipe, _ = load_recipe(str(path))
        assert Path(block.title).stem == recipe.name
    assert block.title.endswith(".yaml") or block.title == "excerpt"


def test_readme_describes_the_same_data_as_the_page() -> None:
    described: dict[str, list[Any]] = {}
    for block in all_blocks("yaml"):
        if block.page in (ROOT / "README.md", OWN_DATA) and block.title != "dataset.yaml":
            described.setdefault(block.title, []).append(yaml.safe_load(block.text))
    assert len(described["renders/dataset.yaml"]) == 2
    assert described["renders/dataset.yaml"][0] == described["renders/dataset.yaml"][1]


def test_the_description_with_patterns_finds_files_named_as_cityscapes_names_them(tmp_path: Path) -> None:
    block = next(b for b in all_blocks("yaml") if b.title == "dataset.yaml" and "leftImg8bit" in b.text)
    (tmp_path / "dataset.yaml").write_text(block.text, encoding="utf-8")
    for split in ("train", "val"):
        write_picture(tmp_path / f"leftImg8bit/{split}/ulm/ulm_000001_000019_leftImg8bit.png")
        write_ids(tmp_path / f"gtFine/{split}/ulm/ulm_000001_000019_gtFine_labelIds.png", (0, 7, 26))
        write_picture(tmp_path / f"gtFine/{split}/ulm/ulm_000001_000019_gtFine_color.png")
    dataset = Folder(tmp_path / "dataset.yaml", split="val")
    assert dataset.class_space.name == "cityscapes-19"
    assert set(dataset.label(0).flat) == {255, 0, 13}  # void, road, car


PYTHON = all_blocks("python")


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_compiles_and_uses_public_names(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "acclimate":
            assert node.attr in acclimate.__all__


@pytest.mark.parametrize("block", [b for b in PYTHON if b.mark == "run"], ids=str)
def test_python_runs(block: Block, workspace: Path) -> None:
    exec(compile(block.text, str(block), "exec"), {"__name__": "block_of_a_page"})


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), f"{link}: no such file"
        assert not anchor or anchor in anchors(linked), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_source_files_named_exist_and_hold_what_is_named(page: Path) -> None:
    package = ROOT / "src" / "acclimate"
    for path, name in re.findall(r"`((?:\w+/)+\w+\.py)`(?:: `(\w+)`)?", page.read_text(encoding="utf-8")):
        source = next(
            (file for file in (package / path.removeprefix("src/acclimate/"), ROOT / path) if file.is_file()), None
        )
        assert source is not None, f"{path}: no such file"
        if name:
            assert re.search(rf"\b{name}\b", source.read_text(encoding="utf-8")), f"{path} has no {name}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_pages_speak_of_the_project_alone(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    strange = re.findall(r"/(?:work|home|root|tmp|Users)/\S*|localhost\S*|\b\d{1,3}(?:\.\d{1,3}){3}\b", text)
    assert not strange


def test_links_and_headings_are_found() -> None:
    assert "options-of-a-selection" in anchors(ROOT / "docs" / "methods" / "ssl-esl.md")
    assert "docs/recipes.md" in links(ROOT / "README.md")
