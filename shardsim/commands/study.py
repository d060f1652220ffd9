"""`shardsim study`: train all cells of a study, and judge them as one family."""

import argparse
import dataclasses
import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from shardsim.commands import config, executors, progress, run, tables, trackers
from shardsim.core import config as configs
from shardsim.core import config_files, processor
from shardsim.evaluation import film, load, preregistration, results, study_results
from shardsim.evaluation import study as studies
from shardsim.execution import extension, scheduler, training
from shardsim.execution import study as execution
from shardsim.storage import records, run_files, run_folder, run_layout
from shardsim.training import divergence, loop, parts


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Create the folder of a study, or go on with it, and print its table."""
    planned = config.read_study(options.file, flags)
    executor = executors.chosen(options)
    folder = options.out or Path("runs") / planned.study.name
    if options.overwrite or not is_study(folder):
        text = config_files.to_yaml(planned.study)
        run_folder.create(folder, text, options.overwrite)
    return start(planned, folder, executor)


def is_study(folder: Path) -> bool:
    """Whether a folder is that of a study."""
    path = folder / run_layout.CONFIG_FILE
    return path.is_file() and load.is_study(config_files.read_yaml(path))


def open_study(folder: Path) -> config.Planned:
    """The study of a folder.

    Raises:
      RunError: there is none, or its format is another one.
      ConfigError: its config cannot be read.
    """
    path = run_folder.open_run(folder) / run_layout.CONFIG_FILE
    return config.plan(configs.build(studies.Study, config_files.read_yaml(path)))


def extend(
    folder: Path,
    num_seeds: int,
    executor: executors.Executor | None,
    overwrite: bool,
) -> int:
    """Train more seeds of every cell; other arguments are those of `start`.

    Raises:
      ConfigError: the study has as many seeds, or its cells differ in their number.
    """
    old = open_study(folder)
    most = max(each.train.num_seeds for each in old.experiments.values())
    is_whole = study_results.is_there(folder) and study_results.read(
        folder
    ).digest == configs.digest(old.study)
    if num_seeds < most or (num_seeds == most and is_whole):
        raise configs.ConfigError(
            f"num_seeds: got {num_seeds}; allowed: more than {most}, which the study "
            "has"
        )
    return start(
        config.plan(_longer(old.study, num_seeds)), folder, executor, overwrite
    )


def _longer(study: studies.Study, num_seeds: int) -> studies.Study:
    """The study with more seeds in every cell.

    Raises:
      ConfigError: its cells differ in their number of seeds.
    """
    for name, axis in study.axes.items():
        if any(studies.sets_seeds(changes) for _, changes in axis.changes()):
            raise configs.ConfigError(
                f"num_seeds: got {num_seeds}; allowed: none, because the axis {name} "
                "sets it (change its values in the file, and run the study again)"
            )
    others = {k: v for k, v in study.settings.items() if k != studies.SEEDS}
    return dataclasses.replace(study, settings={**others, studies.SEEDS: num_seeds})


def start(
    planned: config.Planned,
    folder: Path,
    executor: executors.Executor | None = None,
    overwrite: bool = False,
) -> int:
    """Train and judge what is missing in the folder of a study, and print its table.

    Args:
      executor: what trains the parts; None: this process, one after the other.
      overwrite: whether results that were changed are replaced.
    """
    _check_grown(planned, folder)
    run_files.check_own(folder, overwrite, *run_layout.REWRITTEN)
    with run_folder.lock(folder):
        text = config_files.to_yaml(planned.study)
        run_files.write_text(folder / run_layout.CONFIG_FILE, text)
        run_folder.write_provenance(folder)
        cells = list(_prepared(planned, folder, overwrite))
        failed = _train(cells, folder, executor)
        if failed is not None:
            raise failed
        result = _judge(planned, folder)
        execution.delete_pools(folder)
    show(result, folder)
    return 0


def show(result: study_results.StudyResult, folder: Path) -> None:
    """Print the table of a study, and where its page is."""
    print(tables.of_study(result))
    print(f"\n{result.answer}\n{folder / 'report.html'}")


def _check_grown(planned: config.Planned, folder: Path) -> None:
    """Refuse a study that does not have all cells of its folder, as they are there.

    Raises:
      RunError: naming the cell and what differs.
    """
    old = configs.build(
        studies.Study,
        config_files.read_yaml(run_folder.open_run(folder) / run_layout.CONFIG_FILE),
    )
    allowed = "allowed: the same cells with more seeds, more cells, or another folder"
    if configs.digest(old) == configs.digest(planned.study):
        return
    for name, before in studies.build(studies.cells(old)).items():
        now = planned.experiments.get(name)
        if now is None:
            raise run_files.RunError(
                f"out: got {folder}, which has the cell {name}; {allowed}"
            )
        changes = configs.diff(before, now)
        changes.pop("train.devices", None)  # it changes no result
        seeds = changes.pop(studies.SEEDS, (0, 0))
        for field, (was, is_now) in changes.items():
            raise run_files.RunError(
                f"out: got {folder}, whose cell {name} has {field} {was!r} and not "
                f"{is_now!r}; {allowed}"
            )
        if seeds[1] < seeds[0]:
            raise run_files.RunError(
                f"out: got {folder}, whose cell {name} has {seeds[0]} seeds and not "
                f"{seeds[1]}; {allowed}"
            )


class _Cell(NamedTuple):
    """A cell with its folder, whose questions are registered."""

    missing: execution.Wanted
    finished: execution.Finished | None
    """As it was judged, perhaps on fewer seeds."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.finished is not None and not self.missing.first


def _prepared(
    planned: config.Planned, folder: Path, overwrite: bool
) -> Iterator[_Cell]:
    """All cells, with their folders and questions: those come before any training.

    Raises:
      RunError: a cell that gets more seeds was changed by somebody.
    """
    for cell in planned.cells:
        experiment = planned.experiments[cell.name]
        path = folder / run_layout.CELLS / cell.name
        text = config_files.to_yaml(experiment)
        if (path / run_layout.CONFIG_FILE).is_file():
            with run_folder.lock(path):
                extension.finish_commit(path)
        else:
            run_folder.create(path, text, overwrite=True)
        have = execution.finished_cell(run_folder.open_run(path))
        is_shorter = have is not None and (
            have.experiment.train.num_seeds < experiment.train.num_seeds
        )
        first = have.experiment.train.num_seeds if have and is_shorter else 0
        if first:
            run_files.check_own(path, overwrite, *run_layout.REWRITTEN)
        if have is None:
            run_files.write_text(path / run_layout.CONFIG_FILE, text)
            run_folder.write_provenance(path)
            if not (path / preregistration.FILE).exists():
                preregistration.register(experiment, path)
        yield _Cell(execution.Wanted(cell.label, path, experiment, first), have)


def _train(
    cells: Sequence[_Cell], folder: Path, executor: executors.Executor | None
) -> scheduler.Failed | None:
    """Train all that is missing, and judge the cells that are whole then.

    Returns:
      What failed, after everything else is done.

    Raises:
      Interrupted: a signal; all of the training so far is on disk.
    """
    finished = [cell.finished for cell in cells if cell.finished is not None]
    unfinished = [cell for cell in cells if not cell.is_done]
    missing = [cell.missing for cell in unfinished]
    if not missing:
        return None
    extension.check_versions(folder)
    supplies = execution.supplies(folder, missing, finished, _size(executor, missing))
    pools = [pool for pool in supplies.pools.values() if pool.needed]
    for pool in pools:
        execution.begin(pool)
    failed = None
    try:
        _train_pools(pools, folder, executor)
    except scheduler.Failed as error:
        failed = error
    for number, cell in enumerate(unfinished, 1):
        if failed is None or supplies.is_ready(cell.missing):
            progress.say(f"cell {number} of {len(unfinished)}: {cell.missing.label}")
            _finish(cell, supplies)
    return failed


def _size(
    executor: executors.Executor | None, missing: Sequence[execution.Wanted]
) -> int | None:
    """Most seeds of a block: fewer than all, where that keeps all workers busy."""
    if executor is None:
        return None
    if executor.block_seeds is not None:
        return executor.block_seeds
    if executor.kind in ("here", "begin"):
        return None
    workers = executor.workers or len(processor.cores())
    arms = {
        (execution.key_of(cell.experiment), name)
        for cell in missing
        for name in execution.names_in_pool(cell.experiment).values()
    }
    blocks = -(-workers // len(arms))
    return -(-max(len(cell.seeds) for cell in missing) // blocks)


def _train_pools(
    pools: Sequence[execution.Pool],
    folder: Path,
    executor: executors.Executor | None,
) -> None:
    """Train the parts of all pools that are not trained yet.

    Raises:
      Failed: some parts failed, when no other is left to train.
      Begun: the parts are left to others.
    """
    tasks = [task for pool in pools for task in pool.tasks(lambda *_: None)]
    if not tasks:
        return
    progress.say(f"{len(tasks)} parts to train, for {len(pools)} groups of cells")
    if executor is not None and executor.kind == "begin":
        runs = dict.fromkeys(task.run for task in tasks)
        commands = [f"shardsim work {shlex.quote(str(each))}" for each in runs]
        raise scheduler.Begun(
            "\n".join(
                [
                    f"{len(tasks)} parts to train, anywhere:",
                    *commands,
                    f"then join them: {loop.resume_command(folder)}",
                ]
            )
        )
    if executor is not None and executor.kind != "here":
        # shared phases first: all that waits for them is then ready
        tasks.sort(key=lambda task: task.part.needs_shared)
        workers = executor.workers or len(processor.cores())
        executors.drive(executor, folder, tasks, workers)
        return
    _train_here(tasks, {pool.folder: pool for pool in pools}, folder)


def _train_here(
    tasks: Sequence[scheduler.Task], pools: Mapping[Path, execution.Pool], folder: Path
) -> None:
    """Train parts one after the other in this process.

    Raises:
      Failed: the loss of some was not finite, when no other is left to train.
    """
    failed: list[tuple[scheduler.Task, str]] = []
    for pool, group in itertools.groupby(tasks, lambda task: task.run):
        of_pool = list(group)
        progress.say(f"training {len(of_pool)} parts of {pools[pool].label}")
        total = sum(task.num_updates for task in of_pool)
        with progress.training(pools[pool].config, total=total) as advance:
            for task in of_pool:
                job = dataclasses.replace(task.job, progress=advance)
                try:
                    training.train_part(task.run, job, task.part)
                except divergence.Diverged as error:
                    failed.append((task, str(error)))
                except loop.Interrupted as stopped:
                    own, whole = map(loop.resume_command, (task.run, folder))
                    raise loop.Interrupted(str(stopped).replace(own, whole)) from None
    if failed:
        lines = [f"{task}: {cause}" for task, cause in failed]
        head = f"{len(failed)} of {len(tasks)} parts failed; the others are on disk"
        again = f"try them again with: {loop.resume_command(folder)}"
        raise scheduler.Failed("\n".join([head, *lines, again]))


def _finish(cell: _Cell, supplies: execution.Supplies) -> None:
    """Join the arms of a cell, judge and report it."""
    missing, experiment = cell.missing, cell.missing.experiment
    fill, path = supplies.train_parts(missing), missing.folder
    with run_folder.lock(path), progress.lines():
        parts.delete(path)  # what a stopped command had taken from the pools
        plan, text = supplies.plan_of(missing), config_files.to_yaml(experiment)
        parts.begin(path, plan, text)
        if cell.finished is None:
            training.train(experiment, path, plan, fill, kept=film.kept(experiment))
            with trackers.following(experiment, path) as follower:
                follower.finish(run.run(experiment, path, lambda *_: None))
            return
        old, size = cell.finished.experiment, experiment.train.num_seeds
        whole = extension.train(old, experiment, path, fill, size)
        result = run.run(experiment, whole, lambda *_: None)
        extension.commit(path)
        with trackers.following(experiment, path) as follower:
            follower.finish(result)


def _judge(planned: config.Planned, folder: Path) -> study_results.StudyResult:
    """Judge all cells as one family; write the results, the table and the page."""
    judged = [
        study_results.JudgedCell(
            cell,
            planned.experiments[cell.name],
            results.read_run(folder / run_layout.CELLS / cell.name),
        )
        for cell in planned.cells
    ]
    result = study_results.judge(planned.study, judged)
    records.write(folder / study_results.FILE, result)
    run_files.write_text(folder / study_results.TABLE, study_results.table(result))
    # the page needs a plotting library, and training does not
    from shardsim.reports.verdicts import study as page

    page.write(folder)
    return result
