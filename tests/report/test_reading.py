from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from synthetic_run import write_run

from acclimate.errors import UserError
from acclimate.report.charts import averages, charts, ticks
from acclimate.report.page import write_report
from acclimate.report.reading import History, read_history, read_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "demo", seeds=(0, 1), target_images=1, source_images=1)


def test_stages_of_every_seed_are_found(finished: Path) -> None:
    run = read_run(finished)
    assert run.name == "demo"
    assert [(s.seed, s.number, s.name) for s in run.stages[:2]] == [(0, 1, "source-only"), (0, 2, "minent")]
    assert {stage.seed for stage in run.stages} == {0, 1}
    assert run.stages[0].place == "seed-0/1-source-only"
    history = run.stages[1].history
    assert history is not None
    assert list(history.columns) == ["segmentation", "entropy", "learning rate"]
    assert history.steps[:2] == [10, 20]
    assert len(run.rows) == 8


def test_stage_folders_may_be_links(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "linked"
    run.mkdir()
    os.symlink(finished / "seed-1" / "3-advent", run / "1-advent")
    (stage,) = read_run(run).stages
    assert stage.history is not None


def test_a_run_without_results_shows_the_scores_it_has(tmp_path: Path) -> None:
    run = write_run(tmp_path / "half", target_images=1, source_images=0)
    (run / "results.json").unlink()
    assert [row.name for row in read_run(run).rows] == ["advent", "minent", "oracle", "source-only"]


def test_a_run_that_has_only_begun_makes_a_page(tmp_path: Path) -> None:
    run = tmp_path / "begun"
    (run / "1-advent").mkdir(parents=True)
    (run / "1-advent" / "history.csv").write_text("step,segmentation\n10,1.5\n20,\n30,nan\n")
    write_report([run], tmp_path / "page.html")
    assert "Nothing has been evaluated yet" in (tmp_path / "page.html").read_text()


def test_missing_and_foreign_folders_are_the_users_fault(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run folder .*nowhere"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no run"):
        read_run(tmp_path)
    with pytest.raises(UserError, match="at least one run"):
        write_report([], tmp_path / "page.html")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("1-advent/history.csv", "epoch,loss\n1,2\n", "history.csv is not a training history"),
        ("1-advent/history.csv", "step,loss\n1,low\n", "history.csv is not a training history"),
        (
            "1-advent/pictures/index.json",
            '{"classes": []}',
            "is not an index of pictures: the key 'colours' is missing",
        ),
        ("1-advent/manifest.json", "{", "manifest.json cannot be read as JSON"),
        ("results.json", '{"schema": 1, "rows": [{}]}', "results.json does not follow the results schema"),
        ("recipe.yaml", "a: [", "recipe.yaml as YAML"),
        ("recipe.yaml", "published: 3", "recipe.yaml: 'published' must be a list"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, file: str, content: str, message: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_run(tmp_path)
    assert message in str(caught.value)


def test_a_recipe_cannot_run_code(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("a: !!python/object/apply:os.getcwd []")
    with pytest.raises(UserError, match="as YAML"):
        read_run(tmp_path)


def test_history_cells(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("step,loss,adversarial\n1,0.5,\n2,inf,0.25\n")
    assert read_history(path) == History([1, 2], {"loss": [0.5, None], "adversarial": [None, 0.25]})


def test_curves_are_means_over_neighbouring_steps() -> None:
    assert averages([1, 2, 3], [1.0, None, 3.0]) == [(1.0, 1.0), (3.0, 3.0)]
    points = averages(list(range(1, 401)), [float(step) for step in range(1, 401)])
    assert len(points) == 100
    assert points[0] == (2.5, 2.5)  # the mean of 1, 2, 3, 4
    assert points[-1] == (398.5, 398.5)


def test_curves_lie_where_their_values_say() -> None:
    (chart,) = charts([("a", "#000000", History([50, 100], {"loss": [0.0, 10.0]}))])
    assert chart.title == "loss"
    ys = {tick.text: tick.at for tick in chart.y_ticks}
    xs = {tick.text: tick.at for tick in chart.x_ticks}
    assert chart.curves[0].path == f"M{xs['50']:.1f} {ys['0']:.1f}L{xs['100']:.1f} {ys['10']:.1f}"
    assert ys["10"] < ys["0"]  # upwards on the screen
    assert chart.curves[0].last == 10.0


def test_a_column_without_numbers_is_not_drawn() -> None:
    assert charts([("a", "#000000", History([1], {"loss": [None]}))]) == []
    assert charts([("a", "#000000", History([1, 2], {"loss": [0.3, 0.3]}))])[0].y_ticks


def test_ticks_are_round() -> None:
    assert ticks(0, 800, at_most=4) == [0, 200, 400, 600, 800]
    assert ticks(0.13, 0.52, at_most=4) == pytest.approx([0.2, 0.3, 0.4, 0.5]) or ticks(0.13, 0.52, at_most=4) == (
        pytest.approx([0.2, 0.4])
    )


def test_the_page_of_shared_stages_shows_a_model_once(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "again"
    other.mkdir()
    results = json.loads((finished / "results.json").read_text())
    results["rows"] = [row for row in results["rows"] if row["name"] in ("source-only", "advent")]
    for row in results["rows"]:
        if row["name"] == "advent":
            row["miou"] -= 0.05
    (other / "results.json").write_text(json.dumps(results))
    write_report([finished, other], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "demo: advent" in text
    assert "again: advent" in text
    assert "demo: source-only" not in text  # the same scores: one model, trained once
