"""Tree search with the environment as its model: D proposes actions, V values leaves.

The policy is Gumbel MuZero's, by mctx, with the true environment in place of a learned
model; so it is AlphaZero's agent on small environments. Memory: B * (simulations + 1)
environment states. Time grows faster than linearly in the number of simulations.

Symbols: B environments, A actions.
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
"""Number of visits at which the weight of Q has doubled (mctx's `maxvisit_init`)."""


@fields.record
class Search:
    """pi'(a|s) proportional to D(a|s) exp((1 + n / 50) Q(s, a) / tau), n visits.

    Q comes from the search; for actions that it did not visit, Q is the mixed value of
    the root. Q is not rescaled: with V = 0 and far from any reward, pi' is D and not
    noise.

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


class SearchResult(NamedTuple):
    """The result of a search from each of B states."""

    action: Int[Array, " B"]
    """The action to take, in [0, A)."""
    logits: Float[Array, "B A"]
    """Log-probabilities of the improved policy."""
    value: Float[Array, " B"]
    """Value of the root after the search, in units of reward."""


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
) -> SearchResult:
    """Search from each of B states.

    The model is without chance: rewards are expected rewards, and the next state is the
    one before any random event. A terminal state has value 0; a state at the time limit
    keeps its value.

    Args:
      params: parameters of the environment.
      states: environment states, leaves [B, ...].
      observations: of these states, [B, ...].
      discount: gamma in [0, 1).
      temperature: tau, in units of reward; used in place of `config.temperature`.
      key: for the Gumbel noise.

    Reference: Danihelka et al., Policy improvement by planning with Gumbel, 2022.
    """

    def evaluate(observation: Array, context: Array) -> tuple[Array, Array]:
        out = agent(observation, context)
        return out.policy_logits, out.value.value

    def recurrent(
        _: Any, key: Array, action: Array, node: State
    ) -> tuple[mctx.RecurrentFnOutput, State]:
        del key
        out = jax.vmap(lambda s, a: env.step(None, s, a, params))(node, action)
        prior, value = jax.vmap(evaluate)(
            out.observation, jax.vmap(env.context)(out.state)
        )
        step_discount = jnp.where(out.terminated, 0.0, discount)
        model_output = mctx.RecurrentFnOutput(
            reward=out.reward, discount=step_discount, prior_logits=prior, value=value
        )
        return model_output, out.state

    prior, value = jax.vmap(evaluate)(observations, jax.vmap(env.context)(states))
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
    policy = jnp.maximum(out.action_weights, 1e-30)
    root_value = out.search_tree.node_values[:, 0]
    return SearchResult(out.action.astype(jnp.int32), jnp.log(policy), root_value)
