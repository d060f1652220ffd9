"""Sizes of encoders solved from a budget, and configs that are refused."""

import dataclasses
import typing

import jax
import pytest
from flax import nnx

from shardsim.agents import agent as agents
from shardsim.agents import encoders
from shardsim.core import config

KINDS = [
    option()
    for option in typing.get_args(encoders.EncoderConfig)
    if option is not encoders.FlatEncoder  # it has no size of its own
]
BOARDS = [each for each in KINDS if each.kind != "mlp"]


def kind_of(encoder):
    return encoder.kind


@pytest.mark.parametrize("shape", [(5, 5, 4), (13, 13, 6)])
@pytest.mark.parametrize("budget", [40_000, 146_432])
@pytest.mark.parametrize("encoder", KINDS, ids=kind_of)
@pytest.mark.few(4)
def test_a_budget_is_met(encoder, budget, shape):
    asked = dataclasses.replace(encoder, budget=budget)
    met = encoders.to_budget(asked, shape)
    module = asked.build(shape, nnx.Rngs(0))
    made = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))
    assert made == encoders.count_parameters(asked, shape)
    assert made == encoders.count_parameters(met, shape)
    assert abs(made - budget) <= 0.02 * budget
    assert met.budget is None
    assert asked.features == met.features == encoder.features


@pytest.mark.parametrize("encoder", KINDS, ids=kind_of)
def test_more_budget_is_never_a_smaller_encoder(encoder):
    counts = [
        encoders.count_parameters(dataclasses.replace(encoder, budget=b), (5, 5, 4))
        for b in range(30_000, 60_000, 1_500)
    ]
    assert counts == sorted(counts)


def test_the_budget_of_an_mlp_by_hand():
    # 100 inputs: w (100 + 1) + 10 (w + 1) = 1120 at w = 10
    asked = encoders.MLPEncoder(widths=(3, 10), budget=1_120)
    assert encoders.to_budget(asked, (5, 5, 4)).widths == (10, 10)
    # the nearest, above or below: 9 x 111 + 10 = 1009 and 10 x 111 + 10
    near = dataclasses.replace(asked, budget=1_010)
    assert encoders.to_budget(near, (5, 5, 4)).widths == (9, 10)
    near = dataclasses.replace(asked, budget=1_110)
    assert encoders.to_budget(near, (5, 5, 4)).widths == (10, 10)


def test_sizes_keep_their_ratio():
    asked = encoders.ConvEncoder(channels=(10, 20), hidden=40, budget=100_000)
    first, second, hidden = encoders.to_budget(asked, (9, 9, 4)).sizes
    assert second / first == pytest.approx(2, rel=0.25)
    assert hidden / first == pytest.approx(4, rel=0.25)


def test_its_own_size_is_a_budget_that_changes_nothing():
    for encoder in KINDS:
        own = encoders.count_parameters(encoder, (7, 7, 3))
        asked = dataclasses.replace(encoder, budget=own)
        assert encoders.to_budget(asked, (7, 7, 3)) == encoder
        assert encoders.to_budget(encoder, (7, 7, 3)) is encoder


@pytest.mark.parametrize(
    ("encoder", "shape", "text"),
    [
        (
            encoders.MLPEncoder(budget=20_000),
            (13, 13, 6),
            "budget: got 20000, which an encoder of kind 'mlp' can't meet for "
            "observations of shape (13, 13, 6) (nearest: 19559); allowed: within 2% "
            "of what it can meet",
        ),
        (
            encoders.MLPEncoder(widths=(8,), budget=1_000),
            (4,),
            "budget: got 1000, which an encoder of kind 'mlp' can't meet for "
            "observations of shape (4,) (nearest: 40); allowed: within 2% of what it "
            "can meet",
        ),
        (
            encoders.ConvEncoder(budget=100),
            (5, 5, 1),
            "budget: got 100, which an encoder of kind 'conv' can't meet for "
            "observations of shape (5, 5, 1) (nearest: 302); allowed: within 2% of "
            "what it can meet",
        ),
    ],
)
def test_a_budget_that_can_not_be_met_is_refused(encoder, shape, text):
    for attempt in (
        lambda: encoders.count_parameters(encoder, shape),
        lambda: encoder.build(shape, nnx.Rngs(0)),
    ):
        with pytest.raises(ValueError, match="budget") as caught:
            attempt()
        assert str(caught.value) == text


@pytest.mark.parametrize("encoder", BOARDS, ids=kind_of)
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4, 5)])
def test_what_is_no_board_is_refused(encoder, shape):
    text = (
        f"kind: got {encoder.kind!r}, which reads boards [H, W, P], for observations "
        f"of shape {shape}; allowed: 'mlp'"
    )
    for attempt in (
        lambda: encoders.count_parameters(encoder, shape),
        lambda: encoder.build(shape, nnx.Rngs(0)),
    ):
        with pytest.raises(ValueError, match="kind") as caught:
            attempt()
        assert str(caught.value) == text


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"widths": []}, "encoder.widths: got []; allowed: one or more"),
        ({"widths": [3, 0]}, "encoder.widths.1: got 0; allowed: at least 1"),
        ({"budget": 0}, "encoder.budget: got 0; allowed: at least 1"),
        (
            {"activation": "elu"},
            "encoder.activation: got 'elu'; allowed: 'relu' or 'tanh' "
            "(did you mean relu?)",
        ),
        (
            {"kind": "resnet"},
            "encoder.kind: got 'resnet'; allowed: mlp, conv, impala, attention, "
            "identity",
        ),
        (
            {"kind": "conv", "widths": [3]},
            "encoder.widths: unknown key; allowed: kind, channels, hidden, features, "
            "implementation, budget",
        ),
        (
            {"kind": "conv", "implementation": "fft"},
            "encoder.implementation: got 'fft'; allowed: 'auto', 'conv' or 'patches'",
        ),
        (
            {"kind": "conv", "channels": [0]},
            "encoder.channels.0: got 0; allowed: at least 1",
        ),
        ({"kind": "conv", "hidden": 0}, "encoder.hidden: got 0; allowed: at least 1"),
        ({"kind": "impala", "blocks": 0}, "encoder.blocks: got 0; allowed: at least 1"),
        (
            {"kind": "attention", "heads": 0},
            "encoder.heads: got 0; allowed: at least 1",
        ),
        (
            {"kind": "attention", "features": -1},
            "encoder.features: got -1; allowed: at least 1",
        ),
    ],
)
def test_what_is_wrong_is_named(data, line):
    with pytest.raises(config.ConfigError) as caught:
        config.build(agents.AgentConfig, {"encoder": data})
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("data", "want"),
    [
        ({"kind": "mlp", "widths": [128, 128]}, encoders.MLPEncoder()),
        ({"widths": [64, 64]}, encoders.MLPEncoder(widths=(64, 64))),
        ({"kind": "conv"}, encoders.ConvEncoder()),
        (
            {"kind": "impala", "channels": [8], "budget": 9_000},
            encoders.ImpalaEncoder(channels=(8,), budget=9_000),
        ),
        ({"kind": "attention"}, encoders.AttentionEncoder()),
    ],
)
def test_configs_that_are_read(data, want):
    got = config.build(agents.AgentConfig, {"encoder": data})
    assert got.encoder == want
