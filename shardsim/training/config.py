"""The `train` block of a config: sizes, phases and how agents learn."""

import dataclasses
from typing import Literal

from shardsim import algorithms
from shardsim.agents.action_selection import ActionSelection, Lookahead
from shardsim.algorithms import optimizers, rollout
from shardsim.algorithms.losses import OBJECTIVES
from shardsim.training import sweep
from shardsim.training.phases import Phase


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
    num_reset_states: int = 32
    """Fresh levels made for each update; episodes that end start again from them."""
    discount: float = 0.95
    """gamma."""
    td_lambda: float = 0.9
    """lambda of TD(lambda), and of the advantages of a policy gradient."""
    action_selection: ActionSelection = Lookahead()
    algorithm: algorithms.Algorithm = algorithms.TD()
    """What trains D by the `policy` row of the losses, if anything does."""
    random_walker: rollout.RandomWalker = rollout.RandomWalker()
    optimizer: optimizers.OptimizerConfig = optimizers.OptimizerConfig()
    mask_fraction: float = 0.25
    """Chance that a cell is hidden from E where the `masked` loss is in use."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type in which E and decoders compute; weights, V and optimiser are float32."""
    dataset: str = ""
    """File of trajectories for phases that collect `dataset`; `shardsim collect`
    makes one."""
    sweep: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    """Values of learning_rate, td_lambda, temperature, entropy or load_balance: every
    combination is trained with all seeds, in the same program."""
    data: Literal["own", "tandem"] = "own"
    """own: each arm learns from its own rollouts. tandem: all learn from the same
    trajectories, those of `behaviour_arm`, so that what V represents can be told apart
    from what it brings about."""
    behaviour_arm: str | None = None
    """The arm that acts for all in `tandem`; None is the first."""
    num_snapshots: int = 8
    """Times, log-spaced over training, at which V is kept and measured."""
    updates_per_call: int = 64
    """Most updates in one compiled call; a signal is heeded between calls."""
    devices: int = 1
    """Devices over which the seeds are spread evenly."""

    def __post_init__(self) -> None:
        ones = "num_seeds num_envs num_steps epochs minibatches num_reset_states"
        for field in (*ones.split(), "num_snapshots", "updates_per_call", "devices"):
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
        sweep.check(self.sweep, self.algorithm, self.action_selection)
        if self.population % self.devices:
            many = "num_seeds times the sweep" if self.sweep else "num_seeds"
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
        return self.num_seeds * sweep.size(self.sweep)

    @property
    def objectives(self) -> tuple[str, ...]:
        """Self-supervised losses that some phase uses."""
        used = {name for phase in self.phases for name in phase.losses.objectives}
        return tuple(name for name in OBJECTIVES if name in used)


def _check_learning(config: TrainConfig) -> None:
    """Rules that learn D ask for an acting and data that suit them."""
    kind = config.algorithm.kind
    wanted = {
        "expert_iteration": "search",
        "ppo": "policy_only",
        "reinforce": "policy_only",
    }
    if kind in wanted and config.action_selection.kind != wanted[kind]:
        raise ValueError(
            f"action_selection.kind: got {config.action_selection.kind!r}; allowed with algorithm {kind!r}: "
            f"{wanted[kind]!r}"
        )
    samples = config.num_steps * config.num_envs // config.minibatches
    alike = isinstance(config.algorithm, algorithms.PPO) and config.algorithm.normalise
    if alike and samples < 2:
        few = "so few that each has two samples, else normalised advantages are all 0"
        _refuse(config, "minibatches", few)
    if kind == "reinforce" and config.epochs > 1:
        _refuse(config, "epochs", "1 with algorithm 'reinforce', which uses data once")
    for index, phase in enumerate(config.phases):
        place = f"phases.{index}"
        if phase.losses.policy.any and (kind == "td" or phase.collect != "agent"):
            raise ValueError(
                f"{place}.losses.policy: got weights with algorithm {kind!r} and collect "
                f"{phase.collect!r}; allowed: none, or a rule that trains D (ppo, "
                "reinforce, expert_iteration) on collect 'agent'"
            )
        if phase.collect == "dataset" and not config.dataset:
            raise ValueError(
                f"{place}.collect: got 'dataset'; allowed: with a file in train.dataset"
            )
    if kind != "td" and not any(p.losses.policy.any for p in config.phases):
        raise ValueError(
            f"algorithm.kind: got {kind!r}; allowed: 'td', or weights in the `policy` row "
            "of some phase's losses"
        )


def _refuse(config: TrainConfig, field: str, allowed: str) -> None:
    raise ValueError(f"{field}: got {getattr(config, field)!r}; allowed: {allowed}")
