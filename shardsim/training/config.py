"""The `train` block of a config: phases, batch sizes, algorithm and optimizer."""

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from shardsim import algorithms
from shardsim.agents.action_selection import ActionSelection, Lookahead
from shardsim.algorithms import optimizers, rollout
from shardsim.algorithms.losses import OBJECTIVES
from shardsim.core import fields
from shardsim.training import sweep
from shardsim.training.phases import Phase
from shardsim.training.sweep import Grid


@fields.record
class TrainConfig:
    """How every arm is trained: phases, batch sizes, algorithm and optimizer."""

    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    """The phases of training, in order."""
    num_seeds: PositiveInt = 8
    """N, training seeds of each arm: the unit of every statistic."""
    seed: fields.Seed = 0
    """Root of all random keys of training."""
    num_envs: PositiveInt = 16
    """B, parallel environments of each agent."""
    num_steps: PositiveInt = 16
    """T, steps of each environment between two updates."""
    epochs: PositiveInt = 4
    """Passes over the T x B samples of an update."""
    minibatches: PositiveInt = 1
    """Gradient steps of a pass, each on its own part of T; a divisor of num_steps."""
    num_reset_states: PositiveInt = 32
    """Initial states generated for each update; finished episodes restart from them."""
    discount: fields.Decay = 0.95
    """gamma, the discount of one step."""
    td_lambda: fields.Fraction = 0.9
    """lambda of the lambda-return, and of generalised advantage estimation."""
    action_selection: ActionSelection = Lookahead()
    """How actions are selected in training."""
    algorithm: algorithms.Algorithm = algorithms.TD()
    """What trains D through the `policy` row of the losses, if anything does."""
    random_walker: rollout.RandomWalker = rollout.RandomWalker()
    """The random walker of self-supervised phases."""
    optimizer: optimizers.OptimizerConfig = optimizers.OptimizerConfig()
    """The optimizer of all parts."""
    mask_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Probability that a cell is hidden from E for the `masked` loss."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type in which E and the decoders compute; weights, V and the optimizer state are
    float32."""
    dataset: str = ""
    """Dataset file for phases that learn from one; `shardsim collect` writes it."""
    sweep: Grid = dataclasses.field(default_factory=dict)
    """Values of learning_rate, td_lambda, temperature, entropy or load_balance. Every
    combination is trained with all seeds, in one compiled program."""
    data: Literal["own", "tandem"] = "own"
    """`own`: each arm learns from its own behaviour. `tandem`: all arms learn from the
    trajectories of one arm, which separates what V represents from what it causes."""
    behaviour_arm: str | None = None
    """The arm that acts for all arms if data is `tandem`; null: the first one."""
    num_snapshots: PositiveInt = 8
    """Checkpoints at which V is saved and measured, log-spaced over training."""
    snapshots: Literal["values", "full"] = "values"
    """What a finished experiment keeps of them: `values`, what agents put out in the
    levels that a page shows, or `full`, E, D and V. It is `full` at the end of a phase
    that a prediction reads, where outputs take more space, and in a training."""
    updates_per_call: PositiveInt = 64
    """Most updates in one compiled call; a signal is handled between calls."""
    devices: PositiveInt = 1
    """Devices that the seeds are spread over evenly."""

    @fields.rule("num_steps", "minibatches")
    def _whole_minibatches(self) -> Iterator[str]:
        if self.num_steps % self.minibatches:
            yield self._fault(
                "minibatches", f"a divisor of num_steps, {self.num_steps}"
            )

    @fields.rule("sweep", "algorithm", "action_selection")
    def _sweep(self) -> Iterator[str]:
        yield from sweep.faults(self.sweep, self.algorithm, self.action_selection)

    @fields.rule("num_seeds", "sweep", "devices")
    def _even_devices(self) -> Iterator[str]:
        if self.population % self.devices:
            total = "num_seeds times the sweep" if self.sweep else "num_seeds"
            yield self._fault("devices", f"a divisor of {total}, {self.population}")

    @fields.rule("phases")
    def _phases(self) -> Iterator[str]:
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            yield f"phases: got names {names}; allowed: different names"
        if self.total_updates >= 2**31:  # the counter is an int32
            yield f"phases: got {self.total_updates} updates; allowed: fewer than 2**31"

    @fields.rule("phases", "optimizer")
    def _warmup(self) -> Iterator[str]:
        warmup = self.optimizer.schedule.warmup
        if warmup and warmup >= self.total_updates:
            yield (
                f"optimizer.schedule.warmup: got {warmup}; allowed: less than the "
                f"updates of all phases, {self.total_updates}"
            )

    @fields.rule("algorithm", "action_selection")
    def _acting(self) -> Iterator[str]:
        kind, selection = self.algorithm.kind, self.action_selection.kind
        required = {
            "expert_iteration": "search",
            "ppo": "policy_only",
            "reinforce": "policy_only",
        }
        if kind in required and selection != required[kind]:
            yield (
                f"action_selection.kind: got {selection!r}; allowed with algorithm "
                f"{kind!r}: {required[kind]!r}"
            )

    @fields.rule("algorithm", "num_steps", "num_envs", "minibatches", "epochs")
    def _samples(self) -> Iterator[str]:
        algorithm = self.algorithm
        samples = self.num_steps * self.num_envs // self.minibatches
        standardised = isinstance(algorithm, algorithms.PPO) and algorithm.normalise
        if standardised and samples < 2:
            yield self._fault(
                "minibatches",
                "so few that each has two samples, else normalised advantages are 0",
            )
        if algorithm.kind == "reinforce" and self.epochs > 1:
            yield self._fault(
                "epochs", "1 with algorithm 'reinforce', which uses data once"
            )

    @fields.rule("algorithm", "phases", "dataset")
    def _losses(self) -> Iterator[str]:
        kind = self.algorithm.kind
        for index, phase in enumerate(self.phases):
            place = f"phases.{index}"
            if phase.losses.policy.any and (kind == "td" or phase.collect != "agent"):
                yield (
                    f"{place}.losses.policy: got weights with algorithm {kind!r} and "
                    f"collect {phase.collect!r}; allowed: none, or an algorithm that "
                    "trains D (ppo, reinforce, expert_iteration) with collect 'agent'"
                )
            if phase.collect == "dataset" and not self.dataset:
                yield (
                    f"{place}.collect: got 'dataset'; allowed: with a file in "
                    "train.dataset"
                )
        if kind != "td" and not any(p.losses.policy.any for p in self.phases):
            yield (
                f"algorithm.kind: got {kind!r}; allowed: 'td', or weights in the "
                "`policy` row of some phase's losses"
            )

    def _fault(self, field: str, allowed: str) -> str:
        return f"{field}: got {getattr(self, field)!r}; allowed: {allowed}"

    @property
    def total_updates(self) -> int:
        """Updates of all phases."""
        return sum(phase.updates for phase in self.phases)

    @property
    def population(self) -> int:
        """N, the number of seeds times the points of the sweep."""
        return self.num_seeds * sweep.size(self.sweep)

    @property
    def objectives(self) -> tuple[str, ...]:
        """Self-supervised losses that at least one phase uses."""
        used = {name for phase in self.phases for name in phase.losses.objectives}
        return tuple(name for name in OBJECTIVES if name in used)
