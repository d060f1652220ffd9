"""Identity encoder: D and V read the observation and share no layer.

This is the actor and the critic without shared weights of the policy-gradient
literature. Symbols: H, W, P height, width and planes of the board; D features.
"""

import math
from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Num
from pydantic import PositiveInt

from shardsim.agents import chain
from shardsim.core import fields


@fields.record
class FlatEncoder:
    """The flattened observation itself; no parameters."""

    features: PositiveInt
    """Number of features: the size of an observation."""
    kind: Literal["identity"] = "identity"

    @property
    def budget(self) -> None:
        return None

    @property
    def sizes(self) -> tuple[int, ...]:
        return ()

    def resized(self, sizes: tuple[int, ...]) -> "FlatEncoder":
        del sizes
        return self

    def parameters(self, observation_shape: tuple[int, ...]) -> int:
        size = math.prod(observation_shape)
        if size != self.features:
            raise ValueError(
                f"features: got {self.features}; allowed with kind 'identity' for "
                f"observations of shape {observation_shape}: {size}"
            )
        return 0

    def build(self, observation_shape: tuple[int, ...], rngs: nnx.Rngs) -> "Identity":
        del rngs
        self.parameters(observation_shape)
        return Identity()


class Identity(nnx.Module):
    """features = x, flattened. The features are the only activation."""

    def stages(self) -> tuple[chain.Stage, ...]:
        return (lambda x: x.reshape(-1).astype(jnp.float32),)

    def __call__(
        self, observation: Num[Array, "H W P"] | Float[Array, " size"]
    ) -> Float[Array, " D"]:
        return chain.run(self.stages(), observation)
