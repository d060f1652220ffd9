"""Extend a run by more seeds: the old run stays until the longer one is whole.

The new seeds are parts of the run. The longer run is joined, judged and reported in
`parts/whole`. Then a mark is set, and its files replace those of the old run; after a
stop in between, the next command on the run moves the rest.
"""

import dataclasses
from pathlib import Path

from shardsim.core import config_files, field_errors
from shardsim.evaluation import film, preregistration, results
from shardsim.execution import training
from shardsim.storage import provenance, records, run_files, run_folder, run_layout
from shardsim.training import parts, standalone

WHOLE = "whole"
"""Folder of the longer run, in that of the parts."""


def longer(
    config: training.Config, num_seeds: int, place: str = "num_seeds"
) -> training.Config:
    """The config with more seeds.

    Raises:
      ConfigError: the number is not larger, or does not suit the config.
    """
    now = config.train.num_seeds
    if num_seeds <= now:
        raise field_errors.ConfigError(
            f"{place}: got {num_seeds}; allowed: more than {now}, which the run has"
        )
    try:
        train = dataclasses.replace(config.train, num_seeds=num_seeds)
        return dataclasses.replace(config, train=train)
    except ValueError as error:
        raise field_errors.ConfigError(f"train.{error}") from None


def num_seeds_begun(run: Path) -> int | None:
    """Seeds to which a run is being extended; None: it is not."""
    plan = parts.read_plan(run)
    if plan is None or plan.blocks[0].first == 0:
        return None
    return plan.blocks[-1].seeds.stop


def check(run: Path, config: training.Config) -> None:
    """Check that a run can be extended by this process.

    Raises:
      RunError: it is not finished, its config was changed since, or seeds would depend
        on other versions or another kind of device.
    """
    path = run / results.FILE
    if not path.exists():
        raise run_files.RunError(
            f"{run}: got a run without {results.FILE}; allowed: a finished run "
            "(`shardsim resume` finishes it)"
        )
    if results.read(run).digest != training.configs.digest(config):
        raise run_files.RunError(
            f"{run / run_layout.CONFIG_FILE}: got another config than that of "
            f"{results.FILE}; allowed: the config of the results"
        )
    check_versions(run)


def check_versions(run: Path) -> None:
    """Check that seeds of this process would be like those that a run has.

    Raises:
      RunError: other versions or another kind of device than when the run began.
    """
    path = run / "provenance.json"
    lines = provenance.differences(records.read(path, provenance.Provenance))
    if lines:
        raise run_files.RunError(
            f"{path}: {lines[0]}, as for the seeds that the run has"
        )


def whole_folder(run: Path) -> Path:
    """Where the longer run is put together."""
    return run / run_layout.PARTS / WHOLE


def train(
    old: training.Config,
    config: training.Config,
    run: Path,
    train_parts: training.TrainParts,
    size: int,
) -> Path:
    """Train the seeds that are missing, and join them with those of the run.

    Args:
      old: config of the run.
      config: that with more seeds.
      run: its folder, locked.
      size: most seeds of a block.

    Returns:
      The run folder of the longer run; it is not judged yet.
    """
    begun = old.train.num_seeds
    plan = training.begin(config, run, begun, size)
    folder = whole_folder(run)
    if not (folder / run_layout.CONFIG_FILE).is_file():
        text = config_files.to_yaml(config)
        run_folder.create(folder, text, overwrite=True)
    has_questions = (folder / preregistration.FILE).exists()
    if not isinstance(config, standalone.Training) and not has_questions:
        preregistration.extend(run, folder, begun)
    source = parts.Source(parts.Block(0, begun), (run,))
    kept = None if isinstance(config, standalone.Training) else film.kept(config)
    training.train(config, run, plan, train_parts, out=folder, old=source, kept=kept)
    return folder


def commit(run: Path) -> None:
    """Put the files of the longer run, which is whole, in place of those of the run."""
    run_files.write_json(run / run_layout.PARTS / run_layout.COMMIT_FILE, {})
    finish_commit(run)


def finish_commit(run: Path) -> None:
    """Finish a `commit` that was stopped; otherwise do nothing."""
    mark = run / run_layout.PARTS / run_layout.COMMIT_FILE
    if not mark.exists():
        return
    folder = whole_folder(run)
    if folder.exists():
        (folder / "provenance.json").unlink(missing_ok=True)  # that of the run stays
        run_folder.adopt(run, folder)
    run_folder.remove_checkpoints(run)  # of fewer seeds
    parts.delete(run)
    mark.unlink()
    run_folder.remove_empty(mark.parent)
