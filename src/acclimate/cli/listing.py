"""What ships: `acclimate list`."""

from __future__ import annotations


def list_command(what: str) -> None:
    """Prints the names of what ships, a line each."""
    for name, description in listing(what):
        print(f"{name:28} {description}".rstrip())


def listing(what: str) -> list[tuple[str, str]]:
    """(name, one-line description) of every recipe, method, network, data set kind, protocol or suite."""
    if what == "recipes":
        from acclimate.recipe.load import load_recipe, recipe_names

        return [(name, load_recipe(name)[0].about) for name in recipe_names()]
    if what == "methods":
        from acclimate.detection.methods import DETECTION_METHODS
        from acclimate.methods import METHODS

        return [
            *((name, method.summary) for name, method in METHODS.items()),
            *((f"{name} (detection)", method.summary) for name, method in DETECTION_METHODS.items()),
        ]
    if what == "networks":
        from acclimate.detection.networks import DETECTORS
        from acclimate.models.registry import NETWORKS

        return [*((name, entry.summary) for name, entry in NETWORKS.items()), *DETECTORS.items()]
    if what == "datasets":
        from acclimate.data.registry import dataset_kinds
        from acclimate.detection.registry import BOXED_DATASETS

        boxed = ((f"{name} (detection)", kind.description) for name, kind in BOXED_DATASETS.items())
        return [*dataset_kinds().items(), *boxed]
    if what == "suites":
        from acclimate.bench.suite import load_suite, suite_names

        return [(name, load_suite(name)[0].about) for name in suite_names()]
    from acclimate.detection.protocols import DETECTION_PROTOCOLS
    from acclimate.evaluation.protocols import PROTOCOLS

    return [
        *((name, protocol.description) for name, protocol in PROTOCOLS.items()),
        *((name, protocol.description) for name, protocol in DETECTION_PROTOCOLS.items()),
    ]
