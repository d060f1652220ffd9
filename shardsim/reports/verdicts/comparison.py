"""The page of `shardsim compare --out`: runs side by side, offline in one file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from shardsim.core import config_files, files
from shardsim.evaluation import results
from shardsim.reports import differences, figures, templates
from shardsim.reports.charts import overlay
from shardsim.reports.verdicts import sections
from shardsim.storage import run_layout
from shardsim.training import metric_records

EVALUATED = {
    "return / optimal return": "return_fraction",
    "RMS error of V / SD of V*": "value_error",
}
"""Title of a metric of an experiment -> field of its curves."""
EARNED = "reward per episode"
"""Metric of runs that are not evaluated, and of those beside them."""


def write(folders: Sequence[Path], out: Path) -> None:
    """Write the page.

    Args:
      folders: finished runs.

    Raises:
      RunError: a file of a run is missing or damaged.
    """
    names = [str(folder) for folder in folders]
    runs = dict(zip(names, map(results.read, folders), strict=True))
    configs = [config_files.read_yaml(f / run_layout.CONFIG_FILE) for f in folders]
    metrics, is_shared = shared(curves(dict(zip(names, folders, strict=True)), runs))
    caption = (
        "Mean over seeds, and the range of all seeds; one panel for each metric and "
        f"{'arm that several runs have' if is_shared else 'arm'}. Dashed: an arm that "
        "was never trained."
    )
    judged = {
        name: run.predictions if isinstance(run, results.RunResult) else {}
        for name, run in runs.items()
    }
    text = templates.environment("shardsim.reports.verdicts").get_template(
        "comparison.html"
    )
    page = text.render(
        runs=runs,
        judged=judged,
        predictions=list(dict.fromkeys(p for own in judged.values() for p in own)),
        differences=differences.of_configs(configs),
        figure=figures.draw(caption, lambda width: overlay.training(metrics, width))
        if overlay.has_rows(metrics)
        else None,
        sections=sections,
    )
    files.write_text(out, page)


def shared(metrics: overlay.Metrics) -> tuple[overlay.Metrics, bool]:
    """The arms that several runs have, and True; all arms where there are none."""
    several = {
        title: {arm: by_run for arm, by_run in arms.items() if len(by_run) > 1}
        for title, arms in metrics.items()
    }
    is_shared = any(several.values())
    return (several, True) if is_shared else (metrics, False)


def curves(
    folders: Mapping[str, Path], runs: Mapping[str, results.Result]
) -> dict[str, dict[str, dict[str, overlay.Curve]]]:
    """Metric -> arm -> run -> curve; only metrics that all runs have."""
    if all(isinstance(run, results.RunResult) for run in runs.values()):
        metrics: dict[str, dict[str, dict[str, overlay.Curve]]] = {}
        for title, field in EVALUATED.items():
            for name, run in runs.items():
                assert isinstance(run, results.RunResult)
                for arm, curve in run.curves.items():
                    values = np.asarray(getattr(curve, field), float)
                    by_run = metrics.setdefault(title, {}).setdefault(arm, {})
                    by_run[name] = overlay.Curve(curve.update, values)
        return metrics
    earned: dict[str, dict[str, overlay.Curve]] = {}
    for name, folder in folders.items():
        chunks = metric_records.chunks(folder)
        for arm in dict.fromkeys(chunk.arm for chunk in chunks):
            own = [chunk for chunk in chunks if chunk.arm == arm]
            values = np.asarray([chunk.reward_per_episode for chunk in own], float)
            update = tuple(chunk.update for chunk in own)
            earned.setdefault(arm, {})[name] = overlay.Curve(update, values)
    return {EARNED: earned}
