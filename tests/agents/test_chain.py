"""Chains by hand, and that parts of a chain join to the whole."""

import jax.numpy as jnp
import pytest

from shardsim.agents import chain

STAGES = (lambda x: x + 1, lambda x: 3 * x, lambda x: x - 2)


def test_a_chain_by_hand():
    # 4 + 1 = 5, 3 * 5 = 15, 15 - 2 = 13
    assert chain.run(STAGES, jnp.int32(4)) == 13


@pytest.mark.parametrize(("number", "want"), [(0, 28), (1, 8), (2, 10)])
def test_from_an_activation_by_hand(number, want):
    assert chain.run_from(STAGES, jnp.int32(10), number) == want


def test_two_stages_joined_are_one_in_their_order():
    joined = (chain.joined(STAGES[0], STAGES[1]), STAGES[2])
    assert chain.run(joined, jnp.int32(4)) == 13
    turned = (chain.joined(STAGES[1], STAGES[0]), STAGES[2])
    assert chain.run(turned, jnp.int32(4)) == 11  # 12 + 1 - 2


@pytest.mark.parametrize("number", [-1, 3])
def test_a_stage_that_is_none_is_refused(number):
    with pytest.raises(ValueError, match=f"number: got {number}; allowed: 0 to 2"):
        chain.run_from(STAGES, jnp.int32(0), number)
