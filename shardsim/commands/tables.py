"""Tables of results, for the terminal."""

from collections.abc import Sequence
from pathlib import Path

from shardsim.core import config_files
from shardsim.evaluation import results, study_results, wording
from shardsim.reports import differences, numbers, text_tables
from shardsim.reports.verdicts import sections
from shardsim.storage import run_files, run_folder, run_layout
from shardsim.training.results import TrainedArm


def table(result: results.RunResult) -> str:
    """The arms and the verdicts of one run."""
    arms = text_tables.table(
        ["arm", "return / optimum", "error of V (sd of V*)", "parameters of V"]
    )
    for name, arm in result.arms.items():
        mean = arm.mean_return_fraction
        fraction = numbers.percent(mean)
        if arm.trained and not arm.reached_min_return and mean is not None:
            fraction += f" (below {result.min_return:.0%})"
        error = numbers.digits(arm.mean_value_error)
        if arm.trained and not arm.reached_max_value_error and arm.mean_value_error:
            error += f" (above {result.max_value_error:g})"
        arms.add_row(name, fraction, error, f"{arm.value_params:,}")
    verdicts = text_tables.table(
        [
            "",
            "contrast",
            "metric (unit)",
            "effect\n[95 % interval]",
            "verdict",
            "controls",
            wording.phrases(result.predictions.values()).control,
        ]
    )
    for name, entry in result.predictions.items():
        verdicts.add_row(
            name,
            sections.contrast(entry),
            f"{entry.metric}\n({entry.effect_unit})",
            _effect(entry.effect, "\n"),
            sections.verdict(entry) + ("" if entry.is_valid else "\nno claim stands"),
            sections.outcome(entry),
            wording.of_planted(entry) or "-",
        )
    return text_tables.terminal([arms, verdicts])


def of_study(result: study_results.StudyResult) -> str:
    """The verdicts of all cells, and the axes that move the effects."""
    verdicts = text_tables.table(
        ["cell", "", "effect\n[95 % interval]", "verdict", "p", "seeds"]
    )
    for cell in result.cells.values():
        for label, entry in cell.predictions.items():
            verdict = sections.verdict(entry) if entry.is_valid else "no claim stands"
            effect, p = _effect(entry.effect, "\n"), f"{entry.p_value:.2g}"
            seeds = f"{cell.num_seeds}{sections.of_seeds(entry)}"
            verdicts.add_row(cell.label, label, effect, verdict, p, seeds)
    axes = text_tables.table(
        ["", "axis", "level", "mean effect\n[95 % interval]", "p of the axis"]
    )
    for label, model in result.models.items():
        for axis, moved in model.axes.items():
            for level, one in moved.levels.items():
                mean = "-" if one.mean is None else _effect(one.mean, "\n")
                axes.add_row(label, axis, level, mean, f"{moved.p_value:.2g}")
    return text_tables.terminal([verdicts, *([axes] if axes.row_count else [])])


def side_by_side(folders: Sequence[Path]) -> str:
    """Returns, verdicts with their effects, and what differs in the configs of runs."""
    runs = [results.read(folder) for folder in folders]
    judged = [r.predictions if isinstance(r, results.RunResult) else {} for r in runs]
    names = [str(folder) for folder in folders]
    has_optimum = any(isinstance(r, results.RunResult) for r in runs)
    title = "return / optimum, error of V (sd of V*)" if has_optimum else "arm"
    arms = text_tables.table([title, *names])
    for arm in dict.fromkeys(name for result in runs for name in result.arms):
        arms.add_row(arm, *(_arm_cell(result.arms.get(arm)) for result in runs))
    verdicts = text_tables.table(["prediction", *names])
    for name in dict.fromkeys(p for entries in judged for p in entries):
        cells = (_verdict_cell(entries.get(name)) for entries in judged)
        verdicts.add_row(name, *cells)
    tables = [arms, verdicts] if verdicts.row_count else [arms]
    configs = [
        config_files.read_yaml(folder / run_layout.CONFIG_FILE) for folder in folders
    ]
    different = text_tables.table(["field that differs", *names])
    for row in differences.of_configs(configs):
        different.add_row(row.field, *row.values)
    return text_tables.terminal(
        [*tables, *([different] if different.row_count else [])]
    )


def run_list(root: Path) -> str:
    """All runs below a folder."""
    runs = text_tables.table(
        ["run", "state", "experiment", "seeds", "digest", "verdicts"]
    )
    for folder in runs_below(root):
        named, result = state(folder)
        cells = [""] * 4 if result is None else _summary(result)
        runs.add_row(str(folder), named, *cells)
    return text_tables.terminal([runs])


def runs_below(root: Path) -> list[Path]:
    """The run folders below a folder."""
    # ** does not follow links; the second pattern lists runs that are links in `root`
    marks = {
        *root.glob(f"**/{run_layout.FORMAT_FILE}"),
        *root.glob(f"*/{run_layout.FORMAT_FILE}"),
    }
    return [path.parent for path in sorted(marks)]


def state(
    folder: Path,
) -> tuple[str, results.Result | study_results.StudyResult | None]:
    """State of a run in words, and its results; none where they can't be read."""
    try:
        run_folder.check_format(folder)
    except run_files.RunError:
        return "of another format", None
    if not (folder / results.FILE).exists():
        return "unfinished", None
    try:
        if study_results.is_there(folder):
            return "finished", study_results.read(folder)
        return "finished", results.read(folder)
    except run_files.RunError:
        return "results damaged", None


def _summary(result: results.Result | study_results.StudyResult) -> list[str]:
    """Name, seeds (or cells of a study), digest and verdicts."""
    if isinstance(result, study_results.StudyResult):
        cells = f"{len(result.cells)} cells"
        return [result.name, cells, result.digest, result.answer]
    entries = result.predictions if isinstance(result, results.RunResult) else {}
    verdicts = (f"{name}: {_short(entry)}" for name, entry in entries.items())
    return [result.name, str(result.num_seeds), result.digest, "\n".join(verdicts)]


def _short(entry: results.PredictionResult) -> str:
    """A verdict in a list of many."""
    if entry.is_valid:
        return sections.verdict(entry)
    asked = sections.ASKED[entry.asked.when]
    return f"no claim stands ({asked})" if asked else "no claim stands"


def _arm_cell(arm: results.ArmResult | TrainedArm | None) -> str:
    """Fraction of the optimum and error of V; for a training, reward per episode."""
    if arm is None:
        return ""
    if isinstance(arm, results.ArmResult):
        error = numbers.digits(arm.mean_value_error)
        return f"{numbers.percent(arm.mean_return_fraction)}, {error}"
    mean = arm.mean_reward_per_episode
    return "-" if mean is None else f"{mean:.3f} reward per episode"


def _verdict_cell(entry: results.PredictionResult | None) -> str:
    if entry is None:
        return ""
    valid = "" if entry.is_valid else " (no claim stands)"
    seeds = sections.of_seeds(entry)
    effect = f"{_effect(entry.effect)} {entry.effect_unit}{seeds}"
    return f"{sections.verdict(entry)}{valid}\n{effect}"


def _effect(effect: results.Interval, separator: str = " ") -> str:
    if effect.low is None and effect.high is None:
        return f"{_number(effect.estimate)}{separator}(no interval)"
    low, high = _number(effect.low), _number(effect.high)
    return f"{_number(effect.estimate)}{separator}[{low}, {high}]"


def _number(x: float | None) -> str:
    return "-" if x is None else f"{x:+.3f}"
