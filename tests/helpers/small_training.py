"""A training of seconds, which tests of the loop change and run."""

import functools

import jax
import jax.numpy as jnp

from shardsim import algorithms
from shardsim.agents import action_selection, agent, encoders
from shardsim.algorithms import losses, optimizers, rollout, update_step
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.training import population
from shardsim_envs import ContextFruits

ENV = ContextFruits(size=3, max_steps=12, cue_probability=0.0)
CONFIG = agent.AgentConfig(
    encoder=encoders.MLPEncoder(widths=(32,)), decoder_hidden=(8,), auxiliary_width=8
)
ADAM = optimizers.OptimizerConfig(learning_rate=3e-3)
RECIPE = population.InitConfig(CONFIG, ADAM, ENV, 8)
WIDTH = 16
LEARN = losses.LossWeights(
    action=losses.GradientScales(decoder=1.0),
    value=losses.GradientScales(encoder=1.0, value=1.0),
)


def setting(heads, **changes):
    plain = update_step.UpdateConfig(
        env=ENV,
        heads=tuple(heads),
        action_selection=action_selection.Lookahead(),
        algorithm=algorithms.TD(),
        random_walker=rollout.RandomWalker(),
        optimizer=ADAM,
        losses=LEARN,
        collect="agent",
        num_envs=8,
        num_steps=8,
        epochs=2,
        minibatches=1,
        num_reset_states=16,
        discount=0.9,
        total_updates=100,
        mask_fraction=0.25,
        precision="float32",
    )
    return plain._replace(**changes)


def hyper(seeds=2):
    return hypers(seeds, learning_rate=ADAM.learning_rate)


def hypers(seeds, **changes):
    plain = {
        "learning_rate": 1e-3,
        "td_lambda": 0.9,
        "temperature": 0.01,
        "entropy": 0.0,
        "load_balance": 0.0,
    }
    rows = {**plain, **changes}
    return Hyperparameters(
        **{k: jnp.full((seeds,), v, jnp.float32) for k, v in rows.items()}
    )


@functools.cache
def fresh(head, seeds=2):
    return population.init(
        RECIPE, head, WIDTH, ENV.params(), population.seed_keys(0, seeds), hyper(seeds)
    )


def copied(carry):
    return jax.tree.map(jnp.copy, carry)


def run(static, carry, updates):
    """The carry after some updates, and the metrics of each arm by name."""
    source = update_step.PhaseInputs(ENV.params())
    after, noted = population.chunk(static, copied(carry), source, jnp.int32(updates))
    return after, tuple(each.by_name() for each in noted)
