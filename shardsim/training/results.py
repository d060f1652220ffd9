"""results.json of `shardsim train`: the reward of every arm at the end of training.

Symbols: N = points of the sweep x seeds; the seeds of a point are adjacent.
"""

from typing import Literal

from shardsim.core import fields
from shardsim.storage import records

FILE = "results.json"


@fields.record(kw_only=True, float64=True)
class TrainedArm:
    """One arm at the end of training."""

    reward_per_episode: records.SeedNumbers
    """[N], reward per episode in the last chunk; None if no episode ended in it, or if
    the element diverged."""
    mean_reward_per_episode: records.Number
    """Mean of these numbers without None; None if there are none."""
    point_mean_reward_per_episode: records.SeedNumbers
    """For each point of the sweep, the mean over its seeds."""
    diverged: tuple[int | None, ...]
    """[N], the update at which the loss was first not finite; None if it always was
    finite."""


@fields.record(kw_only=True, float64=True)
class TrainingResult:
    """The results of a training without evaluation."""

    kind: Literal["training"] = "training"
    name: str
    digest: str
    """Digest of the config."""
    num_seeds: int
    sweep: tuple[dict[str, float], ...]
    """The points of the sweep, each as hyperparameter -> value; a single empty point
    without a sweep."""
    arms: dict[str, TrainedArm]


@fields.record(float64=True)
class Timing:
    """timing.json: wall time of the last process of the run, in seconds."""

    training_seconds: float
    evaluation_seconds: float | None = None
    """Evaluation, verdicts and report; None for a training without evaluation."""
