"""What a terminal shows: the progress bar, and tables of results."""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import rich.box
import rich.console
import rich.progress
import rich.table

from shardsim.core import config, config_files
from shardsim.evaluation import results
from shardsim.evaluation.experiment import Experiment
from shardsim.reports.verdicts import html, sections
from shardsim.storage import run_folder
from shardsim.training import arms, loop, metric_records, schedule
from shardsim.training.results import TrainedArm
from shardsim.training.standalone import Training, mean_of


@contextmanager
def bar(experiment: Experiment | Training) -> Iterator[loop.Progress]:
    """A bar over all updates of all arms; quiet where nobody is watching."""
    train = experiment.train
    shared = schedule.shared_phases(train)
    stem = sum(phase.updates for phase in train.phases[:shared])
    trained = sum(arm.trained for arm in experiment.arms.values())
    total = stem + trained * (train.total_updates - stem)
    columns = (
        rich.progress.TextColumn("{task.description:>9}"),
        rich.progress.BarColumn(),
        rich.progress.TextColumn("{task.fields[note]}"),
        rich.progress.TimeRemainingColumn(),
    )
    console = rich.console.Console(file=sys.stderr)
    done: dict[str, int] = {}
    with rich.progress.Progress(
        *columns, console=console, disable=not console.is_terminal
    ) as shown:
        task = shown.add_task("", total=total, note="compiling")

        def moved(chunk: metric_records.ChunkMetrics, steps_per_second: float) -> None:
            arm = chunk.arm
            before = done.get(arm, 0 if arm == arms.SHARED_PHASES else stem)
            done[arm] = chunk.update
            reward = mean_of(chunk.reward_per_episode)
            told = "-" if reward is None else f"{reward:.2f}"
            note = f"{steps_per_second:,.0f} steps/s  return {told}"
            advance = chunk.update - before
            shown.update(task, advance=advance, description=arm, note=note)

        yield moved


def table(result: results.RunResult) -> str:
    """Arms and verdicts of one run."""
    arms = _table("arm", "return / optimum", "error of V (sd of V*)", "parameters of V")
    for name, arm in result.arms.items():
        mean = arm.mean_return_fraction
        fraction = html.share(mean)
        if arm.trained and not arm.reached_min_return and mean is not None:
            fraction += f" (below {result.min_return:.0%})"
        error = html.plain(arm.mean_value_error)
        arms.add_row(name, fraction, error, f"{arm.value_params:,}")
    verdicts = _table(
        "",
        "contrast",
        "metric (unit)",
        "effect\n[95 % interval]",
        "verdict",
        "controls",
        "hand-made",
    )
    for name, entry in result.predictions.items():
        made = entry.sensitivity
        verdicts.add_row(
            name,
            sections.contrast(entry),
            f"{entry.metric}\n({entry.unit})",
            _effect(entry.effect, "\n"),
            entry.verdict,
            sections.outcome(entry),
            made.verdict if made else "-",
        )
    return _text(arms, verdicts)


def side_by_side(folders: Sequence[Path]) -> str:
    """Returns, effects and verdicts of several runs, and how their configs differ."""
    found = [results.read(folder) for folder in folders]
    judged = [f.predictions if isinstance(f, results.RunResult) else {} for f in found]
    names = [str(folder) for folder in folders]
    known = any(isinstance(f, results.RunResult) for f in found)
    title = "return / optimum, error of V (sd of V*)" if known else "arm"
    arms = _table(title, *names)
    for arm in dict.fromkeys(name for f in found for name in f.arms):
        arms.add_row(arm, *(_reached(f.arms.get(arm)) for f in found))
    verdicts = _table("prediction", *names)
    for name in dict.fromkeys(p for entries in judged for p in entries):
        verdicts.add_row(name, *(_cell(entries.get(name)) for entries in judged))
    tables = [arms, verdicts] if verdicts.row_count else [arms]
    configs = [
        config_files.read_yaml(folder / run_folder.CONFIG_FILE) for folder in folders
    ]
    for folder, other in zip(names[1:], configs[1:], strict=True):
        differs = _table(f"field that differs in {folder}", names[0], folder)
        for field, (one, two) in config.diff(configs[0], other).items():
            differs.add_row(field, str(one), str(two))
        tables.append(differs)
    return _text(*tables)


def listing(root: Path) -> str:
    """The runs below a folder."""
    shown = _table("run", "state", "experiment", "seeds", "digest", "verdicts")
    # ** passes links by: a run on another disk is seen where its link lies
    found = {
        *root.glob(f"**/{run_folder.CONFIG_FILE}"),
        *root.glob(f"*/{run_folder.CONFIG_FILE}"),
    }
    for mark in sorted(found):
        state, cells = _state(mark.parent)
        shown.add_row(str(mark.parent), state, *cells)
    return _text(shown)


def _state(folder: Path) -> tuple[str, list[str]]:
    """How far a run is, and what it is about; one that can't be read hides no other."""
    nothing = [""] * 4
    try:
        run_folder.check_format(folder)
    except run_folder.RunError:
        return "of another format", nothing
    if not (folder / results.FILE).exists():
        return "unfinished", nothing
    try:
        return "finished", _about(results.read(folder))
    except run_folder.RunError:
        return "results torn", nothing


def _about(found: results.Result) -> list[str]:
    """Name, seeds, digest and verdicts."""
    entries = found.predictions if isinstance(found, results.RunResult) else {}
    verdicts = (
        f"{name}: {entry.verdict if entry.is_valid else 'no claim stands'}"
        for name, entry in entries.items()
    )
    return [found.name, str(found.num_seeds), found.digest, ", ".join(verdicts)]


def _reached(arm: results.ArmResult | TrainedArm | None) -> str:
    """How far an arm came: of a training, which knows no optimum, what it earned."""
    if arm is None:
        return ""
    if isinstance(arm, results.ArmResult):
        error = html.plain(arm.mean_value_error)
        return f"{html.share(arm.mean_return_fraction)}, {error}"
    mean = arm.mean_reward_per_episode
    return "-" if mean is None else f"{mean:.3f} reward per episode"


def _cell(entry: results.PredictionResult | None) -> str:
    if entry is None:
        return ""
    valid = "" if entry.is_valid else " (no claim stands)"
    seeds = sections.of_seeds(entry)
    told = f"{_effect(entry.effect)} {entry.unit}{seeds}"
    return f"{entry.verdict}{valid}\n{told}"


def _effect(effect: results.Interval, between: str = " ") -> str:
    low, high = _number(effect.low), _number(effect.high)
    return f"{_number(effect.estimate)}{between}[{low}, {high}]"


def _number(x: float | None) -> str:
    return "-" if x is None else f"{x:+.3f}"


def _table(*columns: str) -> rich.table.Table:
    shown = rich.table.Table(box=rich.box.SIMPLE)
    for column in columns:
        shown.add_column(column, overflow="fold")
    return shown


def _text(*tables: rich.table.Table) -> str:
    file = io.StringIO()
    # names are the user's, and may hold what rich takes for its markup
    console = rich.console.Console(file=file, width=110, markup=False, emoji=False)
    for shown in tables:
        console.print(shown)
    return file.getvalue().rstrip()
