"""An inspection tool as a measure: one number of every agent, and its controls.

Symbols: N seeds.
"""

import zlib
from typing import ClassVar, Literal

import jax
import numpy as np
from jaxtyping import Float

from shardsim.core import fields
from shardsim.core.types import Environment
from shardsim.evaluation import subjects, tools
from shardsim.evaluation.measures import base


@fields.record
class Inspected:
    """What an inspection tool finds in trained agents."""

    NEEDS_FEATURES: ClassVar[bool] = True
    # a tool takes seconds for each agent
    AT_SNAPSHOTS: ClassVar[bool] = False
    kind: Literal["inspected"] = "inspected"
    tool: tools.Tool = tools.UnitClusters()
    """The tool and its settings."""
    condition: str = "in_distribution"
    """Condition in whose reachable states the tool is used."""

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,)

    @property
    def ROWS(self) -> tuple[str, ...]:
        return tools.extra_rows(self.tool)

    @property
    def METRIC(self) -> str:
        return self.tool.TITLE

    @property
    def UNIT(self) -> str:
        return self.tool.UNIT

    @property
    def ABOUT(self) -> str:
        return getattr(self.tool, "ABOUT", "V")

    @property
    def NEEDS(self) -> type:
        return getattr(self.tool, "NEEDS", Environment)

    @property
    def formula_of(self) -> type:
        """The class whose `measure` states the equation."""
        return type(self.tool)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """The numbers of the tool, for every arm and seed.

        All arms of a seed draw from the same key. V* has no network that a tool could
        read, so `exact` has no number.

        Raises:
          ValueError: the evidence has no networks, or no features.
        """
        condition = evidence.conditions[self.condition]
        rows: dict[str, np.ndarray] = {}
        names = [tools.STATISTIC, *self.ROWS]
        counts = self._level_counts(evidence)
        for arm, readings in evidence.readings.items():
            if arm == base.EXACT:
                by_seed = [dict.fromkeys(names, np.full(len(counts), np.nan))]
            else:
                population = evidence.populations.get(arm)
                if population is None:
                    raise ValueError(
                        f"inspected: got no network of arm {arm!r}; allowed: agents "
                        "that shardsim trained"
                    )
                reading = readings[self.condition]
                by_seed = [
                    self._ask(
                        subjects.of_reading(
                            evidence.env, condition, population, reading, seed
                        ),
                        seed,
                        counts,
                    )
                    for seed in range(len(reading.value))
                ]
            for name in names:
                row = f"{arm}/{name}" if name else arm
                rows[row] = np.stack([each[name] for each in by_seed], axis=1)
        if len(counts) > 1:
            return base.resampled(rows, counts.shape[1])
        return base.Measured({row: numbers[0] for row, numbers in rows.items()})

    def _level_counts(self, evidence: base.Evidence) -> Float[np.ndarray, "rows L"]:
        """How often levels count; once for a tool that is too slow for resamples."""
        context = evidence.conditions[self.condition].context[:, 0].argmax(axis=-1)
        if not hasattr(self.tool, "measure_on_levels"):
            return np.ones((1, len(context)))
        # tools fit on every other level: resamples have as many of both halves
        halves = np.arange(len(context)) % 2
        return base.level_weights(evidence, 2 * context + halves)

    def _ask(
        self, subject: subjects.Subject, seed: int, counts: Float[np.ndarray, "rows L"]
    ) -> dict[str, Float[np.ndarray, " rows"]]:
        """The numbers of the tool for one agent, for each row of counts."""
        key = self._key(seed)
        if hasattr(self.tool, "measure_on_levels"):
            return self.tool.measure_on_levels(subject, key, counts)
        numbers = self.tool.measure(subject, key)
        return {name: np.array([number]) for name, number in numbers.items()}

    def _key(self, seed: int) -> jax.Array:
        """Other tools draw other numbers; all arms of a seed draw the same."""
        key = jax.random.key(zlib.crc32(self.tool.kind.encode()))
        return jax.random.fold_in(key, seed)
