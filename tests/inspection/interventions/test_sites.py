"""Sites of an agent: bitwise equal runs, true cuts, and no leaks between runs."""

import dataclasses
import itertools
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import agent as agents
from shardsim.agents import decoders, encoders, value
from shardsim.inspection.interventions import graph, patches, sites
from tests.helpers.agents import activations

BOARD, FEATURES, ACTIONS, CONTEXTS = (3, 3, 2), 6, 4, 2
HEADS = [
    *(option() for option in typing.get_args(value.Head)),
    value.Sharded(num_shards=3, gate="top_k", top_k=2, aggregation="convex"),
    value.MLP(hidden=(5, 4), activation="tanh"),
]
ENCODERS = [
    encoders.MLPEncoder(widths=(8, FEATURES)),
    encoders.ConvEncoder(channels=(3,), hidden=5, features=FEATURES),
    encoders.ImpalaEncoder(channels=(3,), features=FEATURES),
    encoders.AttentionEncoder(width=4, hidden=3, head_width=2, features=FEATURES),
    encoders.FlatEncoder(features=18),
    encoders.MLPEncoder(widths=(8, 7, FEATURES), activation="tanh"),
    encoders.MLPEncoder(widths=(FEATURES,)),
    encoders.ConvEncoder(channels=(3, 4), hidden=5, features=FEATURES),
]
DECODERS = list(itertools.product([(5,), (7, 5), (7, 3, 5)], ["relu", "tanh"]))
"""Hidden layers and activation function of each decoder."""
EVERY = len(HEADS)
UNIONS = [
    *zip(ENCODERS, HEADS, itertools.cycle(DECODERS), strict=False),
    *itertools.product(ENCODERS, HEADS, DECODERS),
]
"""First agents that cover each encoder, head and decoder once, then all others."""


class Opaque(nnx.Module):
    """A head that is not a `GatedHead`."""

    unit_shard = jnp.array([0, 1, 1])

    def __call__(self, features, context):
        units = features[:3]
        parts = jnp.array([1.0, 0.0]) * units[0] + jnp.array([0.0, 1.0]) * units[
            1:
        ].sum(keepdims=True)
        return value.ValueOutput(jnp.sum(parts), parts, jnp.ones(2), units)


def make(head, encoder=ENCODERS[0], decoder=DECODERS[0], seed=0):
    """An agent with random parameters everywhere, as after training."""
    rngs, (hidden, activation) = nnx.Rngs(seed), decoder
    features = encoder.features
    agent = agents.Agent(
        encoder.build(BOARD, rngs),
        decoders.ActionDecoder(features, ACTIONS, hidden, rngs, activation),
        head
        if isinstance(head, nnx.Module)
        else head.build(features, CONTEXTS, 7, rngs),
        decoders.Auxiliary((), features, ACTIONS, BOARD, 4, jax.random.key(seed)),
    )
    graphdef, state = nnx.split(agent)
    leaves, tree = jax.tree.flatten(state)
    drawn = np.random.default_rng(seed)
    # small enough that no tanh is so flat that a changed input leaves its bits alone,
    # and biases above 0, so that no features are all 0
    leaves = [jnp.asarray(drawn.normal(0, 0.3, x.shape), jnp.float32) for x in leaves]
    leaves = [jnp.abs(x) if x.ndim == 1 else x for x in leaves]
    return nnx.merge(graphdef, jax.tree.unflatten(tree, leaves))


def state(seed):
    drawn = np.random.default_rng(seed)
    board = jnp.asarray(drawn.integers(0, 2, BOARD), jnp.uint8)
    return board, jnp.asarray(drawn.uniform(size=CONTEXTS), jnp.float32)


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def name_of(config):
    if isinstance(config, tuple):
        return "-".join(map(str, config))
    return "-".join(str(v) for v in list(dataclasses.asdict(config).values())[:4])


def downstream(agent, site):
    """The outputs that depend on a site."""
    if site.startswith("value"):
        return {"value"}
    return {"logits"} if site.startswith(("decoder", "logits")) else {"logits", "value"}


def ramp(h):
    """Change every number by a different amount: a norm would remove a common one."""
    return h + jnp.arange(1, h.size + 1, dtype=h.dtype).reshape(h.shape)


def test_the_first_agents_cover_the_unions():
    assert {type(e) for e in ENCODERS} == set(typing.get_args(encoders.EncoderConfig))
    assert {type(h) for h in HEADS} == set(typing.get_args(value.Head))
    first = UNIONS[:EVERY]
    assert [e for e, _, _ in first] == ENCODERS
    assert [h for _, h, _ in first] == HEADS
    assert {d for _, _, d in first} == set(DECODERS)


@pytest.mark.parametrize(("encoder", "head", "decoder"), UNIONS, ids=name_of)
class TestUnions:
    @pytest.mark.few(EVERY)
    def test_a_run_is_the_agent_bit_for_bit(self, encoder, head, decoder):
        agent, (board, context) = make(head, encoder, decoder), state(1)
        record = sites.run(agent, board, context)
        assert set(record.sites) == set(sites.names(agent))
        out = agent(board, context)
        expected = {
            "features": out.features,
            "logits": agent.decoder(out.features),
            "value": out.value.value,
            "value.shard_values": out.value.shard_values,
            "value.gates": out.value.gates,
            "value.units": out.value.units,
        }
        chains = (
            ("encoder", agent.encoder, board),
            ("decoder", agent.decoder, out.features),
            ("value", agent.value, out.features),
        )
        for name, network, x in chains:
            *hidden, _ = activations(network.stages(), x)
            expected |= {f"{name}.{i}": h for i, h in enumerate(hidden)}
        for site, activation in expected.items():
            np.testing.assert_array_equal(record.sites[site], activation, site)
        assert set(record.sites) == {*expected, "value.hidden"}
        same(record.outputs, {name: expected[name] for name in ("logits", "value")})

    @pytest.mark.few(EVERY)
    def test_activations_put_in_their_own_place_change_no_bit(
        self, encoder, head, decoder
    ):
        agent = make(head, encoder, decoder)
        plain = sites.run(agent, *state(1))
        own = {name: patches.replace(plain.sites[name]) for name in sites.names(agent)}
        with pytest.warns(UserWarning, match="its patch changed nothing") as warned:
            patched = sites.run(agent, *state(1), own)
        assert {str(w.message).split(":")[0] for w in warned} == set(own)
        same(patched.sites, plain.sites)
        same(patched.outputs, plain.outputs)


@pytest.mark.parametrize(("encoder", "head", "decoder"), UNIONS[:EVERY], ids=name_of)
class TestPatches:
    def test_one_that_changes_a_site_moves_what_it_leads_to_alone(
        self, encoder, head, decoder
    ):
        """Negative control of all equalities here."""
        agent = make(head, encoder, decoder)
        plain = sites.run(agent, *state(1))
        names = sites.names(agent)
        for number, site in enumerate(names):
            moved = sites.run(agent, *state(1), {site: ramp})
            for name in names[:number]:
                if site == "value.units" and name == "value.shard_values":
                    continue  # a part says what its units then say
                np.testing.assert_array_equal(
                    moved.sites[name], plain.sites[name], f"{site} moved {name}"
                )
            changed = {
                name
                for name, output in moved.outputs.items()
                if (output != plain.outputs[name]).any()
            }
            assert changed == downstream(agent, site), site

    def test_another_run_in_the_place_of_all_of_e_is_that_run(
        self, encoder, head, decoder
    ):
        agent = make(head, encoder, decoder)
        (board, context), (other, _) = state(1), state(2)
        base, source = (sites.run(agent, x, context) for x in (board, other))
        assert (base.outputs["value"] != source.outputs["value"]).all()
        for site in sites.names(agent)[: len(agent.encoder.stages())]:
            moved = {site: patches.replace(source.sites[site])}
            same(sites.run(agent, board, context, moved).outputs, source.outputs)
        for number in range(len(agent.decoder.stages()) - 1):
            site = f"decoder.{number}"
            moved = {site: patches.replace(source.sites[site])}
            actual = sites.run(agent, board, context, moved).outputs
            np.testing.assert_array_equal(actual["logits"], source.outputs["logits"])
            np.testing.assert_array_equal(actual["value"], base.outputs["value"])


@pytest.mark.parametrize("head", HEADS, ids=name_of)
class TestEveryHead:
    def test_a_whole_cut_is_the_source_run_and_nothing_leaks(self, head):
        agent = make(head)
        base, source = (sites.run(agent, *state(i)) for i in (1, 2))
        assert base.outputs["value"] != source.outputs["value"]

        def cut(*names):
            # a head without gates has a single gate that is always 1
            moved = {n: (lambda _, n=n: source.sites[n]) for n in names}
            differ = {n: p for n, p in moved.items() if n != "value.gates"}
            gates = (base.sites["value.gates"] != source.sites["value.gates"]).any()
            return sites.run(agent, *state(1), moved if gates else differ)

        planted = isinstance(head, value.OracleGated)
        whole = ("features", "value.gates") if planted else ("features",)
        same(cut(*whole).outputs, source.outputs)
        same(cut("encoder.0", *whole[1:]).outputs, source.outputs)
        for names in (
            ("value.hidden", "value.gates"),
            ("value.shard_values", "value.gates"),
            ("value",),
        ):
            actual = cut(*names).outputs
            np.testing.assert_array_equal(actual["value"], source.outputs["value"])
            np.testing.assert_array_equal(actual["logits"], base.outputs["logits"])
        actual = cut("decoder.0").outputs
        np.testing.assert_array_equal(actual["logits"], source.outputs["logits"])
        np.testing.assert_array_equal(actual["value"], base.outputs["value"])
        np.testing.assert_allclose(
            cut("value.units").outputs["value"], source.outputs["value"], rtol=1e-4
        )
        same(sites.run(agent, *state(1)).sites, base.sites)

    def test_patched_parts_and_units_still_add_up(self, head):
        agent = make(head)
        base = sites.run(agent, *state(1))
        gates = base.sites["value.gates"]
        k = int(gates.argmax())
        more = sites.run(
            agent, *state(1), {"value.shard_values": lambda v: v.at[k].add(2.0)}
        )
        expected = base.outputs["value"] + 2 * gates[k]
        np.testing.assert_allclose(
            more.outputs["value"], expected, rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(
            more.sites["value.units"].sum(), expected, rtol=1e-5, atol=1e-4
        )
        # only the last unit of the shard absorbs the difference
        moved = more.sites["value.units"] != base.sites["value.units"]
        owned = np.flatnonzero(np.asarray(agent.value.unit_shard) == k)
        np.testing.assert_array_equal(np.flatnonzero(np.asarray(moved)), owned[-1:])
        u = int(jnp.abs(base.sites["value.units"]).argmax())
        less = sites.run(agent, *state(1), {"value.units": lambda x: x.at[u].set(0.0)})
        expected = base.outputs["value"] - base.sites["value.units"][u]
        np.testing.assert_allclose(
            less.outputs["value"], expected, rtol=1e-5, atol=1e-4
        )
        np.testing.assert_allclose(
            sites.contributions(less).sum(), expected, rtol=1e-5, atol=1e-4
        )

    def test_unknown_sites_are_refused_by_name(self, head):
        agent = make(head)
        allowed = ", ".join(sites.names(agent))
        for site in ("value.part", "encoder.2", "observation"):
            with pytest.raises(ValueError, match=f"got '{site}'; allowed: {allowed}"):
                sites.run(agent, *state(1), {site: lambda h: h})


@pytest.mark.slow
def test_vmap_over_states_and_seeds_under_jit():
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
            expected = sites.run(one, *state(i)).sites
            for name, actual in plain.sites.items():
                np.testing.assert_allclose(
                    actual[n, i], expected[name], rtol=1e-4, atol=1e-4, err_msg=name
                )
            z = 0.5 * expected["features"]
            actual = half.outputs["value"][n, i]
            expected = one.value(z, state(i)[1]).value
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_identity_is_bitwise_under_jit():
    agent = make(value.Sharded(num_shards=3))

    def run(patches):
        return jax.jit(lambda a, b, c: sites.run(a, b, c, patches))(agent, *state(1))

    plain = run({})
    patched = run({site: lambda h: h for site in sites.names(agent)})
    same(plain.sites, patched.sites)
    with pytest.warns(UserWarning, match="value: its patch"):
        graph.warn_unchanged({"value": patched.changed["value"]})


def test_a_decoder_of_two_tanh_layers_by_hand():
    """Its sites come after the activation function, in the order of the layers."""
    agent = make(value.Linear(), decoder=((2, 5), "tanh"))
    decoder, board = agent.decoder, state(1)[0]
    z = agent.encoder(board)
    first = np.tanh(z @ decoder.before[0].kernel[...] + decoder.before[0].bias[...])
    second = np.tanh(first @ decoder.hidden.kernel[...] + decoder.hidden.bias[...])
    record = sites.run(agent, *state(1))
    np.testing.assert_allclose(record.sites["decoder.0"], first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(record.sites["decoder.1"], second, rtol=1e-5, atol=1e-6)
    off = sites.run(agent, *state(1), {"decoder.1": jnp.zeros_like})
    np.testing.assert_array_equal(off.outputs["logits"], decoder.readout.bias[...])


def test_a_head_without_stages_is_patched_at_its_output():
    agent = make(Opaque())
    assert sites.names(agent)[-3:] == ("value.shard_values", "value.units", "value")
    record = sites.run(agent, *state(1))
    np.testing.assert_allclose(
        sites.contributions(record).sum(), record.outputs["value"], rtol=1e-5
    )
    for site in ("value.gates", "value.hidden"):
        with pytest.raises(ValueError, match=f"site: got '{site}'"):
            sites.run(agent, *state(1), {site: lambda h: h})
    moved = sites.run(agent, *state(1), {"value.shard_values": lambda v: v + 1})
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
