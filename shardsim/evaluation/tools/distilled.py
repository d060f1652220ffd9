"""Tools for what K parts say of V: fitted ones, and those that a head is built of."""

from typing import Annotated, ClassVar, Literal

import jax
import numpy as np
from jaxtyping import Array, Key
from pydantic import Field, PositiveInt

from shardsim.agents import chain
from shardsim.core import fields
from shardsim.evaluation.tools import base
from shardsim.inspection.interventions import reflection
from shardsim.inspection.shards import recovery


@fields.record(kw_only=True)
class Recovery:
    """Do gated shards describe the values of V better than networks of equal size?"""

    OF: ClassVar[base.Of] = "function"
    TITLE: ClassVar[str] = "R^2 of fitted shards less that of networks and FiLM"
    UNIT: ClassVar[str] = "R^2"
    kind: Literal["recovery"] = "recovery"
    counts: Annotated[tuple[PositiveInt, ...], Field(min_length=2)] = (1, 4, 8)
    """Numbers of shards that are fitted."""
    states: Annotated[int, Field(ge=20)] = 1_024
    """States whose values are fitted; no more than that are drawn."""
    restarts: Annotated[int, Field(ge=2)] = 2
    """Fits at each size."""
    steps: PositiveInt = 300
    """Steps of each fit, whether it has converged or not."""
    batch: PositiveInt = 128
    """States of a step."""

    def measure(self, subject: base.Subject, key: Key[Array, ""]) -> dict[str, float]:
        """`shardedness`: the area between the curves, over counts above 1."""
        at = base.draw(subject, self.states, key)
        fitted = recovery.fit(
            subject.features[at],
            np.asarray(subject.output.value)[at],
            key,
            counts=self.counts,
            groups=subject.level[at],
            restarts=self.restarts,
            steps=self.steps,
            max_steps=self.steps,
            batch=self.batch,
        )
        return {base.STATISTIC: float(fitted.shardedness)}


@fields.record(kw_only=True)
class Reflection:
    """Are the parts of a head unable to tell each other's values?"""

    OF: ClassVar[base.Of] = "weights"
    TITLE: ClassVar[str] = "1 - R^2 of one part's value from another part's units"
    UNIT: ClassVar[str] = "share of variance"
    kind: Literal["reflection"] = "reflection"
    states: Annotated[int, Field(ge=20)] = 2_048
    """States that are read; no more than that are drawn."""

    def measure(self, subject: base.Subject, key: Key[Array, ""]) -> dict[str, float]:
        """Mean over pairs of parts; NaN for a head of one part."""
        parts = base.parts(subject.head)
        if parts < 2:
            return {base.STATISTIC: float("nan")}
        at = base.draw(subject, self.states, key)
        stages = subject.head.stages()  # type: ignore[attr-defined]
        hidden = jax.vmap(lambda z: chain.run(stages, z))(subject.features[at])
        width = hidden.shape[-1]
        reflected = reflection.fit(
            hidden.reshape(len(at), -1),
            np.repeat(np.arange(parts), width),
            np.asarray(subject.output.shard_values)[at],
            subject.features[at],
            subject.held_out[at],
            key,
            draws=1,
        )
        unexplained = 1 - reflected.r2[~np.eye(parts, dtype=bool)].mean()
        return {base.STATISTIC: float(unexplained)}
