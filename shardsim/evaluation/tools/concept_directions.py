"""Tool: directions of the context, from several starts of RLACE and of CDE.

Symbols: m pairs, D features, U gated hidden units, A actions.
"""

import functools
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from pydantic import Field, PositiveInt

from shardsim.agents import chain, decoders
from shardsim.core import fields
from shardsim.core.jit import jit
from shardsim.evaluation.subjects import Subject
from shardsim.evaluation.tools import base, matched_states
from shardsim.inspection.concepts import readouts, restarts
from shardsim_envs import ContextFruits

SHARES = ("", "_mixed", "_unmatched")
"""Ends of the names of rows, for the three shares of mismatched pairs."""
BY_SHARE = ("cde", "few", "some", "many")
"""CDE, and RLACE as published after three numbers of steps."""
ONCE = ("annealed", "means", "random", "span")
"""On matching pairs alone."""
PARTS = ("", "_to_means", "_swap", "_specificity")
"""Agreement of restarts, and what else is known of directions."""
LEAST = 4
"""Pairs without which there is no number."""
OF_CDE = ("_converged", "_to_read")
PLANTED = ("planted_matched", "planted_unmatched")


@fields.record(kw_only=True)
class ConceptDirections:
    """Do restarts of RLACE and of CDE find one direction of the context?"""

    OF: ClassVar[base.Of] = "weights"
    NEEDS: ClassVar[type] = ContextFruits
    NEEDS_AGENT: ClassVar[bool] = True
    TITLE: ClassVar[str] = "|cos| between restarts of CDE"
    UNIT: ClassVar[str] = "|cos|"
    ROWS: ClassVar[tuple[str, ...]] = (
        *(m + s + part for m in BY_SHARE for s in SHARES for part in PARTS),
        *(f"cde{s}{part}" for s in SHARES for part in OF_CDE),
        *(m + part for m in ONCE for part in PARTS),
        "cde_other",
        *PLANTED,
        *(f"{name}_to_read" for name in PLANTED),
    )
    kind: Literal["concept_directions"] = "concept_directions"
    site: Literal["features", "hidden"] = "features"
    """Where directions are sought. `features`: of E; outputs are the log-probabilities
    of D. `hidden`: the hidden units of V times their gate; the output is V, which is
    linear in them."""
    pairs: Annotated[int, Field(ge=8)] = 192
    """Pairs of states that differ in the context, half of the levels; as many that
    differ in the cue, and half as many of the other levels for the swaps."""
    shares: tuple[fields.Fraction, fields.Fraction, fields.Fraction] = (0.0, 0.3, 1.0)
    """Noise of the pairs: shares of them whose other side shows another state. The
    first is 0."""
    steps: tuple[PositiveInt, PositiveInt, PositiveInt] = (10, 100, 1_000)
    """Steps of RLACE as published, rising: rows `few`, `some` and `many`."""
    restarts: Annotated[int, Field(ge=2)] = 4
    """Starts of CDE and of RLACE as published."""
    annealed_restarts: Annotated[int, Field(ge=2)] = 2
    """Starts of RLACE with a decay that falls."""

    @fields.rule("shares", "steps")
    def _rising(self) -> Iterator[str]:
        if self.shares[0] != 0 or list(self.shares) != sorted(set(self.shares)):
            yield f"shares: got {self.shares}; allowed: 0, then rising numbers"
        if list(self.steps) != sorted(set(self.steps)):
            yield f"steps: got {self.steps}; allowed: rising numbers"

    def measure(self, subject: Subject, key: Key[Array, ""]) -> dict[str, float]:
        """mean |cos| between the directions of restarts; the statistic is that of CDE.

        Pairs are the same state on the floor of context 0 and of context 1, of which a
        share is then mismatched. Rows: `cde`, and `few`, `some` and `many` steps of
        RLACE by its published optimiser, without noise and with two amounts of it
        (`_mixed`, `_unmatched`); `annealed`, RLACE by `concepts.rlace`; `means`, the
        difference of the class means, which is RLACE's optimum; `random`. Of each:
        `_to_means`, the mean |cos| to `means`; `_swap`, how much of the difference of
        the outputs of held-out pairs a swap of the component transfers; and
        `_specificity`, that less the same on pairs that differ in the cue. `span` has
        the swaps of the 8 directions along which pairs differ most.

        `cde_to_read` is the |cos| to the direction that the output depends on most, and
        `cde_other` the |cos| between the directions for the context and for the cue. At
        `hidden`, where V is linear, both are 1: there CDE says the same of every
        concept. `planted_...` is the agreement of CDE where one direction is read. No
        number where there is one context, or hardly a level with the cue.
        """
        assert subject.agent is not None  # `NEEDS_AGENT`
        first, second, third, last = jax.random.split(key, 4)
        fitted, tested = ~subject.held_out, subject.held_out
        cue = matched_states.has_cue(subject)

        def rows(among: Any, count: int, key: Array) -> Any:
            return matched_states.draw(subject, among, count, key)

        half = self.pairs // 2
        drawn = (
            rows(fitted, self.pairs, first),
            rows(tested, half, second),
            rows(tested & cue, half, third),
        )
        if subject.num_contexts < 2 or min(map(len, drawn)) < LEAST:
            return dict.fromkeys((base.STATISTIC, *self.ROWS), float("nan"))
        sides = _Sides(
            matched_states.by_context(subject, drawn[0]),
            matched_states.by_context(subject, drawn[1]),
            matched_states.by_cue(subject, drawn[2]),
        )
        if self.site == "features":
            # no other part of the agent, so that all arms share one program
            comparison = _at_features(subject.agent.decoder, sides, last, self)
        else:
            comparison = _at_hidden(subject.agent.value, sides, last, self)
        return _rows(jax.tree.map(np.asarray, comparison))


class _Sides(NamedTuple):
    """Pairs to find directions on, to test them on, and pairs of the other concept."""

    pairs: matched_states.Matched
    test: matched_states.Matched
    other: matched_states.Matched


@functools.partial(jit, static_argnums=3)
def _at_features(
    decoder: decoders.ActionDecoder,
    sides: _Sides,
    key: Array,
    config: ConceptDirections,
) -> restarts.Comparison:
    def policy(features: Array) -> Float[Array, " A"]:
        return jax.nn.log_softmax(decoder(features))

    def both(pairs: matched_states.Matched) -> tuple[Array, Array]:
        return jnp.asarray(pairs.a), jnp.asarray(pairs.b)

    each = map(both, sides)
    return _compared(policy, readouts.symmetric_kl, tuple(each), key, config)


@functools.partial(jit, static_argnums=3)
def _at_hidden(
    head: Any, sides: _Sides, key: Array, config: ConceptDirections
) -> restarts.Comparison:
    def hidden(features: Array, context: Array) -> Float[Array, " U"]:
        gates = head.gates(features, context)[:, None]
        units = chain.run(head.stages(), features)
        return (jnp.concatenate([units, jnp.ones_like(gates)], axis=1) * gates).ravel()

    def both(pairs: matched_states.Matched) -> tuple[Array, Array]:
        a, b, context_a, context_b = map(jnp.asarray, pairs)
        each = jax.vmap(hidden)
        return each(a, context_a), each(b, context_b)

    pairs = both(sides.pairs)
    weights = jnp.concatenate([head.kernel[...], head.bias[...][:, None]], axis=1)
    # a unit that never changes is a part of the bias: CDE could use it freely
    every = jnp.concatenate(pairs)
    changes = every.max(axis=0) > every.min(axis=0)
    read = jnp.where(changes, weights.ravel(), 0.0)
    at_units = (pairs, both(sides.test), both(sides.other))
    return _compared(lambda h: h @ read, readouts.squared, at_units, key, config)


def _compared(
    read_out: readouts.ReadOut,
    distance: readouts.Distance,
    sides: tuple[tuple[Array, Array], ...],
    key: Array,
    config: ConceptDirections,
) -> restarts.Comparison:
    pairs, test, other = sides
    return restarts.compare(
        read_out,
        pairs,
        test,
        other,
        key,
        distance=distance,
        shares=config.shares,
        steps=config.steps,
        restarts=config.restarts,
        annealed_restarts=config.annealed_restarts,
    )


def _rows(comparison: restarts.Comparison) -> dict[str, float]:
    """The numbers by the names of rows."""

    def each(name: str, of: restarts.Restarts, *at: int) -> dict[str, Any]:
        numbers = (of.agreement, of.to_means, of.swap, of.specificity)
        return {name + p: x[at] for p, x in zip(PARTS, numbers, strict=True)}

    rows: dict[str, Any] = {}
    for share, end in enumerate(SHARES):
        rows |= each(f"cde{end}", comparison.cde, share)
        for step, name in enumerate(BY_SHARE[1:]):
            rows |= each(name + end, comparison.published, share, step)
        rows[f"cde{end}_converged"] = comparison.cde_converged[share]
        rows[f"cde{end}_to_read"] = comparison.cde_to_read[share]
    for name in ONCE:
        rows |= each(name, getattr(comparison, name))
    rows["cde_other"] = comparison.cde_other
    for number, name in enumerate(PLANTED):
        rows[name] = comparison.of_planted[number]
        rows[f"{name}_to_read"] = comparison.of_planted_to_read[number]
    names = ConceptDirections.ROWS
    return {
        base.STATISTIC: float(rows["cde"]),
        **{name: float(rows[name]) for name in names},
    }
