"""Readings made by hand: what arms say of a battery, without training."""

import numpy as np

from shardsim.evaluation import measures, state_readings
from shardsim_envs import ContextFruits

ENV = ContextFruits(size=4, max_steps=20)
DISCOUNT = 0.9
UNIFORM = -np.log(4)


def simple(value):
    """A one-part reading of V [L, S]."""
    value = np.asarray(value, np.float64)[None]
    prior = np.full((*value.shape, 4), UNIFORM)
    one, part = np.ones_like(value)[..., None], value[..., None]
    return state_readings.Reading(value, part, one, part, prior, np.zeros(1, int))


def split(value, owner, parts):
    """A reading whose part k says V where owner [L, S] is k, and nothing elsewhere."""
    value = np.asarray(value, np.float64)[None]
    gates = (owner[None, ..., None] == np.arange(parts)).astype(float)
    said = np.repeat(value[..., None], parts, axis=-1)
    prior = np.full((*value.shape, 4), UNIFORM)
    return state_readings.Reading(
        value, said, gates, gates * said, prior, np.arange(parts)
    )


def evidence(conditions, how, arms, env=ENV):
    exact = {n: state_readings.exact_reading(c, 4) for n, c in conditions.items()}
    return measures.Evidence(env, conditions, {**arms, measures.EXACT: exact}, how)


def details(found, arm):
    """Numbers of an arm that stand beside a metric, by name."""
    return {each.name: each.value for each in found.details if each.arm == arm}
