from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_run import write_run, write_unlabelled_run

from acclimate.report.page import write_report
from acclimate.report.pseudo_labels import pseudo_label_tables

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Outline(HTMLParser):
    """Tags, their attributes, and the text of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.scripts = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts += data
        elif self._inside != "style":
            self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(run: Path) -> str:
    write_report([run], run / "report.html")
    return (run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = write_run(tmp_path_factory.mktemp("runs") / "demo")
    recipe = run / "recipe.yaml"
    recipe.write_text(
        recipe.read_text()
        + "published: [{name: advent, miou: 43.8, source: 'ADVENT, table 1a'}, {name: esl, miou: 45.9}]\n"
    )
    return page(run)


def test_the_page_shows_numbers_words_curves_and_every_model_of_every_image(text: str) -> None:
    outline = Outline(text)
    assert "The best of 2 adapting models, advent" in outline.words
    assert "without ground truth, left out: boat" in outline.words
    assert "ADVENT, table 1a" in outline.words
    assert "not run" in outline.words
    assert "acclimate run recipe.yaml -o runs/demo" in outline.words
    pictures = [(image.get("data-view"), image.get("data-model")) for image in outline.all("img")]
    for model in ("source-only", "minent", "advent", "oracle"):
        assert pictures.count(("prediction", model)) == 5
        assert pictures.count(("entropy", model)) == 5
    assert pictures.count(("input", "")) == pictures.count(("label", "")) == 5
    curves = [attributes.get("data-model") for attributes in outline.all("path")]
    assert curves.count("advent") == 4  # segmentation, adversarial, discriminator, learning rate
    assert curves.count("source-only") == 2


def test_the_page_is_self_contained(text: str) -> None:
    outline = Outline(text)
    for tag, attributes in outline.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name)
            assert not value or value.startswith(("data:", "#")), f"<{tag} {name}={value[:60]!r}>"
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(text) < 5_000_000


def test_the_policy_allows_exactly_our_script(text: str) -> None:
    (policy,) = [m["content"] or "" for m in Outline(text).all("meta") if m.get("http-equiv")]
    digest = base64.b64encode(hashlib.sha256(Outline(text).scripts.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert len(Outline(text).all("script")) == 1


def test_pictures_and_controls_have_names(text: str) -> None:
    outline = Outline(text)
    for image in outline.all("img"):
        if image.get("data-view"):
            assert image["alt"]
            assert image["width"]
            assert image["height"]
    assert all(svg.get("aria-label") for svg in outline.all("svg"))
    assert all(control.get("aria-label") for control in outline.all("input"))


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", models={HOSTILE: 0.3, "source-only": 0.4}, target_images=1, source_images=0)
    for path in run.rglob("*.json"):
        path.write_text(path.read_text().replace("sequence/00000", "<b>&'").replace('"person"', '"<i>person</i>"'))
    (run / "recipe.yaml").write_text(
        json.dumps({"about": HOSTILE, "published": [{"name": HOSTILE, "miou": 1, "source": HOSTILE}]})
    )
    (run / "environment.json").write_text(json.dumps({HOSTILE: HOSTILE, "seeds": [HOSTILE, 1]}))
    (run / "1-label").mkdir()
    (run / "1-label" / "manifest.json").write_text(
        json.dumps({"classes": [HOSTILE, "b"], "thresholds": [0.1, 0.2], HOSTILE: HOSTILE})
    )
    (run / "1-label" / "history.csv").write_text(f'step,"{HOSTILE.replace(chr(34), chr(34) * 2)}"\n1,2\n')
    text = page(run)
    outline = Outline(text)
    assert len(outline.all("script")) == 1
    assert all(image.get("src") != "x" for image in outline.all("img"))
    assert not outline.all("b")
    assert not [a for _, a in outline.tags if any(name.startswith("on") for name in a)]
    assert outline.words.count("<script>alert('x')</script>") >= 6
    assert "<i>person</i>" in outline.words


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", target_images=1, source_images=0)
    assert page(run) == page(run)


def test_several_seeds_are_averaged_and_pictured_once(tmp_path: Path) -> None:
    outline = Outline(page(write_run(tmp_path / "run", seeds=(3, 4), target_images=1, source_images=0)))
    assert "over up to 2 seeds" in outline.words
    assert re.search(r"\d+\.\d ± \d+\.\d", outline.words)
    assert [i.get("data-model") for i in outline.all("img")].count("advent") == 3  # prediction, entropy, errors
    assert [p.get("data-model") for p in outline.all("path")].count("minent") == 6  # three columns, two seeds
    assert "--seeds 3,4" in outline.words


def test_a_label_stage_shows_its_manifest(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", target_images=1, source_images=0)
    (run / "3-label").mkdir()
    manifest = {
        "classes": ["road", "car"], "confidence": "entropy", "thresholds": [0.1, 0.25],
        "kept": {"road": 0.9, "car": None}, "quality": {"wrong share": {"road": 0.01, "car": 0.2}, "overall": 0.05},
        "files": ["a.png"] * 500,
    }  # fmt: skip
    (run / "3-label" / "manifest.json").write_text(json.dumps(manifest))
    assert "3-label" in Outline(page(run)).words
    table = pseudo_label_tables(manifest)
    assert table.columns == ["thresholds", "kept", "quality: wrong share"]
    assert table.rows == [("road", ["0.1", "0.9", "0.01"]), ("car", ["0.25", "–", "0.2"])]
    assert table.facts == [("confidence", "entropy"), ("quality: overall", "0.05")]


def test_a_run_without_labels_shows_what_can_be_known(tmp_path: Path) -> None:
    run = write_unlabelled_run(tmp_path / "mine")
    outline = Outline(page(run))
    assert "Nothing has been evaluated yet" not in outline.words
    assert "Nothing measured without labels speaks against dacs" in outline.words
    assert "That is no proof" in outline.words
    assert "The domains' colours are far apart" in outline.words
    assert "60 grey levels apart on average" in outline.words
    assert "oracle" not in outline.words
    views = [image.get("data-view") for image in outline.all("img") if image.get("data-model") == "dacs"]
    assert views == ["prediction", "entropy", "difference"] * 2
    assert "errors" not in [image.get("data-view") for image in outline.all("img")]
    assert len([image for image in outline.all("img") if "steps of" in (image.get("alt") or "")]) == 2 * 3
    for command in ("predict", "evaluate", "export"):
        assert f"acclimate {command} {run.as_posix()}/2-dacs/model.safetensors" in outline.words
    assert "Healthy: it falls fast" in outline.words


def test_a_model_that_is_likely_worse_is_said_first_and_source_only_is_the_one_to_use(tmp_path: Path) -> None:
    run = write_unlabelled_run(tmp_path / "mine")
    path = run / "examined" / "2-dacs" / "signals.json"
    signals = json.loads(path.read_text())
    signals["target"]["predicted"] |= {"road": 0.0, "car": 0.0, "vegetation": 0.45}
    path.write_text(json.dumps(signals))
    outline = Outline(page(run))
    lead = outline.words.index("dacs is likely worse than source-only: it hardly predicts road and car")
    assert lead < outline.words.index("Before and after")
    assert f"acclimate predict {run.as_posix()}/1-source-only/model.safetensors" in outline.words
    assert "2-dacs/model.safetensors" in outline.words


def test_empty_columns_and_marks_of_nobody_are_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", models={"source-only": 0.4, "advent": 0.2}, target_images=1, source_images=0)
    words = Outline(page(run)).words
    assert "gap to oracle" not in words
    assert "Vertical mark: source-only." in words
    content = json.loads((run / "results.json").read_text())
    for row in content["rows"]:
        row["peak_memory_mb"] = None
    (run / "results.json").write_text(json.dumps(content))
    assert "peak MB" not in Outline(page(run)).words
