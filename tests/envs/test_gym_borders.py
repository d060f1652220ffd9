"""What may be handed to the Gymnasium environments, and what is refused by name."""

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

import shardsim_envs as envs
from shardsim_envs.levels import levels


@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("wrong", [4, -1, 1.5, "up", None])
def test_what_is_no_action_is_refused(number, wrong):
    """In a compiled program any number would be taken for some action."""
    if number:
        env = gymnasium.make_vec("shardsim/CornerMaze-v0", number, size=5)
        actions = [[0, wrong, 0], 0, [0, 0], [[0], [0], [0]]]
    else:
        env = gymnasium.make("shardsim/CornerMaze-v0", size=5)
        actions = [wrong, [0]]
    env.reset(seed=0)
    for action in actions:
        with pytest.raises(ValueError, match=r"action: got .* whole numbers 0 to 3"):
            env.step(action)
    env.step(jnp.ones(number, jnp.int32) if number else jnp.int32(1))
    for kind in (np.int64, np.uint8, np.int32):
        env.step(np.ones(number, kind) if number else kind(1))


def test_a_vector_shows_nothing_before_its_reset_or_without_a_mode():
    for mode in (None, "rgb_array", "ansi"):
        many = gymnasium.make_vec("shardsim/CornerMaze-v0", 2, size=5, render_mode=mode)
        with pytest.raises(gymnasium.error.ResetNeeded, match="render: got no state"):
            many.render()
        many.reset(seed=0)
        assert (many.render() is None) == (mode is None)


def test_a_level_of_another_world_is_refused():
    env = gymnasium.make("shardsim/CornerMaze-v0", size=5)
    for world, says in (
        (envs.CornerMaze(size=7), r"board: got shape \(7, 7, 3\); allowed: \(5, 5, 3"),
        (envs.FruitMini(), "board: got shape"),
    ):
        some = levels.generate(world, 0, 1).levels
        with pytest.raises(ValueError, match=says):
            env.reset(options={"level": next(levels.each(some))})
    some = levels.generate(envs.CornerMaze(size=5), 0, 2).levels
    with pytest.raises(ValueError, match="board: got shape"):  # several at once
        env.reset(options={"level": some})
    one = next(levels.each(some))
    with pytest.raises(ValueError, match=r"memory: got .*; allowed: "):
        env.reset(options={"level": one._replace(memory=(np.zeros(3),))})
    with pytest.raises(ValueError, match="level: got str; allowed: a Level"):
        env.reset(options={"level": "#####"})
    assert env.reset(options={"level": one})[0].shape == (5, 5, 3)


def test_fields_may_be_lists_as_in_json():
    pays = [[0.0, 1.0], [1.0, 0.0]]
    for many in (False, True):
        make = gymnasium.make_vec if many else gymnasium.make
        env = make(
            "shardsim/ContextFruits-v0", size=3, rewards=pays, contexts_shown=[[0], [1]]
        )
        env.reset(seed=0)
        assert env.unwrapped.world.rewards == ((0.0, 1.0), (1.0, 0.0))


def test_seeds_of_a_vector_are_taken_as_they_are():
    many = gymnasium.make_vec("shardsim/CornerMaze-v0", 2, size=7)
    seen = many.reset(seed=[3, 2**32 - 1])[0]
    np.testing.assert_array_equal(many.reset(seed=np.array([3, 2**32 - 1]))[0], seen)
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match=f"seed: got {seed}; allowed: 0 to"):
            many.reset(seed=[3, seed])
