"""What a terminal shows: the progress bar, and tables of results."""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rich.box
import rich.console
import rich.progress
import rich.table

from shardsim.core import config
from shardsim.evaluation.experiment import Experiment
from shardsim.reports.verdicts import html, sections
from shardsim.storage import run_folder
from shardsim.training import arms, loop, schedule
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

        def moved(arm: str, update: int, row: dict[str, Any]) -> None:
            before = done.get(arm, 0 if arm == arms.SHARED_PHASES else stem)
            done[arm] = update
            reward = mean_of(row["reward per episode"])
            told = "-" if reward is None else f"{reward:.2f}"
            note = f"{row['steps/s']:,.0f} steps/s  return {told}"
            shown.update(task, advance=update - before, description=arm, note=note)

        yield moved


def table(results: dict[str, Any]) -> str:
    """Arms and verdicts of one run."""
    arms = _table("arm", "of the optimum", "parameters of V")
    for name, arm in results["arms"].items():
        mean = arm["mean return fraction"]
        fraction = html.share(mean)
        if arm["trained"] and not arm["reached goal"] and mean is not None:
            fraction += f" (below {results['goal']:.0%})"
        arms.add_row(name, fraction, f"{arm['parameters of V']:,}")
    verdicts = _table(
        "",
        "contrast",
        "effect",
        "95 % interval",
        "verdict",
        "controls",
        "hand-made",
    )
    for name, entry in results["predictions"].items():
        effect, made = entry["effect"], entry["sensitivity"]
        verdicts.add_row(
            name,
            sections.contrast(entry),
            _number(effect["estimate"]),
            f"{_number(effect['low'])} to {_number(effect['high'])}",
            entry["verdict"],
            sections.outcome(entry),
            made["verdict"] if made else "-",
        )
    return _text(arms, verdicts)


def side_by_side(folders: Sequence[Path]) -> str:
    """Returns, effects and verdicts of several runs, and how their configs differ."""
    found = [run_folder.read_json(folder / "results.json") for folder in folders]
    names = [str(folder) for folder in folders]
    every = [arm for f in found for arm in f["arms"].values()]
    known = any("mean return fraction" in arm for arm in every)
    arms = _table("return / optimum" if known else "arm", *names)
    for arm in dict.fromkeys(name for f in found for name in f["arms"]):
        arms.add_row(arm, *(_reached(f["arms"].get(arm)) for f in found))
    verdicts = _table("prediction", *names)
    for name in dict.fromkeys(p for f in found for p in f["predictions"]):
        entries = [f["predictions"].get(name) for f in found]
        verdicts.add_row(name, *(_cell(entry) for entry in entries))
    tables = [arms, verdicts] if verdicts.row_count else [arms]
    configs = [config.read_yaml(folder / run_folder.CONFIG_FILE) for folder in folders]
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
        state, cells = "unfinished", [""] * 4
        results = mark.parent / "results.json"
        if results.exists():
            try:
                state, cells = "finished", _about(run_folder.read_json(results))
            except (run_folder.RunError, KeyError, TypeError):  # it hides no other run
                state = "results torn"
        shown.add_row(str(mark.parent), state, *cells)
    return _text(shown)


def _about(found: dict[str, Any]) -> list[str]:
    """Name, seeds, digest and verdicts."""
    verdicts = (
        f"{name}: {entry['verdict'] if entry['stands'] else 'no claim stands'}"
        for name, entry in found["predictions"].items()
    )
    return [found["name"], str(found["seeds"]), found["digest"], ", ".join(verdicts)]


def _reached(arm: dict[str, Any] | None) -> str:
    """How far an arm came: of a training, which knows no optimum, what it earned."""
    if arm is None:
        return ""
    if "mean return fraction" in arm:
        return html.share(arm["mean return fraction"])
    mean = arm["mean"]
    return "-" if mean is None else f"{mean:.3f} reward per episode"


def _cell(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return ""
    effect = entry["effect"]
    low, high = _number(effect["low"]), _number(effect["high"])
    stands = "" if entry["stands"] else " (no claim stands)"
    told = f"{_number(effect['estimate'])} [{low}, {high}]{sections.of_seeds(entry)}"
    return f"{entry['verdict']}{stands}\n{told}"


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
