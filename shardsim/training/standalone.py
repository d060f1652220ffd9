"""Training without evaluation: any environment, any heads, no exact values or verdicts.

This is the config and the run of `shardsim train`. The run folder holds the metrics of
every chunk, the weights, and the results of every arm.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, TypeAlias

import numpy as np

from shardsim.agents import action_selection, value
from shardsim.agents import agent as agents
from shardsim.core import config as configs
from shardsim.core import field_errors, fields
from shardsim.core.types import Environment
from shardsim.storage import records
from shardsim.training import arms as arm_rules
from shardsim.training import (
    divergence,
    external_envs,
    loop,
    metric_records,
    phases,
    results,
    schedule,
    sweep,
    trackers,
)
from shardsim.training.arms import Arm, ArmConfig, size_arms
from shardsim.training.config import TrainConfig
from shardsim_envs import World

AnyEnv: TypeAlias = World | external_envs.Gymnax | external_envs.Gymnasium
"""Every environment that can be trained in."""


@fields.record
class Training:
    """A training without predictions: any env, any arms."""

    name: fields.Name
    """Name of the training and of its default run folder."""
    env: AnyEnv
    """The environment, one of this project or an external one."""
    arms: dict[fields.Name, ArmConfig]
    """The architectures that are trained, by name."""
    train: TrainConfig
    """How all arms are trained."""
    agent: agents.AgentConfig = agents.AgentConfig()
    """Encoder and decoder, which all arms share."""
    log: tuple[trackers.Tracker, ...] = ()
    """Trackers that show the metrics beside metrics.jsonl: `tensorboard`, `wandb`. They
    change no result, and one that fails is left out."""

    WITHOUT_EFFECT: ClassVar[tuple[str, ...]] = trackers.FIELDS

    @fields.rule("arms")
    def _arms(self) -> Iterator[str]:
        yield from arm_rules.name_faults(self.arms)

    @fields.rule("arms", "train")
    def _trained_arms(self) -> Iterator[str]:
        balanced = any(isinstance(a.head, value.Balanced) for a in self.arms.values())
        if "load_balance" in self.train.sweep and not balanced:
            yield "train.sweep.load_balance: got values; allowed with a sharded arm"
        yield from arm_rules.training_faults(self.arms, self.train)

    @fields.rule("arms", "env")
    def _labelled_arms(self) -> Iterator[str]:
        yield from arm_rules.env_faults(self.arms, self.env)

    @fields.rule("train", "env")
    def _phases(self) -> Iterator[str]:
        for index, phase in enumerate(self.train.phases):
            place = f"train.phases.{index}"
            yield from field_errors.faults(place, phases.altered, self.env, phase.env)
            if isinstance(self.env, Environment):
                continue
            if phase.reset_envs and isinstance(self.env, external_envs.Gymnasium):
                yield (
                    f"{place}.reset_envs: got True; allowed with an environment on the "
                    "host: False"
                )
            if phase.collect == "random_walker":
                yield (
                    f"{place}.collect: got 'random_walker'; allowed in environments "
                    "without a board: 'agent'"
                )
            for name in ("observation", "masked"):
                if getattr(phase.losses, name).any:
                    yield (
                        f"{place}.losses.{name}: got weights; allowed in "
                        "environments whose observations are not planes: none"
                    )

    @fields.rule("train", "env")
    def _acting(self) -> Iterator[str]:
        selection = self.train.action_selection
        uses_value = not isinstance(selection, action_selection.PolicyOnly)
        if isinstance(self.env, external_envs.Gymnasium) and uses_value:
            yield (
                f"train.action_selection: got {selection.kind!r}; allowed with an "
                "environment on the host, which has no lookahead: 'policy_only'"
            )

    def sized_arms(self) -> tuple[Arm, ...]:
        """Every arm with the width at which it meets the budget."""
        return size_arms(self.arms, self.agent, self.env)


def job_of(
    training: Training, folder: Path, progress: loop.Progress
) -> loop.TrainingJob:
    """The inputs of the training loop.

    Raises:
      RunError: the dataset file cannot be used.
    """
    return loop.TrainingJob(
        training.env,
        training.agent,
        training.train,
        training.sized_arms(),
        folder,
        _snapshot_metrics,
        progress,
        schedule.load_dataset(training.train, training.env),
    )


def _snapshot_metrics(
    arm: str, update: int, population: agents.Agent
) -> metric_records.SnapshotMetrics:
    """Nothing is measured."""
    del population
    return metric_records.SnapshotMetrics(arm=arm, update=update)


def run(
    training: Training, folder: Path, progress: loop.Progress
) -> results.TrainingResult:
    """Train every arm and write the results to a run folder.

    Args:
      folder: an existing run folder.
      progress: called after every chunk.

    Returns:
      The result, as written to results.json.

    Raises:
      RunError: the dataset file cannot be used.
      Interrupted, Diverged: as `loop.run`.
    """
    start = time.perf_counter()
    loop.run(job_of(training, folder, progress))
    last = {chunk.arm: chunk for chunk in metric_records.chunks(folder)}
    result = results.TrainingResult(
        name=training.name,
        digest=configs.digest(training),
        num_seeds=training.train.num_seeds,
        sweep=tuple(sweep.points(training.train.sweep)),
        arms={
            name: _trained_arm(training.train, last[name])
            for name in training.arms
            if name in last
        },
    )
    records.write(folder / results.FILE, result)
    timing = results.Timing(training_seconds=time.perf_counter() - start)
    records.write(folder / "timing.json", timing)
    loop.finish(folder)
    return result


def _trained_arm(
    train: TrainConfig, chunk: metric_records.ChunkMetrics
) -> results.TrainedArm:
    """The results of an arm, from its last chunk.

    The means are over the elements that did not diverge and in which an episode ended.
    """
    num_seeds = train.num_seeds
    diverged = chunk.diverged or (None,) * train.population
    pairs = zip(chunk.reward_per_episode, diverged, strict=True)
    reward = tuple(number if update is None else None for number, update in pairs)
    points = [reward[n : n + num_seeds] for n in range(0, len(reward), num_seeds)]
    return results.TrainedArm(
        reward_per_episode=reward,
        mean_reward_per_episode=mean_of(reward),
        point_mean_reward_per_episode=tuple(mean_of(point) for point in points),
        diverged=diverged,
    )


def describe_arm(train: TrainConfig, name: str, arm: results.TrainedArm) -> str:
    """One line on the reward of an arm, and on the elements that diverged."""
    mean, diverged = arm.mean_reward_per_episode, arm.diverged
    reward = "no episode ended" if mean is None else f"{mean:.3f} reward per episode"
    line = f"{name}: {reward} in the last chunk"
    if all(update is None for update in diverged):
        return line
    return f"{line}; {divergence.describe(train.sweep, train.num_seeds, diverged)}"


def mean_of(reward: Sequence[float | None]) -> float | None:
    """The mean of the numbers that are not None; None if there are none."""
    numbers = [x for x in reward if x is not None]
    return float(np.mean(numbers)) if numbers else None
