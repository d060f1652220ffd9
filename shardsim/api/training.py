"""`shardsim.run`: what the commands `run` and `train` do, from Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shardsim.api import configs, runs, session
from shardsim.commands import devices
from shardsim.commands import run as run_command
from shardsim.commands import train as train_command
from shardsim.core import config_files, surroundings
from shardsim.core.interrupts import sigterm_as_interrupt
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import run_folder


def run(
    config: "str | Path | Mapping[str, Any] | configs.Config",
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    **changes: Any,
) -> runs.Run:
    """Train all arms of a config; judge and report an experiment.

    It is the function that `shardsim run` and `shardsim train` call, and writes the
    same folder. Progress is shown as there: a bar in a terminal, lines in a notebook.

    Args:
      config: a YAML file, nested mappings, or a config; with predictions it is an
        experiment, which is judged.
      out: run folder; None: runs/NAME.
      overwrite: replace an old run in that folder.
      changes: fields of the config with other values; see `shardsim.config`.

    Returns:
      The finished run.

    Raises:
      ConfigError: the config cannot be run: a line for each fault. Nothing is written.
      RunError: the folder exists.
      Interrupted: Ctrl-C or "Interrupt" of a notebook; `shardsim resume` goes on.
      Diverged: no seed of an arm has a finite loss any more.

    Examples:
      >>> shardsim.run(file, new_folder, train={"seed": 1})
      <run 'tiny': 2 seeds of mlp, sharded, untrained; finished>
      >>> shardsim.run(file, new_folder)
      Traceback (most recent call last):
      shardsim.storage.run_files.RunError: out: got ..., which exists; allowed: ...
    """
    with sigterm_as_interrupt(), surroundings.fixed_numerics():
        built = configs.configs_of(configs.prepared(config, changes))
        devices.check_new(built)
        folder = Path(out) if out is not None else Path("runs") / built.name
        with session.keywords_for_options():
            run_folder.create(folder, config_files.to_yaml(built), overwrite)
        if isinstance(built, Experiment):
            run_command.train_and_judge(built, folder)
        else:
            train_command.train(built, folder)
    return runs.load(folder)
