"""What agents do in whole episodes, also where no exact values are known.

Symbols: N seeds, L levels, M episodes of each level.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from shardsim.agents import agent as agents
from shardsim.core import field_errors, fields
from shardsim.core.statistics import crossed
from shardsim.core.types import Environment
from shardsim.evaluation import battery, rollouts
from shardsim.evaluation.measures import base

METRICS = {
    "return": "return of an episode",
    "episodes": "episodes in which the event happens",
    "times": "how often the event happens in an episode",
}
UNITS = {
    "return": "return",
    "episodes": "share of episodes",
    "times": "times per episode",
}


@fields.record
class Rollouts:
    """What agents do in whole episodes, which are played from the levels' starts.

    Its row `ARM/random` is the same of equally likely actions. V* has no number.
    """

    ROWS: ClassVar[tuple[str, ...]] = ("random",)
    BY_ROLLOUTS: ClassVar[bool] = True
    # many episodes for each agent
    AT_SNAPSHOTS: ClassVar[bool] = False
    kind: Literal["rollouts"] = "rollouts"
    condition: str = "in_distribution"
    """Condition in which the episodes are played."""
    of: Literal["return", "episodes", "times"] = "return"
    """The discounted return; the share of episodes in which the event happens; or the
    number of steps of an episode in which it happens."""
    event: str | None = None
    """What is counted: a source of reward or a proxy goal of the env. It happens in a
    step that gives its reward, so the reward must not be 0. Null for returns."""
    episodes: Annotated[int, Field(ge=2, le=10_000)] = 16
    """M, episodes of each level."""
    steps: Annotated[int, Field(ge=1, le=rollouts.MOST_STEPS)] | None = None
    """Steps after which an episode is cut off, also beyond the env's `max_steps`; null:
    at that time limit."""
    seed: fields.Seed = 0
    """Seed of actions and chance in the episodes, the same for all arms and seeds."""

    @fields.rule("of", "event")
    def _named_event(self) -> Iterator[str]:
        if self.of == "return" and self.event is not None:
            yield f"event: got {self.event!r}; allowed with of 'return': null"
        if self.of != "return" and self.event is None:
            yield f"event: got null; allowed with of {self.of!r}: the name of an event"

    def env_faults(self, env: Environment) -> Iterator[str]:
        """An event that the environment does not have, or episodes without an end."""
        known = rollouts.events(env)
        if self.event is not None and self.event not in known:
            allowed = field_errors.one_of(known, self.event)
            yield f"event: got {self.event!r}; allowed: {allowed}"
        if self.steps is None and env.max_steps > rollouts.MOST_STEPS:
            yield (
                f"steps: got null with env.max_steps {env.max_steps}; allowed: 1 to "
                f"{rollouts.MOST_STEPS}"
            )

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,)

    @property
    def METRIC(self) -> str:
        return METRICS[self.of].replace("the event", repr(self.event))

    @property
    def UNIT(self) -> str:
        return UNITS[self.of]

    @property
    def ABOUT(self) -> str:
        return "return" if self.of == "return" else "policy"

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """X = mean over levels and episodes of x, one number of an episode.

        x is sum_t gamma^t r_t for returns, 1 or 0 where an event happens or does not,
        or the number of steps in which it does. Actions are drawn from the policy of
        the acting rule. Levels and random numbers are the same for all arms and seeds,
        so intervals over levels count the chance of episodes too.

        Raises:
          ValueError: the evidence has no networks.
        """
        levels: battery.Levels | battery.Condition
        if self.condition in evidence.unlisted:
            levels = evidence.unlisted[self.condition]
        else:
            levels = evidence.conditions[self.condition]
        arms = [arm for arm in evidence.readings if arm != base.EXACT]
        missing = [arm for arm in arms if arm not in evidence.populations]
        if missing:
            raise ValueError(
                f"rollouts: got no network of arm {missing[0]!r}; allowed: agents that "
                "shardsim trained"
            )
        at_random = self._play(evidence, levels, None).mean(axis=1)
        weights = crossed.level_weights(
            np.zeros(len(at_random), int), evidence.level_resamples
        )
        nothing = np.full((len(weights), 1), np.nan)
        rows = {base.EXACT: nothing, f"{base.EXACT}/random": nothing}
        details = []
        for arm in arms:
            played = rollouts.each_agent(evidence.populations[arm])
            each = np.stack([self._play(evidence, levels, agent) for agent in played])
            shape = (len(played), len(at_random))
            rows[arm] = _mean(each.mean(axis=2), weights)
            rows[f"{arm}/random"] = _mean(np.broadcast_to(at_random, shape), weights)
            details.append(self._detail(arm, each))
        return base.resampled(rows, len(at_random), details)

    def _play(
        self,
        evidence: base.Evidence,
        levels: battery.Levels | battery.Condition,
        agent: agents.Agent | None,
    ) -> Float[np.ndarray, "L M"]:
        """The number of every episode of one agent."""
        acting = evidence.acting
        steps = acting.max_steps if self.steps is None else self.steps
        played = rollouts.play(
            evidence.env, agent, levels, acting, steps, self.episodes, self.seed
        )
        if self.event is None:
            return played.returns.astype(np.float64)
        times = played.times[..., rollouts.events(evidence.env).index(self.event)]
        return (times > 0 if self.of == "episodes" else times).astype(np.float64)

    def _detail(self, arm: str, each: Float[np.ndarray, "N L M"]) -> base.Detail:
        """The mean with the error that the number of episodes leaves."""
        # all seeds meet the same chance, so episodes vary as their mean over seeds does
        variance = each.mean(axis=0).var(axis=1, ddof=1)
        error = float(np.sqrt(variance.mean() / each[0].size))
        mean = float(each.mean())
        return base.Detail(
            arm,
            f"{self.METRIC}, {each[0].size} episodes of each seed; the interval is of "
            "the chance in them alone",
            self.UNIT,
            mean,
            mean - 1.96 * error,
            mean + 1.96 * error,
        )


def _mean(
    by_level: Float[np.ndarray, "N L"], weights: Float[np.ndarray, "rows L"]
) -> Float[np.ndarray, "rows N"]:
    """Mean over levels, by row of weights and seed."""
    # a matrix product adds up in an order that depends on the shapes
    total: np.ndarray = np.einsum("rl,nl->rn", weights, by_level)
    return total / weights.shape[1]
