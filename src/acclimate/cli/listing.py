"""What ships: `acclimate list`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer


class Listing(str, Enum):
    """What ``list`` can list."""

    recipes = "recipes"
    methods = "methods"
    networks = "networks"
    datasets = "datasets"
    protocols = "protocols"
    suites = "suites"


def list_command(what: Annotated[Listing, typer.Argument(help="what to list")]) -> None:
    """List what ships: recipes, methods, networks, datasets, protocols or suites."""
    for name, description in listing(what.value):
        print(f"{name:28} {description}".rstrip())


def listing(what: str) -> list[tuple[str, str]]:
    """(name, one-line description) of every recipe, method, network, data set kind, protocol or suite."""
    if what == "recipes":
        from acclimate.recipe.load import load_recipe, recipe_names

        return [(name, load_recipe(name)[0].about) for name in recipe_names()]
    if what == "suites":
        from acclimate.bench.suite import load_suite, suite_names

        return [(name, load_suite(name)[0].about) for name in suite_names()]
    from acclimate.tasks import what_ships

    return [*_of_segmentation(what), *what_ships(what)]


def _of_segmentation(what: str) -> list[tuple[str, str]]:
    if what == "methods":
        from acclimate.methods import METHODS

        return [(name, method.summary) for name, method in METHODS.items()]
    if what == "networks":
        from acclimate.models.registry import NETWORKS

        return [(name, entry.summary) for name, entry in NETWORKS.items()]
    if what == "datasets":
        from acclimate.data.registry import dataset_kinds

        return list(dataset_kinds().items())
    from acclimate.evaluation.protocols import PROTOCOLS

    return [(name, protocol.description) for name, protocol in PROTOCOLS.items()]
