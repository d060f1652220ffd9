"""Agents of a contest as an ordinary run, for the inspection page and for Python."""

import dataclasses
from pathlib import Path
from typing import Any

from shardsim.contest import folder, histories, training
from shardsim.contest.config import Contest
from shardsim.core import config as configs
from shardsim.core import config_files, field_errors
from shardsim.storage import run_files, run_folder, trained
from shardsim.training import loop, standalone
from shardsim.training.arms import ArmConfig
from shardsim.training.phases import Phase
from shardsim_envs import ContextFruits


def is_contest(path: Path) -> bool:
    """Whether a folder is that of a contest."""
    return (path / folder.KIND.mark).is_file()


def read_config(path: Path) -> Contest:
    """The config of a contest.

    Raises:
      RunError: there is no contest.
      ConfigError: its config cannot be read.
    """
    if not is_contest(path):
        raise run_files.RunError(
            f"{path}: no contest here; allowed: a folder with {folder.KIND.mark}"
        )
    return configs.build(Contest, config_files.read_yaml(path / folder.CONFIG))


def write_run(
    path: Path, arm: str, history: str, condition: str | None, out: Path
) -> Path:
    """Write the agents of all seeds of an arm after a history as a run folder.

    Args:
      path: folder of the contest.
      arm: name of the arm.
      history: name of the history, its events joined by dots.
      condition: the world of the run is that of this condition; None: the first one.
      out: a new folder.

    Raises:
      RunError: no contest, or an agent is missing.
      ConfigError: no such arm, history or condition.
    """
    contest = read_config(path)
    words = {histories.name_of(word): word for word in contest.words}
    conditions = contest.evaluation.conditions
    condition = condition or next(iter(conditions))
    for field, got, known in (
        ("arms", arm, contest.arms),
        ("history", history, words),
        ("condition", condition, conditions),
    ):
        if got not in known:
            allowed = field_errors.one_of(known, got)
            raise field_errors.ConfigError(f"{field}: got {got!r}; allowed: {allowed}")
    word = words[history]
    config = as_training(contest, arm, word, condition)
    run_folder.create(out, config_files.to_yaml(config), overwrite=False)
    job = standalone.job_of(config, out, lambda *_: None)
    for sized in contest.sized_arms():
        if sized.name in config.arms:
            seeds = contest.train.num_seeds
            population = training.read(contest, path, sized, word, seeds)
            trained.write_weights(out, sized.name, population)
    loop.mark_trained(job)
    return out


def as_training(
    contest: Contest, arm: str, word: histories.Word, condition: str
) -> standalone.Training:
    """What a history is as a training of its own: a phase for each event.

    An untrained arm has a trained one beside it, since nothing is trained without one.

    Raises:
      ConfigError: the contest has none whose E and D are those of the untrained arm.
    """
    chosen = {arm: contest.arms[arm]}
    if not contest.arms[arm].trained:
        own = contest.agent_of(arm)
        alike = [n for n in contest.arms if contest.agent_of(n) == own]
        beside = [name for name in alike if contest.arms[name].trained]
        if not beside:
            raise field_errors.ConfigError(
                f"arms: got {arm!r}, which is not trained; allowed: with a trained arm "
                "whose agent is the same"
            )
        chosen[beside[0]] = contest.arms[beside[0]]
    events = tuple(
        dataclasses.replace(
            contest.event,
            name=f"{number + 1}: {event}",
            env=_scheduled(contest.world_of(event)),
        )
        for number, event in enumerate(word)
    )
    before: tuple[Phase, ...] = tuple(
        dataclasses.replace(phase, env={**_scheduled(contest.env), **phase.env})
        for phase in contest.pretraining
    )
    return standalone.Training(
        name=contest.name,
        env=contest.world_in(condition, word[-1]),
        agent=contest.agent_of(arm),
        arms={
            name: ArmConfig(each.head, each.trained, each.readout, each.match_params)
            for name, each in chosen.items()
        },
        train=dataclasses.replace(contest.train, phases=(*before, *events)),
    )


def _scheduled(world: ContextFruits) -> dict[str, Any]:
    """All fields of a world that a phase may change."""
    fields = configs.to_dict(world)
    return {name: fields[name] for name in world.SCHEDULED}
