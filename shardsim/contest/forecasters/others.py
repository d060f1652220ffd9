"""OTHERS: the other seeds, a reference that sees the answers of the same history.

It is what training itself predicts. Its distance to ORACLE is what training leaves to
the seed, which no forecaster can know.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float

from shardsim.core import fields


@fields.record
class Others:
    """Mixture of the other seeds of the same arm and history."""

    kind: Literal["others"] = "others"

    def forecast(
        self, policy: Float[np.ndarray, "N L S A"]
    ) -> Float[np.ndarray, "N L S A"]:
        """The mean policy of all but one of N agents, for each; uniform for N = 1."""
        count = len(policy)
        if count == 1:
            return np.full_like(policy, 1 / policy.shape[-1])
        return (policy.sum(axis=0, keepdims=True) - policy) / (count - 1)
