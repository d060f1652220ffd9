"""The agent: E, D, V, and the auxiliary decoders that train E.

Symbols: D features, A actions, C contexts.
"""

from typing import Literal, NamedTuple, cast

import jax
from flax import nnx
from jaxtyping import Array, Float, Key
from pydantic import PositiveInt

from shardsim.agents import decoders, encoders, value
from shardsim.core import fields, sparse
from shardsim.core.types import Trainable

PARTS = ("encoder", "decoder", "value", "auxiliary")
"""The trained parts of an agent, as attributes and as columns of the loss table."""


@fields.record
class AgentConfig:
    """The agent that all arms share: encoder E, decoder D and the size of V."""

    encoder: encoders.EncoderConfig = encoders.MLPEncoder()
    """E: computes features from an observation."""
    decoder_hidden: fields.Sizes = (64,)
    """Units of each hidden layer of D."""
    decoder_activation: Literal["relu", "tanh"] = "relu"
    """Nonlinearity of the hidden layers of D."""
    auxiliary_width: PositiveInt = 128
    """Hidden units of each decoder of a self-supervised loss."""
    value_params: PositiveInt = 32_768
    """Number of parameters of V; the width of each value head is solved from it."""


class AgentOutput(NamedTuple):
    """Outputs of E, D and V in one state."""

    features: Float[Array, " D"]
    """Of E."""
    policy_logits: Float[Array, " A"]
    """Log-probabilities of D."""
    value: value.ValueOutput


class Agent(nnx.Module):
    """E, D, V and the auxiliary decoders.

    A population of N agents is the same class with a leading axis N on every leaf.
    """

    def __init__(
        self,
        encoder: encoders.Encoder,
        decoder: decoders.ActionDecoder,
        head: value.ValueHead,
        auxiliary: decoders.Auxiliary,
    ) -> None:
        self.encoder = encoder
        self.decoder = decoder
        self.value = head
        self.auxiliary = auxiliary

    def __call__(self, observation: Array, context: Float[Array, " C"]) -> AgentOutput:
        """Outputs of E, D and V in one state.

        Inside `jax.jit`, outputs that are not used cost nothing.

        Args:
          observation: of one state, of the environment's shape.
          context: true context, which only an oracle-gated head may read.
        """
        features = self.encoder(observation)
        policy_logits = jax.nn.log_softmax(self.decoder(features))
        return AgentOutput(features, policy_logits, self.value(features, context))


def build_head(
    config: AgentConfig,
    head: value.HeadConfig,
    width: int,
    env: Trainable,
    key: Key[Array, ""],
) -> value.ValueHead:
    """Build V by itself: bit for bit the V of `build` from the same key.

    Args:
      head: config of the value head.
      width: hidden units of the head (of each shard).
    """
    rngs = nnx.Rngs(jax.random.split(key, len(PARTS))[PARTS.index("value")])
    return head.build(config.encoder.features, env.num_contexts, width, rngs)


def build(
    config: AgentConfig,
    head: value.HeadConfig,
    width: int,
    env: Trainable,
    key: Key[Array, ""],
    objectives: tuple[str, ...] = (),
) -> Agent:
    """Build an agent with V(s) = 0 everywhere and a uniform D.

    E, D and the auxiliary decoders are drawn from keys of their own, so that they are
    bit for bit the same with every value head.

    Args:
      head: config of the value head.
      width: hidden units of the head (of each shard).
      env: gives the shapes of observations, actions and contexts.
      objectives: self-supervised losses that need an auxiliary decoder.
    """
    keys = dict(zip(PARTS, jax.random.split(key, len(PARTS)), strict=True))
    rngs = {part: nnx.Rngs(keys[part]) for part in PARTS}
    features, shape = config.encoder.features, env.observation_shape
    return Agent(
        config.encoder.build(shape, rngs["encoder"]),
        decoders.ActionDecoder(
            features,
            env.num_actions,
            config.decoder_hidden,
            rngs["decoder"],
            config.decoder_activation,
        ),
        build_head(config, head, width, env, key),
        decoders.Auxiliary(
            objectives,
            features,
            env.num_actions,
            shape,
            config.auxiliary_width,
            keys["auxiliary"],
        ),
    )


def in_training(
    agent: Agent,
    precision: Literal["float32", "bfloat16"],
    patterns: sparse.Patterns | None,
) -> Agent:
    """The agent as it computes in training: see `in_type`, and `shardsim.core.sparse`.

    Args:
      patterns: what the observations number; None: they are dense.
    """
    agent = in_type(agent, precision)
    if patterns is None:
        return agent
    encoder = cast(encoders.MLP, agent.encoder).on_rows(patterns)
    return Agent(encoder, agent.decoder, agent.value, agent.auxiliary)


def in_type(agent: Agent, precision: Literal["float32", "bfloat16"]) -> Agent:
    """The same agent with E, D and the auxiliary decoders in another precision.

    V stays in float32: actions depend on differences of values, which are far smaller
    than the values.
    """
    if precision == "float32":
        return agent
    graphdef, state = nnx.split(agent)
    parts = dict(state)
    for part in ("encoder", "decoder", "auxiliary"):
        if part in parts:
            parts[part] = jax.tree.map(lambda x: x.astype(precision), parts[part])
    return nnx.merge(graphdef, nnx.State(parts))
