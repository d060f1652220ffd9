"""How arms are trained: sizes, phases, and the boundaries between compiled calls."""

import dataclasses
from typing import Any, Literal

import numpy as np

from shardsim import optimize, rollout, train, value
from shardsim.acting import Acting, Lookahead
from shardsim.losses import LossTable
from shardsim.types import Params, Trainable


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of a schedule: its world, its data, and what learns."""

    name: str
    updates: int
    data: Literal["walker", "agent"] = "agent"
    """Who acts: the goal-agnostic walker, or the agent itself."""
    losses: LossTable = LossTable()
    world: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the world that differ in this phase (rewards, what is shown)."""

    def __post_init__(self) -> None:
        if self.updates < 1:
            raise ValueError(f"updates: got {self.updates}; allowed: at least 1")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One loop for every arm; only the head differs."""

    phases: tuple[Phase, ...]
    num_seeds: int = 8
    """N, training seeds: the unit of every statistic."""
    seed: int = 0
    """Root of all keys of training."""
    num_envs: int = 16
    """B, environments of one agent."""
    num_steps: int = 16
    """T, steps of each environment between two updates."""
    epochs: int = 4
    """Passes over the T x B samples of an update."""
    minibatches: int = 1
    """Parts of B in which a pass is made, a gradient step each."""
    pool_size: int = 32
    """Fresh levels made for each update; episodes that end start again from them."""
    discount: float = 0.95
    """gamma."""
    td_lambda: float = 0.9
    """lambda of TD(lambda)."""
    acting: Acting = Lookahead()
    walker: rollout.Walker = rollout.Walker()
    optimizer: optimize.OptimizerConfig = optimize.OptimizerConfig()
    data: Literal["own", "paired"] = "own"
    """own: each arm learns from its own acting. paired: all learn from the same
    trajectories, those of `behaviour`, so that what V represents can be told apart
    from what it brings about."""
    behaviour: str | None = None
    """The arm that acts for all in `paired`; None is the first."""
    snapshots: int = 8
    """Times, log-spaced over training, at which V is kept and measured."""
    chunk_updates: int = 64
    """Most updates in one compiled call; a signal is heeded between calls."""
    devices: int = 1
    """Devices over which the seeds are spread evenly."""

    def __post_init__(self) -> None:
        ones = "num_seeds num_envs num_steps epochs minibatches pool_size snapshots"
        for field in (*ones.split(), "chunk_updates", "devices"):
            if getattr(self, field) < 1:
                _refuse(self, field, "at least 1")
        if not 0 <= self.discount < 1:
            _refuse(self, "discount", "0 to less than 1")
        if not 0 <= self.td_lambda <= 1:
            _refuse(self, "td_lambda", "0 to 1")
        if self.num_envs % self.minibatches:
            _refuse(self, "minibatches", f"a divisor of num_envs, {self.num_envs}")
        if self.num_seeds % self.devices:
            _refuse(self, "devices", f"a divisor of num_seeds, {self.num_seeds}")
        if not self.phases:
            _refuse(self, "phases", "one or more")
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phases: got names {names}; allowed: different names")

    @property
    def total_updates(self) -> int:
        return sum(phase.updates for phase in self.phases)


def _refuse(config: TrainConfig, field: str, allowed: str) -> None:
    raise ValueError(f"{field}: got {getattr(config, field)!r}; allowed: {allowed}")


def phase_params(env: Trainable, phase: Phase) -> Params:
    """The world of a phase.

    Raises:
      ValueError: a field that no phase may change, or that the world refuses.
    """
    return altered(env, phase.world).params()


def altered(env: Trainable, fields: dict[str, Any]) -> Trainable:
    """The world with some of its scheduled fields changed."""
    for field in fields:
        if field not in env.SCHEDULED:
            allowed = ", ".join(env.SCHEDULED)
            raise ValueError(f"world.{field}: unknown key; allowed: {allowed}")
    try:
        other = dataclasses.replace(env, **_frozen(fields))  # type: ignore[type-var]
    except ValueError as error:
        raise ValueError(f"world.{error}") from None
    except TypeError as error:
        raise ValueError(
            f"world: got {fields!r}; allowed: fields as in the world ({error})"
        ) from None
    if other.observation_shape != env.observation_shape:
        raise ValueError(
            f"world: got {fields!r}; allowed: what leaves the observation as it is"
        )
    return other


def _frozen(data: Any) -> Any:
    """Lists as tuples, for the fields of a frozen world."""
    if isinstance(data, dict):
        return {key: _frozen(inner) for key, inner in data.items()}
    if isinstance(data, list | tuple):
        return tuple(_frozen(inner) for inner in data)
    return data


def setting(
    config: TrainConfig, env: Trainable, heads: tuple[value.Head, ...], phase: Phase
) -> train.Setting:
    """What is static while a phase runs."""
    return train.Setting(
        env=env,
        heads=heads,
        acting=config.acting,
        walker=config.walker,
        optimizer=config.optimizer,
        table=phase.losses,
        data=phase.data,
        num_envs=config.num_envs,
        num_steps=config.num_steps,
        epochs=config.epochs,
        minibatches=config.minibatches,
        pool_size=config.pool_size,
        discount=config.discount,
        lambda_=config.td_lambda,
    )


def shared_phases(config: TrainConfig) -> int:
    """How many phases at the start no head takes part in: run once for all arms.

    In them neither the data nor any loss depends on V, and E, D and the auxiliary
    decoder start the same in every arm, so that they stay the same, bit for bit.
    """
    count = 0
    for phase in config.phases:
        if phase.data != "walker" or phase.losses.value.any:
            break
        count += 1
    return count


def boundaries(config: TrainConfig, start: int) -> tuple[list[int], set[int]]:
    """Updates after which the host gets a turn, and those among them that are kept.

    Log-spaced from `start` (the end of the shared phases), so that the early, fast part
    of value formation is seen; every end of a phase is kept as well.
    """
    total = config.total_updates
    ends = np.cumsum([phase.updates for phase in config.phases]).tolist()
    spaced = np.geomspace(1, max(total - start, 1), config.snapshots).round()
    kept = {start, *(start + int(u) for u in spaced), *(e for e in ends if e >= start)}
    kept = {u for u in kept if u <= total}
    stops = sorted(kept | set(ends))
    filled: list[int] = []
    last = 0
    for stop in stops:
        filled += range(last + config.chunk_updates, stop, config.chunk_updates)
        filled.append(stop)
        last = stop
    return [u for u in filled if u > 0], kept
