"""What one member of one seed is: its return, its error, and its scores.

Symbols: L levels, S states of a level, n reachable states, C contexts.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.agents import encoders, value
from shardsim.agents.action_selection import ValueOnly
from shardsim.core import config as configs
from shardsim.core import fields
from shardsim.core.jit import jit
from shardsim.evaluation import exact_policies, state_readings, tools
from shardsim.evaluation.measures import value_error
from shardsim.evaluation.subjects import Subject
from shardsim.evaluation.zoo import making, nets
from shardsim.evaluation.zoo.config import Metric, Trained, ZooConfig
from shardsim.evaluation.zoo.states import Battery
from shardsim.storage import records

ACTING = ValueOnly(temperature=0.01)
"""How members act: by V alone."""


@fields.record(kw_only=True, float64=True)
class Scored:
    """The scores of one metric on both batteries."""

    digest: str
    """Of the config of the tool; and of the weights, where they can change."""
    values: records.SeedNumbers
    """[2] one for each battery; None where the metric does not apply."""


@fields.record(kw_only=True, float64=True)
class Measured:
    """One member of one seed."""

    return_fraction: records.Number
    """Return where it acts by V alone, as a fraction of the exact optimum."""
    value_error: records.Number
    """Root mean square of V - V*, in sd of V*."""
    gate_information: records.Number
    """Information of the largest gate about the context, as a fraction of log C; None
    for a head of one part."""
    scores: dict[fields.Name, Scored]
    """By metric."""


def subject_of(
    config: ZooConfig,
    member: str,
    net: nets.Net,
    encoder: encoders.MLP,
    battery: Battery,
    seed: int,
) -> tuple[Subject, Float[np.ndarray, "L S"]]:
    """V of a member in the states of a battery, and V in all states."""
    true = battery.context
    given = true
    found = config.members[member]
    if isinstance(found, Trained) and found.context == "shuffled":
        key = jax.random.fold_in(making.seed_key(config, seed), 3)
        given = making.shuffled_contexts(config, key, len(true))
    shared = making.features_of(config.env, encoder, jnp.asarray(battery.rows))
    eye = jnp.eye(config.env.contexts)
    features, output = _outputs(net, shared, eye[true], eye[given])
    return subject(config, net.head, np.asarray(features), output, battery, given)


def subject(
    config: ZooConfig,
    head: value.ValueHead,
    features: Float[np.ndarray, "L S D"],
    output: value.ValueOutput,
    battery: Battery,
    given: Int[np.ndarray, " L"],
) -> tuple[Subject, Float[np.ndarray, "L S"]]:
    """The states that metrics read, and V in all states.

    Args:
      features: what V reads in every state.
      output: of V, leaves [L, S, ...].
      given: the context that gates get in each level, in [0, C).
    """
    at = battery.level, battery.state
    picked = jax.tree.map(lambda x: np.asarray(x)[at], output)
    contexts = config.env.contexts
    chosen = Subject(
        head=head,
        features=features[at],
        given=np.eye(contexts, dtype=np.float32)[given[battery.level]],
        context=battery.context[battery.level],
        level=battery.level,
        output=picked,
        num_contexts=contexts,
        state=battery.state,
        env=config.env,
        condition=battery.condition,
    )
    return chosen, np.asarray(output.value)


def measure(
    config: ZooConfig,
    first: Battery,
    each: list[tuple[Subject, Float[np.ndarray, "L S"]]],
    known: Measured | None,
    weights: str = "",
) -> Measured:
    """The return, error and scores of one V.

    Args:
      first: the first battery.
      each: what `subject_of` gives for each battery.
      known: what has been measured of it; scores of the same metric are not made again.
      weights: digest of weights that may change from one call to the next.
    """
    scores: dict[str, Any] = dict(known.scores) if known else {}
    fraction, error, information = facts(config, first, *each[0])
    subjects = tuple(one for one, _ in each)
    for name, metric in missing(config, scores, weights).items():
        scores[name] = score(metric, name, subjects, weights)
    return Measured(
        return_fraction=records.number(fraction),
        value_error=records.number(error),
        gate_information=records.number(information),
        scores=scores,
    )


@jit
def _outputs(
    net: nets.Net,
    features: Float[Array, "L S D"],
    true: Float[Array, "L C"],
    given: Float[Array, "L C"],
) -> tuple[Float[Array, "L S D"], value.ValueOutput]:
    """What V reads in every state, and its output; leaves [L, S, ...]."""

    def of_level(features: Array, true: Array, given: Array) -> Any:
        read = jax.vmap(lambda z: net.adapter(z, true))(features)
        return read, jax.vmap(lambda z: net.head(z, given))(read)

    return jax.vmap(of_level)(features, true, given)


def facts(
    config: ZooConfig, battery: Battery, subject: Subject, values: np.ndarray
) -> tuple[float, float, float]:
    """Return fraction, error of V, and information of the gates."""
    condition = battery.condition
    logits = np.zeros((1, *values.shape, config.env.num_actions))
    none = np.zeros((1, *values.shape, 0))
    reading = state_readings.Reading(
        values[None], none, none, none, logits, np.zeros(0, int)
    )
    acting = exact_policies.acting_rule(ACTING, config.discount, config.env.max_steps)
    fraction = exact_policies.return_fraction(reading, condition, acting)[0]
    error = value_error.relative_error(values[None], condition)[0]
    return float(fraction), float(error), gate_information(subject)


def gate_information(subject: Subject) -> float:
    """I(largest gate; context) / log C; NaN for a head of one part."""
    gates = np.asarray(subject.output.gates)
    if gates.shape[1] < 2:
        return float("nan")
    joint = np.zeros((gates.shape[1], subject.num_contexts))
    np.add.at(joint, (gates.argmax(axis=1), subject.context), 1 / len(gates))
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    some = joint > 0
    information = (joint[some] * np.log(joint[some] / independent[some])).sum()
    return float(information / np.log(subject.num_contexts))


def missing(
    config: ZooConfig, known: Mapping[str, Scored], weights: str = ""
) -> dict[str, Metric]:
    """The metrics whose scores are not known, or of another config or other weights."""
    return {
        name: metric
        for name, metric in config.metrics.items()
        if name not in known or known[name].digest != _digest(metric, weights)
    }


def _digest(metric: Metric, weights: str) -> str:
    return configs.digest(metric.tool) + (f" of {weights}" if weights else "")


def score(
    metric: Metric,
    name: str,
    subjects: tuple[Subject, ...],
    weights: str = "",
) -> Scored:
    """The scores of a metric, which draws the same for every member and seed."""
    key = jax.random.key(zlib.crc32(name.encode()))
    found = [metric.tool.measure(subject, key) for subject in subjects]
    values = [each[tools.STATISTIC] for each in found]
    return Scored(digest=_digest(metric, weights), values=records.numbers(values))
