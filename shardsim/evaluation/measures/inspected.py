"""An inspection tool as a measure: one number of every agent, and its controls.

Symbols: N seeds.
"""

import zlib
from typing import ClassVar, Literal

import jax
import numpy as np

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
        for arm, readings in evidence.readings.items():
            names = [tools.STATISTIC, *self.ROWS]
            if arm == base.EXACT:
                found = [dict.fromkeys(names, float("nan"))]
            else:
                population = evidence.populations.get(arm)
                if population is None:
                    raise ValueError(
                        f"inspected: got no network of arm {arm!r}; allowed: agents "
                        "that shardsim trained"
                    )
                reading = readings[self.condition]
                found = [
                    self.tool.measure(
                        subjects.of_reading(
                            evidence.env, condition, population, reading, seed
                        ),
                        self._key(seed),
                    )
                    for seed in range(len(reading.value))
                ]
            for name in names:
                row = f"{arm}/{name}" if name else arm
                rows[row] = np.array([each[name] for each in found])
        return base.Measured(rows)

    def _key(self, seed: int) -> jax.Array:
        """Other tools draw other numbers; all arms of a seed draw the same."""
        key = jax.random.key(zlib.crc32(self.tool.kind.encode()))
        return jax.random.fold_in(key, seed)
