"""The sites of an agent: its own bits, cuts that are cuts, nothing left behind."""

import dataclasses
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import agent as agents
from shardsim.agents import decoders, encoders, value
from shardsim.inspection.interventions import graph, sites

BOARD, FEATURES, ACTIONS, CONTEXTS = (3, 3, 2), 6, 4, 2
HEADS = [
    *(option() for option in typing.get_args(value.Head)),
    value.Sharded(num_shards=3, gate="top_k", top_k=2, aggregation="convex"),
]


class Conv(nnx.Module):
    """An encoder of another kind: layers of different ranks, called in a loop."""

    def __init__(self, rngs):
        self.layers = nnx.List(
            [
                nnx.Conv(2, 3, (2, 2), rngs=rngs),
                nnx.Linear(27, FEATURES, rngs=rngs),
            ]
        )

    def __call__(self, observation):
        x = self.layers[0](observation.astype(jnp.float32))
        bias = self.layers[1].bias[...]
        return jnp.tanh(self.layers[1](jax.nn.relu(x).reshape(-1)) + bias)


class Plain(nnx.Module):
    """An encoder without layers."""

    def __init__(self, rngs):
        self.only = nnx.Linear(18, FEATURES, rngs=rngs)

    def __call__(self, observation):
        return self.only(observation.reshape(-1).astype(jnp.float32))


class Opaque(nnx.Module):
    """A head that is no `StagedHead`."""

    owners = jnp.array([0, 1, 1])

    def __call__(self, features, context):
        units = features[:3]
        parts = jnp.array([1.0, 0.0]) * units[0] + jnp.array([0.0, 1.0]) * units[
            1:
        ].sum(keepdims=True)
        return value.ValueOutput(jnp.sum(parts), parts, jnp.ones(2), units)


def make(head, encoder=None, seed=0):
    """An agent whose parameters are all random, as after training."""
    rngs = nnx.Rngs(seed)
    agent = agents.Agent(
        encoder or encoders.MLPEncoder(widths=(8, FEATURES)).build(BOARD, rngs),
        decoders.ActionDecoder(FEATURES, ACTIONS, 5, rngs),
        head if isinstance(head, nnx.Module) else head.build(FEATURES, 2, 7, rngs),
        decoders.ObservationDecoder(FEATURES, ACTIONS, BOARD, 4, rngs),
    )
    graphdef, state = nnx.split(agent)
    leaves, tree = jax.tree.flatten(state)
    drawn = np.random.default_rng(seed)
    leaves = [jnp.asarray(drawn.normal(size=x.shape), jnp.float32) for x in leaves]
    return nnx.merge(graphdef, jax.tree.unflatten(tree, leaves))


def state(seed):
    drawn = np.random.default_rng(seed)
    board = jnp.asarray(drawn.integers(0, 2, BOARD), jnp.uint8)
    return board, jnp.asarray(drawn.uniform(size=CONTEXTS), jnp.float32)


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def name_of(head):
    return "-".join(str(v) for v in list(dataclasses.asdict(head).values())[:4])


@pytest.mark.parametrize("head", HEADS, ids=name_of)
class TestEveryHead:
    @pytest.mark.few(2)
    def test_a_run_is_the_agent_bit_for_bit(self, head):
        agent = make(head)
        board, context = state(1)
        record = sites.run(agent, board, context)
        features = agent.encoder(board)
        out = agent.value(features, context)
        np.testing.assert_array_equal(record.sites["features"], features)
        np.testing.assert_array_equal(record.outputs["logits"], agent.decoder(features))
        np.testing.assert_array_equal(record.outputs["value"], out.value)
        hidden = jax.nn.relu(agent.decoder.hidden(features))
        np.testing.assert_array_equal(record.sites["decoder.hidden"], hidden)
        for name in ("parts", "gates", "units", "value"):
            np.testing.assert_array_equal(
                record.sites[f"value.{name}" if name != "value" else name],
                getattr(out, name),
            )
        assert set(record.sites) == set(sites.names(agent))
        np.testing.assert_allclose(
            sites.contributions(record).sum(), out.value, rtol=1e-5, atol=1e-5
        )

    @pytest.mark.few(2)
    def test_an_identity_patch_is_bitwise_equal_and_warns(self, head):
        agent = make(head)
        plain = sites.run(agent, *state(1))
        with pytest.warns(UserWarning, match="its patch changed nothing") as warned:
            patched = sites.run(
                agent, *state(1), {site: lambda h: h for site in sites.names(agent)}
            )
        said = {str(w.message).split(":")[0] for w in warned}
        assert said == set(sites.names(agent))
        same(patched.sites, plain.sites)
        same(patched.outputs, plain.outputs)

    def test_a_whole_cut_is_the_source_run_and_nothing_leaks(self, head):
        agent = make(head)
        base, source = (sites.run(agent, *state(i)) for i in (1, 2))
        assert base.outputs["value"] != source.outputs["value"]

        def cut(*names):
            # a head without gates of its own has one that is always 1
            moved = {n: (lambda _, n=n: source.sites[n]) for n in names}
            differ = {n: p for n, p in moved.items() if n != "value.gates"}
            gates = (base.sites["value.gates"] != source.sites["value.gates"]).any()
            return sites.run(agent, *state(1), moved if gates else differ)

        planted = isinstance(head, value.OracleGated)
        whole = ("features", "value.gates") if planted else ("features",)
        same(cut(*whole).outputs, source.outputs)
        same(cut("encoder.1", *whole[1:]).outputs, source.outputs)
        same(cut("encoder.0", *whole[1:]).outputs, source.outputs)
        for names in (
            ("value.hidden", "value.gates"),
            ("value.parts", "value.gates"),
            ("value",),
        ):
            got = cut(*names).outputs
            np.testing.assert_array_equal(got["value"], source.outputs["value"])
            np.testing.assert_array_equal(got["logits"], base.outputs["logits"])
        got = cut("decoder.hidden").outputs
        np.testing.assert_array_equal(got["logits"], source.outputs["logits"])
        np.testing.assert_array_equal(got["value"], base.outputs["value"])
        np.testing.assert_allclose(
            cut("value.units").outputs["value"], source.outputs["value"], rtol=1e-4
        )
        same(sites.run(agent, *state(1)).sites, base.sites)

    def test_patched_parts_and_units_still_add_up(self, head):
        agent = make(head)
        base = sites.run(agent, *state(1))
        gates = base.sites["value.gates"]
        k = int(gates.argmax())
        more = sites.run(agent, *state(1), {"value.parts": lambda v: v.at[k].add(2.0)})
        want = base.outputs["value"] + 2 * gates[k]
        np.testing.assert_allclose(more.outputs["value"], want, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            more.sites["value.units"].sum(), want, rtol=1e-5, atol=1e-4
        )
        # the last unit of the part takes the difference up, and no other
        moved = more.sites["value.units"] != base.sites["value.units"]
        owned = np.flatnonzero(np.asarray(agent.value.unit_shard) == k)
        np.testing.assert_array_equal(np.flatnonzero(np.asarray(moved)), owned[-1:])
        u = int(jnp.abs(base.sites["value.units"]).argmax())
        less = sites.run(agent, *state(1), {"value.units": lambda x: x.at[u].set(0.0)})
        want = base.outputs["value"] - base.sites["value.units"][u]
        np.testing.assert_allclose(less.outputs["value"], want, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(
            sites.contributions(less).sum(), want, rtol=1e-5, atol=1e-4
        )

    def test_unknown_sites_are_refused_by_name(self, head):
        agent = make(head)
        allowed = ", ".join(sites.names(agent))
        for site in ("value.part", "encoder.2", "observation"):
            with pytest.raises(ValueError, match=f"got '{site}'; allowed: {allowed}"):
                sites.run(agent, *state(1), {site: lambda h: h})


@pytest.mark.slow
def test_states_and_seeds_are_mapped_under_jit():
    head = value.Sharded(num_shards=3)
    agent = make(head)
    population = jax.tree.map(lambda a, b: jnp.stack([a, b]), agent, make(head, seed=1))
    boards, contexts = (
        jnp.stack(x) for x in zip(*(state(i) for i in range(3)), strict=True)
    )

    def patch(site):
        def one(agent, board, context):
            patches = {site: lambda h: 0.5 * h} if site else {}
            return sites.run(agent, board, context, patches)

        mapped = jax.vmap(one, in_axes=(None, 0, 0))
        return jax.jit(jax.vmap(mapped, in_axes=(0, None, None)))

    plain = patch(None)(population, boards, contexts)
    half = patch("features")(population, boards, contexts)
    assert half.outputs["logits"].shape == (2, 3, ACTIONS)
    assert half.changed["features"].all()
    for n in range(2):
        one = make(head, seed=n)
        for i in range(3):
            want = sites.run(one, *state(i)).sites
            for name, got in plain.sites.items():
                np.testing.assert_allclose(
                    got[n, i], want[name], rtol=1e-4, atol=1e-4, err_msg=name
                )
            z = 0.5 * want["features"]
            got = half.outputs["value"][n, i]
            want = one.value(z, state(i)[1]).value
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_identity_is_bitwise_under_jit():
    agent = make(value.Sharded(num_shards=3))

    def run(patches):
        return jax.jit(lambda a, b, c: sites.run(a, b, c, patches))(agent, *state(1))

    plain = run({})
    patched = run({site: lambda h: h for site in sites.names(agent)})
    same(plain.sites, patched.sites)
    with pytest.warns(UserWarning, match="value: its patch"):
        graph.warn_unchanged({"value": patched.changed["value"]})


@pytest.mark.parametrize("kind", [Conv, Plain])
def test_encoders_of_other_kinds(kind):
    agent = make(value.MLP(), encoder=kind(nnx.Rngs(0)))
    board, context = state(1)
    record = sites.run(agent, board, context)
    np.testing.assert_array_equal(record.sites["features"], agent.encoder(board))
    if kind is Plain:
        assert sites.names(agent)[0] == "features"
        return
    assert record.sites["encoder.0"].shape == (3, 3, 3)
    np.testing.assert_array_equal(
        record.sites["encoder.0"], agent.encoder.layers[0](board.astype(jnp.float32))
    )
    zero = sites.run(agent, board, context, {"encoder.0": jnp.zeros_like})
    linear = agent.encoder.layers[1]
    want = jnp.tanh(2 * linear.bias[...])
    np.testing.assert_allclose(zero.sites["features"], want, rtol=1e-6)
    assert isinstance(agent.encoder.layers[0], nnx.Conv)


def test_a_head_without_stages_can_be_patched_after_itself():
    agent = make(Opaque())
    assert sites.names(agent)[-3:] == ("value.parts", "value.units", "value")
    record = sites.run(agent, *state(1))
    np.testing.assert_allclose(
        sites.contributions(record).sum(), record.outputs["value"], rtol=1e-5
    )
    for site in ("value.gates", "value.hidden"):
        with pytest.raises(ValueError, match=f"site: got '{site}'"):
            sites.run(agent, *state(1), {site: lambda h: h})
    moved = sites.run(agent, *state(1), {"value.parts": lambda v: v + 1})
    np.testing.assert_allclose(
        moved.outputs["value"], record.outputs["value"] + 2, rtol=1e-5
    )


def test_bad_input_is_named():
    agent = make(value.OracleGated())
    board, context = state(1)
    with pytest.raises(ValueError, match=r"observation: got shape \(3, 2, 2\)"):
        sites.run(agent, board[:, :2], context)
    with pytest.raises(ValueError, match=r"context: got shape \(1,\)"):
        sites.run(agent, board, context[:1])
    with pytest.raises(ValueError, match="context: got 1 numbers that are not finite"):
        sites.run(agent, board, context.at[0].set(jnp.nan))

    class Skipping(Conv):
        def __call__(self, observation):
            return self.layers[1](jnp.zeros(27))

    with pytest.raises(ValueError, match=r"got 'encoder\.0', which this run never"):
        sites.run(
            make(value.MLP(), encoder=Skipping(nnx.Rngs(0))),
            board,
            context,
            {"encoder.0": jnp.zeros_like},
        )
