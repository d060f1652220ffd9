"""results.json of `shardsim train`: how every arm did in the end.

Symbols: N = points of the sweep x seeds, the seeds of a point beside each other.
"""

import dataclasses
from typing import Literal

from shardsim.storage import records

FILE = "results.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedArm:
    """One arm at the end of training."""

    reward_per_episode: records.SeedNumbers
    """[N], reward per episode in the last chunk; None where no episode ended in it, or
    the element diverged."""
    mean_reward_per_episode: records.Number
    """Mean of those numbers; None where there are none."""
    point_mean_reward_per_episode: records.SeedNumbers
    """For each point of the sweep, the mean over its seeds."""
    diverged: tuple[int | None, ...]
    """[N], the update in which the loss stopped to be finite; None where it did not."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """Everything that a training without evaluation ends with."""

    kind: Literal["training"] = "training"
    name: str
    digest: str
    """Digest of the config."""
    num_seeds: int
    sweep: tuple[dict[str, float], ...]
    """The points of the sweep, each as hyper-parameter -> value; one without any for a
    training that sweeps nothing."""
    arms: dict[str, TrainedArm]


@dataclasses.dataclass(frozen=True)
class Timing:
    """timing.json: wall time of the last process that worked on the run, in seconds."""

    training_seconds: float
    evaluation_seconds: float | None = None
    """Evaluation, judgement and report; None for a training."""
