"""References, which see the answers: they say how good a forecast can be.

They are no competitors. The distance of a forecaster to ORACLE is what it does not
know; the distance of OTHERS to ORACLE is what training itself leaves to its seed.

Symbols: N agents of one history, L levels, S states, A actions.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float

from shardsim.core import fields


@fields.record
class Oracle:
    """The agent itself. Its loss is the entropy of the policy; none can be lower."""

    kind: Literal["oracle"] = "oracle"

    def forecast(
        self, policy: Float[np.ndarray, "N L S A"]
    ) -> Float[np.ndarray, "N L S A"]:
        """The policy of each agent."""
        return policy


@fields.record
class Others:
    """Mixture of the other seeds of the same arm and history."""

    kind: Literal["others"] = "others"

    def forecast(
        self, policy: Float[np.ndarray, "N L S A"]
    ) -> Float[np.ndarray, "N L S A"]:
        """The mean policy of all agents but one, for each; uniform if there is one."""
        count = len(policy)
        if count == 1:
            return np.full_like(policy, 1 / policy.shape[-1])
        return (policy.sum(axis=0, keepdims=True) - policy) / (count - 1)
