"""Laws that every head of the union has to keep, and hand-worked gates."""

import dataclasses
import functools
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import agent, value
from shardsim.agents.value import sharded
from shardsim.algorithms import losses
from shardsim.evaluation import experiment
from shardsim_envs import ContextFruits
from tests.helpers.gradients import check_grads

FEATURES, CONTEXTS, WIDTH = 6, 2, 5
SHARDED = [
    value.Sharded(
        num_shards=3,
        gate=gate,
        top_k=top,
        aggregation=aggregation,
        stop_gate_gradient=stopped,
    )
    for gate, top in (("softmax", 1), ("sigmoid", 1), ("top_k", 1), ("top_k", 2))
    for aggregation in ("sum", "convex", "winner")
    for stopped in (False, True)
]
HEADS = [option() for option in typing.get_args(value.Head)] + SHARDED


def name_of(head):
    return "-".join(str(v) for v in dataclasses.asdict(head).values())


def trained(head, key):
    """A head whose parameters are all random, as after training."""
    module = head.build(FEATURES, CONTEXTS, WIDTH, nnx.Rngs(0))
    graphdef, state = nnx.split(module)
    leaves, tree = jax.tree.flatten(state)
    keys = jax.random.split(key, len(leaves))
    leaves = [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    return nnx.merge(graphdef, jax.tree.unflatten(tree, leaves))


def inputs(key):
    return jax.random.normal(key, (FEATURES,)), jnp.array([1.0, 0.0])


@pytest.mark.parametrize("head", HEADS, ids=name_of)
class TestLaws:
    def test_value_is_zero_at_initialisation(self, head, key):
        module = head.build(FEATURES, CONTEXTS, WIDTH, nnx.Rngs(3))
        assert isinstance(module, value.ValueHead)
        for k in jax.random.split(key, 3):
            assert module(*inputs(k)).value == 0.0

    def test_parts_and_units_add_up(self, head, key):
        module = trained(head, key)
        out = module(*inputs(key))
        assert out.value != 0.0
        np.testing.assert_allclose(
            jnp.sum(out.gates * out.shard_values), out.value, rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(out.units.sum(), out.value, rtol=1e-5, atol=1e-6)
        assert out.units.shape == module.unit_shard.shape
        assert out.shard_values.shape == out.gates.shape
        assert set(np.asarray(module.unit_shard)) == set(range(len(out.shard_values)))

    def test_gates_lie_between_zero_and_one(self, head, key):
        gates = trained(head, key)(*inputs(key)).gates
        assert ((gates >= 0) & (gates <= 1)).all()

    def test_switching_a_part_off_takes_its_contribution(self, head, key):
        module = trained(head, key)
        out = module(*inputs(key))
        for part in range(len(out.shard_values)):
            keep = (module.unit_shard != part).astype(jnp.float32)
            less = value.mask_units(out, module.unit_shard, keep)
            gone = out.gates[part] * out.shard_values[part]
            np.testing.assert_allclose(less.value, out.value - gone, atol=1e-4)
            np.testing.assert_allclose(
                jnp.sum(less.gates * less.shard_values), less.value, atol=1e-4
            )
        same = value.mask_units(out, module.unit_shard, jnp.ones(len(out.units)))
        np.testing.assert_allclose(same.value, out.value, rtol=1e-5, atol=1e-6)

    def test_jit_and_vmap_change_nothing(self, head, key):
        module = trained(head, key)
        features = jax.random.normal(key, (4, FEATURES))
        context = jnp.tile(jnp.array([[0.0, 1.0]]), (4, 1))
        mapped = jax.jit(lambda m, z, c: jax.vmap(m)(z, c))(module, features, context)
        for i in range(4):
            np.testing.assert_allclose(
                mapped.value[i], module(features[i], context[i]).value, rtol=1e-5
            )

    def test_gradient_is_the_slope(self, head, key):
        if isinstance(head, value.Sharded) and (
            head.stop_gate_gradient or head.aggregation == "winner"
        ):
            pytest.skip(
                "a gradient that is stopped or passed on is no slope, by design"
            )
        module = trained(head, key)
        graphdef, state = nnx.split(module)
        z, context = inputs(jax.random.fold_in(key, 7))

        def f(state, z):
            return nnx.merge(graphdef, state)(z, context).value

        check_grads(f, (state, z), order=1, modes=["rev"], rtol=0.03, atol=0.03)


@pytest.mark.parametrize("kind", ["mlp", "sharded", "film", "oracle_gated"])
@pytest.mark.parametrize("budget", [16_000, 32_768])
def test_width_meets_the_budget(kind, budget):
    head = {h().kind: h() for h in typing.get_args(value.Head)}[kind]
    width = value.solve_width(head, 128, 2, budget)
    count = value.count_parameters(head, 128, 2, width)
    module = head.build(128, 2, width, nnx.Rngs(0))
    real = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))
    assert count == real
    assert abs(count - budget) <= 0.02 * budget


def test_mlp_parameters_by_hand():
    # 128 x 10 weights, 10 biases, 10 read-outs, 1 bias
    assert value.count_parameters(value.MLP(), 128, 2, 10) == 1280 + 10 + 10 + 1


@pytest.mark.parametrize("head", [value.Linear(), value.Sharded(num_shards=64)])
def test_a_budget_that_can_not_be_met_is_refused(head):
    with pytest.raises(ValueError, match="value_params: got 5000"):
        value.solve_width(head, 128, 2, 5_000)


@pytest.mark.parametrize("head", [value.MLP(), value.Sharded(num_shards=64)])
def test_a_head_that_need_not_meet_the_budget_comes_near_to_it(head):
    """Not one unit wide: a network of one unit is no network to compare with."""
    world = ContextFruits(size=4)
    arms = {"a": experiment.ArmConfig(head, match_params=False)}
    config = agent.AgentConfig(value_params=50_000)
    (arm,) = experiment.size_arms(arms, config, world)

    def off(width):
        return abs(value.count_parameters(head, 128, 2, width) - 50_000)

    assert off(arm.width) <= min(off(arm.width + 1), off(max(arm.width - 1, 1)))


LOGITS = jnp.log(jnp.array([1.0, 2.0, 5.0]))


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({}, [1 / 8, 2 / 8, 5 / 8]),
        ({"gate": "top_k", "top_k": 2}, [0, 2 / 8, 5 / 8]),
        ({"gate": "top_k", "top_k": 2, "aggregation": "convex"}, [0, 2 / 7, 5 / 7]),
        ({"gate": "sigmoid"}, [1 / 2, 2 / 3, 5 / 6]),
        ({"gate": "sigmoid", "aggregation": "convex"}, [1 / 4, 1 / 3, 5 / 12]),
        ({"aggregation": "winner"}, [0, 0, 1]),
    ],
)
def test_gates_by_hand(options, want):
    got = sharded.gate(LOGITS, value.Sharded(num_shards=3, **options))
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("gate", ["softmax", "sigmoid"])
@pytest.mark.parametrize("shift", [25.0, -35.0, -140.0])
def test_gates_that_are_all_open_or_all_shut_keep_their_rank(gate, shift):
    """Sigmoids round to 1 and to 0 there: the largest is still the largest."""
    logits = jnp.array([0.0, 2.0, 1.0]) + shift
    head = functools.partial(value.Sharded, num_shards=3, gate=gate)
    winner = sharded.gate(logits, head(aggregation="winner"))
    np.testing.assert_array_equal(winner, [0.0, 1.0, 0.0])
    convex = sharded.gate(logits, head(aggregation="convex"))
    want = jax.nn.softmax(logits)
    if gate == "sigmoid" and shift > 0:
        want = jnp.full(3, 1 / 3)
    np.testing.assert_allclose(convex, want, rtol=1e-5)


def test_where_each_shard_is_worth_the_return_gates_sum_to_one(key):
    """`per_shard` is refused for just the heads whose gates don't."""
    logits = jax.random.normal(key, (3,))
    for head in SHARDED:
        total = float(sharded.gate(logits, head).sum())
        assert head.gates_sum_to_one == (abs(total - 1) < 1e-5), head
        if head.gates_sum_to_one:
            dataclasses.replace(head, td_error="per_shard")


def test_the_gradient_stops_at_gates_only_when_asked(key):
    def slope(stopped, aggregation):
        head = value.Sharded(
            num_shards=3, stop_gate_gradient=stopped, aggregation=aggregation
        )
        module = trained(head, key)
        graphdef, state = nnx.split(module)
        z, context = inputs(key)
        grad = jax.grad(lambda s: nnx.merge(graphdef, s)(z, context).value)(state)
        return float(jnp.abs(grad["gate"]["kernel"][...]).max())

    for aggregation in ("sum", "winner"):
        assert slope(False, aggregation) > 0
        assert slope(True, aggregation) == 0


def test_only_the_oracle_gated_head_sees_the_context(key):
    z = jax.random.normal(key, (FEATURES,))
    a, b = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
    for head in HEADS:
        module = trained(head, key)
        differs = module(z, a).value != module(z, b).value
        assert differs == isinstance(head, value.OracleGated)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: value.Sharded(num_shards=0), "num_shards: got 0"),
        (lambda: value.Sharded(num_shards=2, top_k=3), "top_k: got 3"),
        (lambda: value.Sharded(top_k=2), "top_k: got 2; allowed with gate 'softmax'"),
        (lambda: value.Sharded(load_balance=-1.0), "load_balance: got -1.0"),
        (
            lambda: value.Sharded(gate="sigmoid", td_error="per_shard"),
            "aggregation: got",
        ),
        (
            lambda: value.Sharded(gate="top_k", top_k=2, td_error="per_shard"),
            "aggregation: got 'sum' with gate 'top_k'",
        ),
        (lambda: value.FiLM(rank=0), "rank: got 0"),
        *(
            (functools.partial(value.Sharded, **{**shut, **cost}), f"^{field}: got")
            for shut in (
                {"gate": "top_k", "top_k": 1},
                {"aggregation": "winner"},
                {"stop_gate_gradient": True},
            )
            for field, cost in (
                ("load_balance", {"load_balance": 1.0}),
                ("routing", {"routing": value.Routing()}),
            )
        ),
        (
            functools.partial(value.Sharded, num_shards=1, load_balance=1.0),
            "^load_balance: got",
        ),
        (
            functools.partial(value.Sharded, num_shards=1, routing=value.Routing()),
            "^num_shards: got 1; allowed with routing",
        ),
        (
            functools.partial(
                value.Sharded,
                gate="top_k",
                top_k=2,
                aggregation="convex",
                td_error="per_shard",
                routing=value.Routing(),
            ),
            "^routing: got values; allowed: null, because with gate 'top_k'",
        ),
        (
            functools.partial(value.Sharded, routing=value.Routing()),
            "^td_error: got 'joint'; allowed with routing: 'per_shard'",
        ),
        (
            functools.partial(
                value.Sharded,
                td_error="per_shard",
                load_balance=0.5,
                routing=value.Routing(),
            ),
            "^load_balance: got 0.5; allowed with routing",
        ),
    ],
)
def test_impossible_heads_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("head", SHARDED, ids=name_of)
def test_a_cost_of_shares_moves_gates_where_it_is_allowed(head):
    """And nowhere else: what `shares_move` tells is what the gradient is."""
    logits = jax.random.normal(jax.random.key(0), (32, head.num_shards))

    def balance(logits):
        return losses.balance_cost(jax.vmap(lambda x: sharded.gate(x, head))(logits))

    def named(logits):
        best = jnp.argmax(logits[0])  # that one is open under every gate
        return losses.gate_loss(sharded.gate(logits[0], head), best)

    for cost in (balance, named):
        slope = float(jnp.abs(jax.grad(cost)(logits)).max())
        assert (slope > 1e-5) == head.shares_move, slope
