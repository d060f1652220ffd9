"""Every tool on members in closed form: Z1 (gated), Z4 (additive), Z6 (one network).

Four numbers x are 1 or 2, in all 16 combinations, in each of four contexts, in two
levels. The features are x and the context, which are uncorrelated in this design.

  Z1  V = x_c in context c: the sum of two equal units of the shard c
  Z4  V = x_0 + x_1 + x_2 + x_3, two equal units for each part, in all contexts
  Z6  the same V from four units that are all (x_0 + x_1 + x_2 + x_3) / 4
"""

import itertools
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import value
from shardsim.evaluation import battery, subjects, tools
from shardsim.inspection.shards import ablation

X = np.array(list(itertools.product([1.0, 2.0], repeat=4)), np.float32)
CONTEXT = np.tile(np.repeat(np.arange(4), 16), 2)
FEATURES = np.hstack([np.tile(X, (8, 1)), np.eye(4, dtype=np.float32)[CONTEXT]])
LEVEL = np.repeat([0, 1], 64)
STATE = np.tile(np.arange(64), 2)
KEY = jax.random.key(0)
CONDITION = battery.Condition(*[None] * 2, np.zeros((2, 64)), *[None] * 4)


def gated():
    head = value.OracleGated().build(8, 4, 2, nnx.Rngs(0))
    reads = np.zeros((8, 8), np.float32)
    for part in range(4):
        reads[part, 2 * part : 2 * part + 2] = 1
    return filled(head, reads, 0.5)


def additive():
    head = value.Ungated(num_parts=4).build(8, 4, 2, nnx.Rngs(0))
    reads = np.zeros((8, 8), np.float32)
    for part in range(4):
        reads[part, 2 * part : 2 * part + 2] = 1
    return filled(head, reads, 0.5)


def one_network():
    head = value.MLP().build(8, 4, 4, nnx.Rngs(0))
    reads = np.zeros((8, 4), np.float32)
    reads[:4] = 1
    return filled(head, reads, 0.25)


def filled(head, reads, weight):
    head.hidden.kernel.set_value(jnp.asarray(reads))
    head.hidden.bias.set_value(jnp.zeros(reads.shape[1]))
    head.kernel.set_value(jnp.full(head.kernel[...].shape, weight))
    return head


def subject(head):
    given = np.eye(4, dtype=np.float32)[CONTEXT]
    output = jax.vmap(head)(jnp.asarray(FEATURES), jnp.asarray(given))
    output = jax.tree.map(np.asarray, output)
    return subjects.Subject(
        head, FEATURES, given, CONTEXT, LEVEL, output, 4, STATE, None, CONDITION
    )


Z1, Z4, Z6 = (subject(make()) for make in (gated, additive, one_network))


def test_the_values_are_those_stated():
    np.testing.assert_allclose(
        Z1.output.value, np.take_along_axis(FEATURES[:, :4], CONTEXT[:, None], 1)[:, 0]
    )
    for member in (Z4, Z6):
        np.testing.assert_allclose(member.output.value, FEATURES[:, :4].sum(axis=1))


@pytest.mark.parametrize("option", typing.get_args(tools.Tool))
def test_each_tool_says_what_it_reads_and_is_a_record(option):
    tool = option()
    assert isinstance(tool, tools.ToolConfig)
    assert tool.OF in ("function", "weights")
    assert tool.TITLE
    assert tool.UNIT
    assert hash(tool) == hash(option())
    assert tools.STATISTIC not in tools.extra_rows(tool)


def score(tool, member):
    """The statistic, with a number for every row and no other."""
    found = tool.measure(member, KEY)
    assert tuple(found) == (tools.STATISTIC, *tools.extra_rows(tool))
    return found[tools.STATISTIC]


@pytest.mark.parametrize(
    "tool",
    [tools.ContextGradients(), tools.UnitClusters(), tools.AblationSelectivity()],
)
def test_a_statistic_is_its_own_row_less_that_of_chance(tool):
    found = tool.measure(Z1, KEY)
    _, own, chance = found
    assert found[own] - found[chance] == pytest.approx(found[tools.STATISTIC], abs=1e-6)


def test_context_gradients():
    """Z1: four orthogonal gradients, all |cos| 0, so a bimodality of 1. Random
    directions in 4 dimensions have E|cos| = 1 / (sqrt(pi) Gamma(5/2)) = .4244, so
    1 - 4 (.4244 - 1/4) = .3023. Z4, Z6: one gradient, which says nothing."""
    tool = tools.ContextGradients()
    assert score(tool, Z1) == pytest.approx(1 - 0.30235, abs=1e-3)
    assert score(tool, Z4) == pytest.approx(0, abs=1e-4)
    assert score(tool, Z6) == pytest.approx(0, abs=1e-4)


def test_context_gradients_do_not_see_a_rotation_of_the_features():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))[0]
    head = gated()
    head.hidden.kernel.set_value(jnp.asarray(turn @ head.hidden.kernel[...]))
    turned = Z1._replace(head=head, features=(FEATURES @ turn.T).astype(np.float32))
    tool = tools.ContextGradients()
    assert score(tool, turned) == pytest.approx(score(tool, Z1), abs=1e-3)


def test_dictionary():
    """Z1: all gradients lie on four lines: no gap, and mixed rows have one. Z4, Z6: all
    lie on one line, and mixing changes nothing."""
    tool = tools.Dictionary()
    assert 0.1 < score(tool, Z1) < 0.6
    assert score(tool, Z4) == pytest.approx(0, abs=1e-4)
    assert score(tool, Z6) == pytest.approx(0, abs=1e-4)


def test_unit_clusters():
    """Z1, Z4: eight units with four profiles, so all of their spread is between four
    clusters. Eight unrelated profiles: the spread is 8 - 1 around one centre and 8 - 4
    within four clusters, which explains 3/7. The metric cannot tell parts from gates.
    Z6: all units are alike, and there is no spread."""
    tool = tools.UnitClusters(restarts=16)
    assert score(tool, Z1) == pytest.approx(4 / 7, abs=0.12)
    assert score(tool, Z4) == pytest.approx(4 / 7, abs=0.12)
    assert np.isnan(score(tool, Z6))


def test_ablation():
    """Z1: without shard c, V of c changes by x - 3/8, V of the others by 3/8. Drops are
    sqrt((.625^2 + 1.625^2) / 2) / .5 = 2.462 and .375 / .5 = .75: 1 - .75 / 2.462.
    Z4: each part is lost in all contexts alike. Z6: one cluster holds all units, and
    three drops of nothing are paired too: 1/4 of a drop in pairs as elsewhere."""
    tool = tools.AblationSelectivity(restarts=16)
    units = Z1.output.units.reshape(128, 4, 3).sum(axis=-1)
    without = Z1.output.value[None] - (units - units.mean(axis=0)).T
    table = ablation.fit(Z1.output.value, without, CONTEXT, draws=100)
    assert table.score == pytest.approx(1 - 0.75 / 2.4622, abs=1e-4)
    assert score(tool, Z1) == pytest.approx(0.69539 - table.null, abs=0.05)
    assert score(tool, Z1) > 0.2
    assert score(tool, Z4) == pytest.approx(0, abs=1e-5)
    assert score(tool, Z6) < 0.01


def test_removal():
    """Z1: one direction removes a shard whole. Z4, Z6: no unit knows the context; the
    best edit takes a quarter of V everywhere, 1 - (9/16 + 3/16) = 1/4. Random units
    read the context among the features, so that they do better than that."""
    tool = tools.Removal(draws=4, ranks=(1, 2, 4))
    assert 0.1 < score(tool, Z1) < 0.75
    assert score(tool, Z4) < 0
    assert score(tool, Z6) < 0
    for member, whole in ((Z1, 1.0), (Z4, 0.25), (Z6, 0.25)):
        found = tools.units.removal.fit(
            member.output.units,
            FEATURES,
            CONTEXT,
            LEVEL == 1,
            KEY,
            ranks=(1, 4),
            draws=1,
        )
        np.testing.assert_allclose(found.score, whole, atol=1e-4)


def test_unit_tails():
    """Z1: a sum is 0 in three contexts of four, which is as heavy as can be; x in the
    fourth is 1 or 2, which is as light. Z4: its parts do the same in all contexts, and
    so do those of Z6."""
    tool = tools.UnitTails(draws=8)
    assert score(tool, Z1) == pytest.approx(2 - 0.25, abs=1e-3)
    assert tool.measure(Z1, KEY)["within"] > 10
    assert score(tool, Z4) == pytest.approx(0, abs=1e-3)
    assert score(tool, Z6) == pytest.approx(0, abs=1e-3)
    # one context, or a half without one: no number, in any row
    for lacking in (np.zeros_like(CONTEXT), np.where(LEVEL == 1, 0, CONTEXT)):
        found = tool.measure(Z1._replace(context=lacking), KEY)
        assert np.isnan(list(found.values())).all()


def test_reflection():
    """Parts of Z1 and Z4 read one x each, and another x tells nothing of it: R^2 is 0.
    The metric cannot tell parts from gates, and Z6 has one part."""
    tool = tools.Reflection()
    assert score(tool, Z1) == pytest.approx(1, abs=0.05)
    assert score(tool, Z4) == pytest.approx(1, abs=0.05)
    assert np.isnan(score(tool, Z6))


def test_reflection_of_an_ensemble_of_equal_parts():
    head = additive()
    head.hidden.kernel.set_value(
        jnp.asarray(np.vstack([np.ones((4, 8)), np.zeros((4, 8))]).astype(np.float32))
    )
    tool = tools.Reflection()
    assert score(tool, subject(head)) == pytest.approx(0, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("member", "least", "most"),
    [
        pytest.param(Z1, 0.8, 1.0, id="Z1"),
        pytest.param(Z4, -0.1, 0.1, id="Z4"),
        pytest.param(
            Z6,
            *(-0.1, 0.1),
            id="Z6",
            marks=pytest.mark.xfail(strict=True, reason="the search leaves .12"),
        ),
    ],
)
def test_components(member, least, most):
    """Z1: units of a shard count in one context, and so do the components that write
    them: near 1. Z4, Z6: all that is needed is needed in all contexts alike: near 0.

    With as many components as shards. With 8 of them Z1 has .2: one gives the mean of x
    to all shards, and is needed everywhere."""
    tool = tools.Components(number=4, steps=4_000)
    assert least < score(tool, member) <= most


@pytest.mark.filterwarnings("ignore:distillation. not converged")
@pytest.mark.slow
def test_recovery():
    """Z1: four gated shards are V, and a network of as many units is not. Z4 and Z6 are
    linear, which all families fit."""
    tool = tools.Recovery(counts=(1, 4), states=128, steps=3_000, restarts=4)
    # a quarter of the levels is held out, and each has every context
    level = np.arange(len(CONTEXT)) % 8
    members = [member._replace(level=level) for member in (Z1, Z4, Z6)]
    scores = [score(tool, member) for member in members]
    assert scores[1] == pytest.approx(0, abs=0.03)
    assert scores[2] == pytest.approx(0, abs=0.03)
    assert scores[0] > 0.1
