"""Tree search over the world's own step: D proposes, V judges the leaves.

Gumbel MuZero's policy (of the library mctx) with the world as its model: AlphaZero's
agent on toy worlds. Symbols: B environments, A actions.

Memory: B * (simulations + 1) states of the world. Time grows faster than
linearly in simulations.
"""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import mctx
from jaxtyping import Array, Float, Int, Key
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from shardsim.agents.agent import Agent
from shardsim.core import fields
from shardsim.core.types import Params, State, Trainable

VISITS = 50.0
"""Visits after which a Q counts twice as much as at first (mctx's maxvisit_init)."""


@fields.record
class Search:
    """pi'(a|s) proportional to D(a|s) exp((1 + n / 50) Q(s, a) / tau), n visits.

    Q is the search's; of actions that were not tried it is the mixed value of the
    root. Q is not rescaled: at V = 0 and far from reward pi' is D, and not noise.

    Reference: Danihelka et al., Policy improvement by planning with Gumbel, 2022.
    """

    kind: Literal["search"] = "search"
    simulations: PositiveInt = 8
    """Leaves that the search expands before each action."""
    depth: PositiveInt | None = None
    """Most steps that the search looks ahead; null: the number of simulations."""
    temperature: PositiveFloat = 0.03
    """tau, in units of reward."""
    noise: NonNegativeFloat = 1.0
    """Scale of the Gumbel noise of the action choice; 0 takes the best action."""


class Found(NamedTuple):
    """What a search makes of B states."""

    action: Int[Array, " B"]
    logits: Float[Array, "B A"]
    """Log-probabilities of the improved policy."""
    value: Float[Array, " B"]
    """Of the root, after the search."""


def search(
    config: Search,
    agent: Agent,
    env: Trainable,
    params: Params,
    states: State,
    observations: Array,
    discount: float,
    temperature: Float[Array, ""],
    key: Key[Array, ""],
) -> Found:
    """Search from each of B states at once.

    The world's chance is left out: expected rewards, and the state before any coin
    falls. No value lies beyond an end; beyond the time limit it does.
    """

    def judge(seen: Array, context: Array) -> tuple[Array, Array]:
        out = agent(seen, context)
        return out.policy_logits, out.value.value

    def recurrent(
        _: Any, key: Array, action: Array, node: State
    ) -> tuple[mctx.RecurrentFnOutput, State]:
        del key
        out = jax.vmap(lambda s, a: env.step(None, s, a, params))(node, action)
        prior, value = jax.vmap(judge)(
            out.observation, jax.vmap(env.context)(out.state)
        )
        weight = jnp.where(out.terminated, 0.0, discount)
        told = mctx.RecurrentFnOutput(
            reward=out.reward, discount=weight, prior_logits=prior, value=value
        )
        return told, out.state

    prior, value = jax.vmap(judge)(observations, jax.vmap(env.context)(states))
    transform = functools.partial(
        mctx.qtransform_completed_by_mix_value,
        value_scale=1.0 / (VISITS * temperature),
        maxvisit_init=VISITS,
        rescale_values=False,
    )
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        out = mctx.gumbel_muzero_policy(
            (),
            key,
            mctx.RootFnOutput(prior_logits=prior, value=value, embedding=states),
            recurrent,
            config.simulations,
            max_depth=config.depth,
            qtransform=transform,
            max_num_considered_actions=env.num_actions,
            gumbel_scale=config.noise,
        )
    weights = jnp.maximum(out.action_weights, 1e-30)
    root = out.search_tree.node_values[:, 0]
    return Found(out.action.astype(jnp.int32), jnp.log(weights), root)
