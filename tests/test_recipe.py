from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from acclimate.errors import UserError
from acclimate.recipe.load import (
    EvaluateStage,
    TrainStage,
    TranslateStage,
    explained,
    load_recipe,
    parse_override,
    recipe_names,
)

GOOD: dict[str, Any] = {
    "name": "toy",
    "about": "a base",
    "protocol": "scenes",
    "network": {"name": "small", "width": 8},
    "training": {"steps": 10, "optimizer": {"learning_rate": 0.1}},
    "stages": {
        "base": {"train": "source_only"},
        "labels": {"label": "base", "selection": {"floor": 0.2}},
        "again": {"train": "advent", "pseudo_labels": "labels", "start": "base", "training": {"steps": 20}},
        "scores": {"evaluate": ["base", {"name": "both", "of": ["base", "again"], "weights": [0.5, 0.5]}]},
    },
}


def write(folder: Path, content: Any, name: str = "toy.yaml") -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return str(path)


def changed(**changes: Any) -> dict[str, Any]:
    """The good recipe with values at dotted keys (``__`` for the dot) changed."""
    content = copy.deepcopy(GOOD)
    for key, value in changes.items():
        *parents, last = key.split("__")
        here = content
        for parent in parents:
            here = here[parent]
        here[last] = value
    return content


def message(folder: Path, content: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_recipe(write(folder, content))
    return str(caught.value)


# --- shipped recipes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads(name: str) -> None:
    recipe, _ = load_recipe(name)
    assert recipe.name == name
    assert recipe.about
    trained = {key for key, stage in recipe.stages.items() if isinstance(stage, TrainStage)}
    assert trained
    scored = {model for s in recipe.stages.values() if isinstance(s, EvaluateStage) for r in s.rows() for model in r.of}
    assert scored <= trained
    rows = {row.name for s in recipe.stages.values() if isinstance(s, EvaluateStage) for row in s.rows()}
    assert {published.name for published in recipe.published} <= rows, "a published row without ours to compare"


@pytest.mark.parametrize("name", recipe_names())
def test_the_resolved_recipe_says_the_same_and_loads_again(name: str, tmp_path: Path) -> None:
    recipe, origins = load_recipe(name)
    text = explained(recipe, origins)
    assert yaml.safe_load(text) == recipe.model_dump(mode="json")
    assert load_recipe(write(tmp_path, text))[0] == recipe


# --- reading -----------------------------------------------------------------------------------------------------


def test_a_good_recipe(tmp_path: Path) -> None:
    recipe, origins = load_recipe(write(tmp_path, GOOD))
    base, again = recipe.stages["base"], recipe.stages["again"]
    assert isinstance(base, TrainStage)
    assert isinstance(again, TrainStage)
    assert recipe.training_settings(base).steps == 10
    assert recipe.training_settings(again).steps == 20
    assert recipe.training_settings(again).optimizer.learning_rate == 0.1  # overrides are merged key by key
    assert recipe.network_config(again).width == 8
    assert origins["training.optimizer.learning_rate"] == f"recipe {tmp_path / 'toy.yaml'}"


def test_overrides_and_where_values_come_from(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    overrides = dict(
        parse_override(text)
        for text in (
            "training.steps=5",
            "stages.again.options.class_prior_mu=0.25",
            "network={name: small}",
            "about=mine",
        )
    )
    recipe, origins = load_recipe(path, overrides=overrides)
    again = recipe.stages["again"]
    assert isinstance(again, TrainStage)
    assert recipe.training["steps"] == 5
    assert again.options == {"class_prior_mu": 0.25}
    assert recipe.network == {"name": "small"}
    assert origins["training.steps"] == "--set"
    assert origins["network.name"] == "--set"
    assert "network.width" not in origins
    assert origins["training.optimizer.learning_rate"] == f"recipe {path}"
    lines = explained(recipe, origins).splitlines()
    assert "about: mine  # --set" in lines
    assert "  steps: 5  # --set" in lines
    assert f"    learning_rate: 0.1  # recipe {path}" in lines
    assert "source: null" in lines  # a default has no origin


def test_an_override_reaches_a_stage_with_a_dot_in_its_name(tmp_path: Path) -> None:
    content = changed()
    content["stages"] = {"floor-0.05": {"train": "minent"}, "floor-0": {"train": "minent"}}
    recipe, _ = load_recipe(write(tmp_path, content), overrides={"stages.floor-0.05.training.steps": 7})
    assert list(recipe.stages) == ["floor-0.05", "floor-0"]
    stage, other = recipe.stages["floor-0.05"], recipe.stages["floor-0"]
    assert isinstance(stage, TrainStage)
    assert isinstance(other, TrainStage)
    assert (stage.training, other.training) == ({"steps": 7}, {})


def test_an_override_fills_an_empty_mapping_and_refuses_a_value(tmp_path: Path) -> None:
    recipe, _ = load_recipe(write(tmp_path, changed(training=None)), overrides={"training.steps": 7})
    assert recipe.training == {"steps": 7}
    with pytest.raises(UserError, match="'steps' is a single value"):
        load_recipe(write(tmp_path, GOOD), overrides={"training.steps.more": 7})


@pytest.mark.parametrize("text", ["steps", "=3", "a=[1", "a=2020-99-99", "a=!!python/object/apply:os.system ['true']"])
def test_impossible_overrides(text: str) -> None:
    with pytest.raises(UserError, match="--set"):
        parse_override(text)


def test_text_of_several_lines_survives_the_explanation(tmp_path: Path) -> None:
    about = "first line\n\n  steps: 3\nlast # line"
    recipe, origins = load_recipe(write(tmp_path, changed(about=about)))
    assert yaml.safe_load(explained(recipe, origins))["about"] == about


# --- extends -----------------------------------------------------------------------------------------------------


def test_extends_merges_keys(tmp_path: Path) -> None:
    base = write(tmp_path, GOOD, "base.yaml")
    child = {"name": "child", "extends": "base.yaml", "training": {"steps": 3}}
    recipe, origins = load_recipe(write(tmp_path, child, "child.yaml"))
    assert recipe.name == "child"
    assert recipe.about == "a base"
    assert recipe.training == {"steps": 3, "optimizer": {"learning_rate": 0.1}}
    assert list(recipe.stages) == list(GOOD["stages"])
    assert origins["training.steps"] == f"recipe {tmp_path / 'child.yaml'}"
    assert origins["training.optimizer.learning_rate"] in (f"recipe {base}", "recipe base.yaml")


def test_stages_replace_those_of_the_base_with_what_was_said_of_them(tmp_path: Path) -> None:
    write(tmp_path, changed() | {"published": [{"name": "base"}], "paper": "P"}, "base.yaml")
    child = {"name": "child", "extends": "base.yaml", "stages": {"only": {"train": "oracle"}}}
    recipe, origins = load_recipe(write(tmp_path, child, "child.yaml"))
    assert list(recipe.stages) == ["only"]
    assert (recipe.published, recipe.paper, recipe.about) == ([], "", "")
    assert not {"about", "paper", "published"} & set(origins)


def test_a_base_is_looked_up_beside_the_recipe_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipes").mkdir()
    write(tmp_path / "recipes", GOOD, "base.yaml")
    child = write(tmp_path / "recipes", {"name": "child", "extends": "base.yaml"}, "child.yaml")
    monkeypatch.chdir(tmp_path)
    assert load_recipe(child)[0].training["steps"] == 10


def test_a_shipped_recipe_can_be_extended(tmp_path: Path) -> None:
    child = {"name": "mine", "extends": "demo", "training": {"steps": 3}}
    recipe, origins = load_recipe(write(tmp_path, child))
    assert recipe.training["steps"] == 3
    assert origins["network.name"] == "recipe demo"


def test_a_recipe_can_borrow_the_stages_of_another_alone(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    write(tmp_path / "recipes", changed() | {"training": {"steps": 7}}, "lender.yaml")
    base = GOOD | {"about": "other", "stages": {"only": {"train": "oracle"}}}
    write(tmp_path / "recipes", base, "base.yaml")
    child = {"name": "child", "extends": "base.yaml", "stages": "lender.yaml"}
    recipe, origins = load_recipe(write(tmp_path / "recipes", child, "child.yaml"))
    assert recipe.stages == load_recipe(str(tmp_path / "recipes/lender.yaml"))[0].stages
    assert recipe.training == GOOD["training"]
    assert recipe.about == ""
    stages = {origin for key, origin in origins.items() if key.startswith("stages.")}
    assert stages == {"recipe lender.yaml"}
    write(tmp_path / "recipes", child | {"stages": "child.yaml"}, "child.yaml")
    with pytest.raises(UserError, match="leads back to itself"):
        load_recipe(str(tmp_path / "recipes/child.yaml"))


def test_recipes_that_extend_each_other(tmp_path: Path) -> None:
    write(tmp_path, {"name": "a", "extends": "./b.yaml"}, "a.yaml")
    write(tmp_path, {"name": "b", "extends": "../" + tmp_path.name + "/a.yaml"}, "b.yaml")
    with pytest.raises(UserError, match="leads back to itself"):
        load_recipe(str(tmp_path / "a.yaml"))


# --- what is wrong -----------------------------------------------------------------------------------------------


def test_recipes_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown recipe 'dmo'; did you mean 'demo'"):
        load_recipe("dmo")
    with pytest.raises(UserError, match=r"there is no recipe file .*none.yaml"):
        load_recipe(str(tmp_path / "none.yaml"))
    with pytest.raises(UserError, match="no recipe file"):
        load_recipe(write(tmp_path, {"name": "x", "extends": "gone.yaml"}))


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ({"protocl": "scenes"}, "'protocol'"),
        ({"network__widht": 8}, "'width'"),
        ({"training__step": 8}, "'steps'"),
        ({"training__optimizer__learning_rat": 8}, "'learning_rate'"),
        ({"training__source_transform": {"flipp": True}}, "'flip'"),
        ({"training__source_transform": {"photometric": {"brightnes": 1}}}, "'brightness'"),
        ({"stages__base__optoins": {}}, "'options'"),
        ({"stages__again__options": {"adversarial_wieght": 1}}, "'adversarial_weight'"),
        ({"stages__again__training": {"batchsize": 1}}, "'batch_size'"),
        ({"stages__again__network": {"multilevel": True}}, "'multi_level'"),
        ({"stages__labels__selection": {"flor": 0.2}}, "'floor'"),
        ({"stages__scores__pictres": 4}, "'pictures'"),
        ({"stages__scores__evaluate": [{"name": "x", "of": ["base"], "wieghts": [1]}]}, "'weights'"),
        ({"published": [{"name": "x", "mIoU": 3}]}, "'miou'"),
    ],
)
def test_unknown_keys_at_any_depth_name_the_nearest(key: dict[str, Any], nearest: str, tmp_path: Path) -> None:
    text = message(tmp_path, changed(**key))
    assert f"did you mean {nearest}?" in text
    assert "recipe toy" in text
    for part in next(iter(key)).split("__")[:2]:
        if part not in ("base", "published"):
            assert part in text


def test_all_problems_are_in_one_message(tmp_path: Path) -> None:
    content = changed(
        abut="x",
        training__steps=0,
        stages__base={"train": "source_onyl"},
        stages__labels={"label": "agian"},
        stages__again__options={"class_prior_mu": 3, "entropy_weight": 1},
        stages__scores={"evaluat": ["again"]},
    )
    text = message(tmp_path, content)
    for part in (
        "unknown key 'abut'",
        "did you mean 'about'?",
        "training: steps must be greater than 0 (got 0)",
        "stages.base.train: unknown method 'source_onyl'; did you mean 'source_only'?",
        "stages.labels.label: no earlier stage is called 'agian'",
        "stages.again.options: method advent: unknown key 'entropy_weight'",
        "class_prior_mu must be",
        "stages.scores needs exactly one of the verbs checkpoint, evaluate, label, train, translate; "
        "it has none; did you mean 'evaluate'?",
    ):
        assert part in text, part
    assert text.count("recipe toy") == 1
    assert "'base'" not in text  # what refers to a stage that is itself wrong is not blamed


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stages__again__start": "bse"}, "stages.again.start: no earlier stage is called 'bse'; did you mean 'base'?"),
        ({"stages__base__pseudo_labels": "labels"}, "stages.base.pseudo_labels: no earlier stage is called 'labels'"),
        ({"stages__base__start": "again"}, "stages.base.start: no earlier stage is called 'again'"),
        ({"stages__base__start": "base"}, "stages.base.start: no earlier stage is called 'base'"),
        ({"stages__again__start": "labels"}, "'labels' is a label stage; a train stage is needed"),
        ({"stages__again__pseudo_labels": "base"}, "'base' is a train stage; a label stage is needed"),
        ({"stages__scores__evaluate": ["labels"]}, "stages.scores.evaluate: 'labels' is a label stage"),
        ({"stages__scores__evaluate": ["base", "base"]}, "two rows are called 'base'"),
        (
            {"stages__scores__evaluate": [{"name": "x", "of": ["base", "again"], "weights": [1]}]},
            "row 'x' has 1 weights for 2 models",
        ),
        ({"stages__scores__evaluate": [{"name": "../x", "of": ["base"]}]}, "'../x' cannot name a folder"),
        ({"stages__../x": {"train": "oracle"}}, "'../x' cannot name a folder"),
        ({"stages__again__train": "oracle"}, "oracle trains on the target's own labels"),
        ({"stages__again": {"train": "advent", "label": "base"}}, "stages.again needs exactly one of the verbs"),
        ({"stages__again": "advent"}, "stages.again must be a mapping"),
        ({"stages": {}}, "stages"),
        ({"stages": None}, "stages"),
        ({"stages": ["train"]}, "stages"),
        ({"network": {"name": "smal"}}, "network: unknown network 'smal'; did you mean 'small'?"),
        ({"network": {"name": "small", "backbone": "timm/x"}}, "network: small: unknown key 'backbone'"),
        ({"network": {}}, "network.name is missing: name one"),
        ({"stages__again__training": {"steps": -1}}, "stages.again.training: steps must"),
        ({"training__source_transform": {"scale": [2, 1]}}, "scale is (smallest, largest)"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    assert expected in message(tmp_path, changed(**changes))


def test_a_missing_key(tmp_path: Path) -> None:
    content = changed()
    del content["name"]
    assert "the key 'name' is missing" in message(tmp_path, content)
    content = changed()
    del content["network"]
    assert "network.name is missing" in message(tmp_path, content)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "must be a mapping"),
        ("- a\n- b\n", "must be a mapping"),
        ("name: [1, 2", "is not valid YAML"),
        ("name: 2020-99-99", "is not valid YAML"),
        ("name: toy\x00", "is not valid YAML"),
        ("stages:\n  a: {train: oracle}\n  a: {train: advent}\n", "the key 'a' is given in line 2 and in line 3"),
    ],
)
def test_texts_that_are_no_recipe(text: str, expected: str, tmp_path: Path) -> None:
    assert expected in message(tmp_path, text)


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.mkdir [{path}]", "!!python/name:os.mkdir ''", "!!python/module:os ''"]
)
def test_python_tags_are_refused(tag: str, tmp_path: Path) -> None:
    crater = tmp_path / "crater"
    assert "is not valid YAML" in message(tmp_path, f"name: toy\nabout: {tag.format(path=crater)}\n")
    assert not crater.exists()


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").mkdir()
    with pytest.raises(UserError, match="no recipe file"):
        load_recipe(str(tmp_path / "x.yaml"))


# --- translation ---------------------------------------------------------------------------------------------------


def translating(**stage: Any) -> dict[str, Any]:
    content = changed(translation={"options": {"width": 8}, "training": {"steps": 30}})
    content["stages"] = {
        "base": {"train": "source_only"},
        "look": {"translate": "cyclegan", **stage},
        "again": {"train": "advent", "source": "look"},
    }
    return content


def test_a_translate_stage_starts_from_the_recipes_translation(tmp_path: Path) -> None:
    content = translating(perceptual="base", training={"schedule": {"hold": 0.25}}, writing={"tile": 128})
    recipe, _ = load_recipe(write(tmp_path, content))
    stage = recipe.stages["look"]
    assert isinstance(stage, TranslateStage)
    options, training, writing = recipe.translation_settings(stage)
    assert (options.width, options.blocks, training.steps, training.schedule.hold, writing.tile) == (
        8,
        9,
        30,
        0.25,
        128,
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (translating(options={"widht": 3}), "widht"),
        (translating(perceptual="nobody"), "stages.look.perceptual: no earlier stage is called 'nobody'"),
        (translating(source="base"), "stages.look.source: 'base' is a train stage; a translate stage is needed"),
        (translating(translate="histogram", options={"width": 3}), "stages.look.options: a colour match has no such"),
        (translating(translate="cycle"), "stages.look"),
        (changed(stages__again__source="base"), "stages.again.source: 'base' is a train stage; a translate stage is"),
        (changed(stages__base={"train": "oracle", "source": "labels"}), "oracle sees no source"),
    ],
)
def test_what_is_wrong_with_a_translation_is_told(tmp_path: Path, content: Any, told: str) -> None:
    assert told in message(tmp_path, content)


def test_the_bidirectional_recipes_have_the_rows_of_the_published_block() -> None:
    suffixes = ("", "-ssl", "-esl", "-ssl-it", "-esl-it")
    block = [f"step-{number}{suffix}" for number in (1, 2) for suffix in suffixes]
    for name in ("scenes-bdl", "carla-camvid-bdl", "gta5-bdl", "synthia-bdl"):
        stages = load_recipe(name)[0].stages
        assert isinstance(scores := stages["scores"], EvaluateStage)
        assert [row.name for row in scores.rows() if row.name.startswith("step")] == block
        for row in block:
            assert isinstance(stage := stages[row], TrainStage)
            translated = row.endswith("-it") or row in ("step-1", "step-2")
            assert stage.source == ("translate-2" if translated else None)
    published = {row.name: row.miou for row in load_recipe("gta5-bdl")[0].published}
    assert [published[row] for row in block] == [44.3, 45.0, 45.6, 46.8, 47.2, 47.3, 47.0, 47.6, 48.2, 48.6]


def test_a_method_that_needs_two_heads_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("name: one\nextends: demo\nstages:\n  clan: {train: clan}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"stages\.clan: clan needs a network with twin_heads: true"):
        load_recipe(str(tmp_path / "one.yaml"))


def test_options_of_the_recipe_lie_under_those_of_every_training(tmp_path: Path) -> None:
    content = changed(options={"class_weights": "logarithmic"})
    content["stages"]["base"]["options"] = {"class_weights": "none"}
    recipe, _ = load_recipe(write(tmp_path, content))
    trained = {name: stage.options for name, stage in recipe.stages.items() if isinstance(stage, TrainStage)}
    assert trained == {"base": {"class_weights": "none"}, "again": {"class_weights": "logarithmic"}}
    assert "class_weihts" in message(tmp_path, changed(options={"class_weihts": "none"}))
    assert "options" in message(tmp_path, changed(options=3))
