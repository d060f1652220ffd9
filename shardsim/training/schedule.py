"""How arms are trained: sizes, phases, and the boundaries between compiled calls."""

import dataclasses
from pathlib import Path
from typing import Literal

import jax.numpy as jnp
import numpy as np

from shardsim import algorithms
from shardsim.agents import value
from shardsim.agents.action_selection import Acting, Lookahead
from shardsim.agents.agent import AgentConfig
from shardsim.algorithms import optimizers, rollout, update_step
from shardsim.algorithms.hyperparameters import Hyper
from shardsim.algorithms.losses import OBJECTIVES
from shardsim.core.types import Trainable, Trajectory
from shardsim.storage import datasets, run_folder
from shardsim.training import sweep
from shardsim.training.phases import Phase
from shardsim.training.population import Recipe


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
    """Parts of T in which a pass is made, a gradient step each."""
    pool_size: int = 32
    """Fresh levels made for each update; episodes that end start again from them."""
    discount: float = 0.95
    """gamma."""
    td_lambda: float = 0.9
    """lambda of TD(lambda), and of the advantages of a policy gradient."""
    acting: Acting = Lookahead()
    learn: algorithms.Learn = algorithms.TD()
    """What trains D by the `policy` row of the losses, if anything does."""
    walker: rollout.Walker = rollout.Walker()
    optimizer: optimizers.OptimizerConfig = optimizers.OptimizerConfig()
    mask_fraction: float = 0.25
    """Chance that a cell is hidden from E where the `masked` loss is in use."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type in which E and decoders compute; weights, V and optimiser are float32."""
    stored: str = ""
    """File of trajectories for phases whose data are `stored`; `shardsim collect`
    makes one."""
    grid: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    """Values of learning_rate, td_lambda, temperature, entropy or load_balance: every
    combination is trained with all seeds, in the same program."""
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
        if not 0 <= self.seed < 2**32:  # a key keeps no more
            _refuse(self, "seed", "0 to 2**32 - 1")
        if not 0 <= self.discount < 1:
            _refuse(self, "discount", "0 to less than 1")
        if not 0 <= self.td_lambda <= 1:
            _refuse(self, "td_lambda", "0 to 1")
        if self.num_steps % self.minibatches:
            _refuse(self, "minibatches", f"a divisor of num_steps, {self.num_steps}")
        if not 0 < self.mask_fraction < 1:
            _refuse(self, "mask_fraction", "more than 0 and less than 1")
        sweep.check(self.grid, self.learn, self.acting)
        if self.population % self.devices:
            many = "num_seeds times the grid" if self.grid else "num_seeds"
            _refuse(self, "devices", f"a divisor of {many}, {self.population}")
        if not self.phases:
            _refuse(self, "phases", "one or more")
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phases: got names {names}; allowed: different names")
        if self.total_updates >= 2**31:  # they are counted in 32 bits
            raise ValueError(
                f"phases: got {self.total_updates} updates; allowed: fewer than 2**31"
            )
        warmup = self.optimizer.schedule.warmup
        if warmup and warmup >= self.total_updates:
            raise ValueError(
                f"optimizer.schedule.warmup: got {warmup}; allowed: less than the "
                f"updates of all phases, {self.total_updates}"
            )
        _check_learning(self)

    @property
    def total_updates(self) -> int:
        return sum(phase.updates for phase in self.phases)

    @property
    def population(self) -> int:
        """N: seeds, times the points of the grid."""
        return self.num_seeds * sweep.size(self.grid)

    @property
    def objectives(self) -> tuple[str, ...]:
        """Self-supervised losses that some phase uses."""
        used = {name for phase in self.phases for name in phase.losses.objectives}
        return tuple(name for name in OBJECTIVES if name in used)


def _check_learning(config: TrainConfig) -> None:
    """Rules that learn D ask for an acting and data that suit them."""
    kind = config.learn.kind
    wanted = {"expert_iteration": "search", "ppo": "prior", "reinforce": "prior"}
    if kind in wanted and config.acting.kind != wanted[kind]:
        raise ValueError(
            f"acting.kind: got {config.acting.kind!r}; allowed with learn {kind!r}: "
            f"{wanted[kind]!r}"
        )
    samples = config.num_steps * config.num_envs // config.minibatches
    alike = isinstance(config.learn, algorithms.PPO) and config.learn.normalise
    if alike and samples < 2:
        few = "so few that each has two samples, else normalised advantages are all 0"
        _refuse(config, "minibatches", few)
    if kind == "reinforce" and config.epochs > 1:
        _refuse(config, "epochs", "1 with learn 'reinforce', which uses data once")
    for index, phase in enumerate(config.phases):
        place = f"phases.{index}"
        if phase.losses.policy.any and (kind == "td" or phase.data != "agent"):
            raise ValueError(
                f"{place}.losses.policy: got weights with learn {kind!r} and data "
                f"{phase.data!r}; allowed: none, or a rule that trains D (ppo, "
                "reinforce, expert_iteration) on data 'agent'"
            )
        if phase.data == "stored" and not config.stored:
            raise ValueError(
                f"{place}.data: got 'stored'; allowed: with a file in train.stored"
            )
    if kind != "td" and not any(p.losses.policy.any for p in config.phases):
        raise ValueError(
            f"learn.kind: got {kind!r}; allowed: 'td', or weights in the `policy` row "
            "of some phase's losses"
        )


def _refuse(config: TrainConfig, field: str, allowed: str) -> None:
    raise ValueError(f"{field}: got {getattr(config, field)!r}; allowed: {allowed}")


def hyper(config: TrainConfig, head: value.Head) -> Hyper:
    """The hyper-parameters of N elements of an arm, leaves [N].

    Element g * num_seeds + s is seed s at point g of the grid.
    """
    plain = {
        "learning_rate": config.optimizer.learning_rate,
        "td_lambda": config.td_lambda,
        "temperature": getattr(config.acting, "temperature", 1.0),
        "entropy": getattr(config.learn, "entropy", 0.0),
        "load_balance": sweep.own_balance(head),
    }
    rows = [{**plain, **point} for point in sweep.points(config.grid)]
    columns = {
        name: np.repeat([row[name] for row in rows], config.num_seeds) for name in plain
    }
    return Hyper(**{name: jnp.asarray(x, jnp.float32) for name, x in columns.items()})


def kept(config: TrainConfig, env: Trainable) -> Trajectory | None:
    """The stored trajectories that some phase learns from.

    Raises:
      RunError: no file of trajectories of this world.
    """
    if all(phase.data != "stored" for phase in config.phases):
        return None
    try:
        return datasets.load(Path(config.stored), env, config.num_steps)
    except run_folder.RunError as error:
        raise run_folder.RunError(f"train.stored: {error}") from None


def recipe(config: TrainConfig, agent: AgentConfig, env: Trainable) -> Recipe:
    """What fresh agents depend on besides their keys."""
    return Recipe(
        agent, config.optimizer, env, config.num_envs, config.objectives, config.devices
    )


def setting(
    config: TrainConfig, env: Trainable, heads: tuple[value.Head, ...], phase: Phase
) -> update_step.Setting:
    """What is static while a phase runs."""
    return update_step.Setting(
        env=env,
        heads=heads,
        acting=config.acting,
        learn=config.learn,
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
        total_updates=config.total_updates,
        mask_fraction=config.mask_fraction,
        precision=config.precision,
        devices=config.devices,
        balanced="load_balance" in config.grid
        or any(sweep.own_balance(head) > 0 for head in heads),
    )


def phase_at(config: TrainConfig, done: int) -> tuple[Phase, int]:
    """The phase after `done` updates of the run, and how many of them are its own."""
    since = done
    for phase in config.phases:
        if since < phase.updates:
            return phase, since
        since -= phase.updates
    raise ValueError(f"update: got {done} beyond the last phase")


def shared_phases(config: TrainConfig) -> int:
    """How many phases at the start no head takes part in: run once for all arms.

    In them neither the data nor any loss depends on V, and E, D and the auxiliary
    decoder start the same in every arm, so that they stay the same, bit for bit.
    """
    count = 0
    for phase in config.phases:
        if phase.data == "agent" or phase.losses.value.any:
            break
        count += 1
    return count


def ends(config: TrainConfig) -> dict[str, int]:
    """Updates of the run at the end of each phase, by its name."""
    done = np.cumsum([phase.updates for phase in config.phases]).tolist()
    return dict(zip((phase.name for phase in config.phases), done, strict=True))


def boundaries(config: TrainConfig, start: int) -> tuple[list[int], set[int]]:
    """Updates after which the host gets a turn, and those among them that are kept.

    Log-spaced from `start` (the end of the shared phases), so that the early, fast part
    of value formation is seen; every end of a phase is kept as well.
    """
    total, ended = config.total_updates, ends(config).values()
    spaced = np.geomspace(1, max(total - start, 1), config.snapshots).round()
    kept = {start, *(start + int(u) for u in spaced), *(e for e in ended if e >= start)}
    kept = {u for u in kept if u <= total}
    stops = sorted(kept | set(ended))
    filled: list[int] = []
    last = 0
    for stop in stops:
        filled += range(last + config.chunk_updates, stop, config.chunk_updates)
        filled.append(stop)
        last = stop
    return [u for u in filled if u > 0], kept
