"""Run a contest, or what is missing of one: train, ask, forecast, judge."""

from collections.abc import Sequence
from pathlib import Path

from shardsim.contest import asking, folder, training
from shardsim.contest.config import Contest
from shardsim.contest.evidence import Evidence


def steps(contest: Contest) -> int:
    """Number of steps that `run` reports."""
    seeds = range(contest.train.num_seeds)
    return training.count(contest, seeds) + len(contest.arms) * len(contest.words)


def train(
    contest: Contest,
    path: Path,
    seeds: Sequence[int],
    advance: training.Advance = lambda done: None,
) -> None:
    """Train the agents of some seeds, and leave their states for the others.

    Args: as `training.train`.
    """
    training.train(contest, path, seeds, advance)


def evidence(
    contest: Contest, path: Path, advance: training.Advance = lambda done: None
) -> Evidence:
    """Train what is missing of all agents, and ask all of them in all conditions.

    Args:
      path: folder of the contest, which `folder.begin` has made.
      advance: called after each step.
    """
    training.train(contest, path, range(contest.train.num_seeds), advance)
    everything = asking.ask(contest, path, advance)
    folder.remove_states(path)
    return everything
