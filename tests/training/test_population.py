"""Seeds train the same whatever trains beside them, and all programs compile once."""

import dataclasses
import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim import algorithms, cli
from shardsim.agents import action_selection, encoders, value
from shardsim.algorithms import losses, update_step
from shardsim.core import backends, sparse
from shardsim.training import compile_ahead, population
from tests.helpers.small_training import (
    ADAM,
    CONFIG,
    ENV,
    RECIPE,
    WIDTH,
    fresh,
    hyper,
    hypers,
    run,
    setting,
)

FOR_POLICY = losses.LossWeights(
    policy=losses.GradientScales(encoder=1.0, decoder=1.0),
    value=losses.GradientScales(encoder=1.0, value=1.0),
)
PRIOR = action_selection.PolicyOnly()
RULES = {
    "td": {},
    "td on rows": {"env": sparse.row_view(ENV)},
    "ppo": {
        "algorithm": algorithms.PPO(),
        "action_selection": PRIOR,
        "losses": FOR_POLICY,
        "minibatches": 4,
    },
    "reinforce": {
        "algorithm": algorithms.Reinforce(),
        "action_selection": PRIOR,
        "losses": FOR_POLICY,
        "epochs": 1,
    },
    "search": {
        "algorithm": algorithms.ExpertIteration(),
        "action_selection": action_selection.Search(simulations=3),
        "losses": FOR_POLICY,
    },
    "bfloat16": {"precision": "bfloat16"},
}
ENCODERS = {
    "mlp": encoders.MLPEncoder(widths=(32,)),
    "conv": encoders.ConvEncoder(),
    "impala": encoders.ImpalaEncoder(),
    "attention": encoders.AttentionEncoder(),
}


def trained(config, static, seeds):
    """The end of three updates of some seeds, as numbers."""
    recipe = population.InitConfig(config, ADAM, ENV, 8)
    keys = population.seed_keys(0, seeds)
    rates = hypers(seeds, learning_rate=ADAM.learning_rate)
    head = static.heads[0]
    carry = population.init(recipe, head, WIDTH, ENV.params(), keys, rates)
    after, _ = run(static, carry, 3)
    return jax.tree.map(np.asarray, jax.tree.leaves(nnx.state(after.learners[0].agent)))


def assert_first_seeds_equal(few, many, count):
    for a, b in zip(few, many, strict=True):
        np.testing.assert_array_equal(a, b[:count])


def test_a_seed_has_the_same_bits_alone_and_among_others():
    static = setting([value.Sharded()])
    one, five = (trained(CONFIG, static, seeds) for seeds in (1, 5))
    assert_first_seeds_equal(one, five, 1)


@pytest.mark.slow
@pytest.mark.few(1, rest="long")
@pytest.mark.parametrize("rule", RULES)
def test_bits_of_a_seed_under_every_rule(rule):
    static = setting([value.Sharded()], **RULES[rule])
    found = [trained(CONFIG, static, seeds) for seeds in (1, 2, 3, 8)]
    for count, few in zip((1, 2, 3), found, strict=False):
        assert_first_seeds_equal(few, found[-1], count)


@pytest.mark.slow
@pytest.mark.few(2, rest="long")
@pytest.mark.parametrize("kind", ENCODERS)
def test_bits_of_a_seed_with_every_encoder(kind):
    config = dataclasses.replace(CONFIG, encoder=ENCODERS[kind])
    static = setting([value.MLP()])
    two, three = (trained(config, static, seeds) for seeds in (2, 3))
    assert_first_seeds_equal(two, three, 2)


@pytest.mark.parametrize("heads", [(value.MLP(),), (value.MLP(), value.Sharded())])
@pytest.mark.slow
def test_seeds_together_learn_as_seeds_one_after_another(heads, monkeypatch):
    """As on a GPU: the same to rounding."""
    keys = population.seed_keys(0, 4)
    carry = fresh(value.MLP(), 4)
    if len(heads) > 1:
        made = population.heads(RECIPE, heads, (WIDTH, WIDTH), keys)
        carry = population.with_fresh_heads(carry, made, (hyper(4), hyper(4)))
    found = []
    for together in (False, True):
        row = dataclasses.replace(backends.TABLE["cpu"], seeds_together=together)
        monkeypatch.setattr(backends, "TABLE", {**backends.TABLE, "cpu": row})
        # a static setting of its own, else the first program would serve both
        found.append(run(setting(heads, total_updates=100 + together), carry, 3))
    (one, counted), (all_, counted_all) = found
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
        (nnx.state(one.learners[-1].agent), counted),
        (nnx.state(all_.learners[-1].agent), counted_all),
    )
    assert one.failed.shape == all_.failed.shape


def test_an_update_on_rows_is_that_on_boards():
    """The same data, and the same agent to rounding."""
    carry = fresh(value.Sharded())
    plain = setting([value.Sharded()])
    found = [
        run(static, carry, 1)
        for static in (plain, plain._replace(env=sparse.row_view(ENV)))
    ]
    (boards, noted), (rows, noted_rows) = found
    jax.tree.map(np.testing.assert_array_equal, boards.states, rows.states)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
        (nnx.state(boards.learners[0].agent), noted),
        (nnx.state(rows.learners[0].agent), noted_rows),
    )


def test_a_trajectory_on_rows_holds_row_numbers():
    static = setting([value.Sharded()], env=sparse.row_view(ENV))
    source = update_step.PhaseInputs(ENV.params())
    _, trajectory = population.collect(static, fresh(value.Sharded()), source)
    assert trajectory.observation.shape == (2, 8, 8, ENV.patterns.num_rows)
    assert trajectory.observation.dtype == jnp.int32


@pytest.fixture
def no_programs():
    """JAX would find a program again that was compiled with other options."""
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.mark.slow
@pytest.mark.usefixtures("no_programs")
def test_programs_compile_ahead_and_none_twice(tiny_yaml, tmp_path, monkeypatch):
    """The calls compile no chunk: what compiled in the background is found again."""
    # with the options of the compiler that commands have and tests go without
    monkeypatch.setenv("XLA_FLAGS", "")
    for program in (population.init, population.heads, population.chunk):
        monkeypatch.setattr(program, "_compiled", {})
    asked = []
    wait = compile_ahead.Ahead.wait

    def noted(self, name):
        wait(self, name)
        asked.append(self._started[name].exception())

    monkeypatch.setattr(compile_ahead.Ahead, "wait", noted)
    with jax.log_compiles():  # of this thread alone
        logger = logging.getLogger("jax._src.dispatch")
        records = []
        handler = logging.Handler()
        handler.emit = lambda record: records.append(record.getMessage())
        logger.addHandler(handler)
        try:
            out = tmp_path / "run"
            assert cli.main(["run", str(tiny_yaml), "--out", str(out)]) == 0
        finally:
            logger.removeHandler(handler)
    assert asked
    assert set(asked) == {None}
    finished = [text for text in records if "Finished XLA compilation" in text]
    assert any("jit(init)" in text for text in finished)
    assert not [text for text in finished if "jit(chunk)" in text]
