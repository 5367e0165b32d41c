"""The finished runs of a suite, and what their pseudo-labels were like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acclimate.bench.claims import mean_error_at_same_share
from acclimate.evaluation.scores import Spread, spread
from acclimate.io.files import read_json
from acclimate.report.reading import Run


@dataclass(frozen=True)
class SuiteRun:
    """The finished seeds of one entry of a suite.

    Attributes:
        name: of the entry.
        run: all seeds as one run: rows of all, stages of the first.
        seeds: the runs by seed.
        mandatory: whether the suite says so.
        varied: the key and value that tell this entry from others of the same recipe.
    """

    name: str
    run: Run
    seeds: Mapping[int, Run]
    mandatory: bool = False
    varied: tuple[str, Any] | None = None


def pseudo_label_shares(
    runs: Sequence[SuiteRun], names: Mapping[tuple[int, str], str]
) -> dict[str, tuple[Spread | None, Spread | None]]:
    """Shown name -> kept and wrong share over seeds of the pseudo-labels that the model was trained on last."""
    found: dict[str, dict[int, tuple[float | None, float | None]]] = {}
    for position, part in enumerate(runs):
        for seed, run in part.seeds.items():
            manifests = {stage.name: stage.manifest for stage in run.stages if stage.manifest is not None}
            stages = run.recipe.get("stages") or {}
            for row in run.rows:
                stage = stages.get(row.stage.rpartition("/")[2].partition("-")[2]) or {}
                if (manifest := manifests.get(str(stage.get("pseudo_labels")))) is not None:
                    shown = names.get((position, row.name), row.name)
                    found.setdefault(shown, {})[seed] = (manifest.get("kept_overall"), wrong_share(manifest))
    return {
        name: (spread([kept for kept, _ in values.values()]), spread([wrong for _, wrong in values.values()]))
        for name, values in found.items()
    }


def wrong_share(manifest: Mapping[str, Any]) -> float | None:
    """Share of wrong pixels among the selected ones, void ignored; None where the images had no labels."""
    confidence = (manifest.get("selection") or {}).get("confidence")
    table = ((manifest.get("quality") or {}).get("table") or {}).get("void ignored") or {}
    value = table.get(f"{confidence} overall")
    return float(value) if isinstance(value, int | float) else None


def curve_errors(runs: Sequence[SuiteRun]) -> dict[str, dict[int, tuple[float, float]]]:
    """Recipe and label stage -> seed -> (entropy's, softmax's) mean error at the same kept shares."""
    found: dict[str, dict[int, tuple[float, float]]] = {}
    for part in runs:
        for seed, run in part.seeds.items():
            for stage in run.stages:
                path = stage.folder / "curves.json"
                if stage.manifest is None or not path.is_file():
                    continue
                if stage.manifest.get("spatial_prior"):
                    continue  # the softmax of a product with a prior is not that of a distribution, entropy's is
                content = read_json(path)
                curves = [
                    [(point["kept"], point["error"]) for point in content.get(name, []) if point["error"] is not None]
                    for name in ("entropy", "softmax")
                ]
                if (errors := mean_error_at_same_share(*curves)) is not None:
                    found.setdefault(f"{part.name}: {stage.name}", {})[seed] = errors
    return found
