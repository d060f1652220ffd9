"""Control tasks separate memorising from reading."""

import numpy as np
import pytest

from shardsim.inspection.concepts import control_tasks

CELLS, MAZES = 30, 20


def made(by_heart):
    """Cells in mazes; a concept of two classes, and two kinds of features.

    `by_heart`: x names the cell, and the concept is a matter of cells. Else x shows the
    concept itself, which changes from maze to maze.
    """
    rng = np.random.default_rng(0)
    mazes, cells = np.divmod(np.arange(CELLS * MAZES), CELLS)
    if by_heart:
        z = rng.integers(0, 2, CELLS)[cells]
        x = np.eye(CELLS)[cells]
    else:
        z = rng.integers(0, 2, CELLS * MAZES)
        x = rng.normal(size=(CELLS * MAZES, CELLS))
        x[:, 0] += 4 * z
    return x.astype(np.float32), z, cells, mazes


@pytest.mark.slow
def test_a_probe_that_reads_is_selective():
    x, z, cells, mazes = made(by_heart=False)
    result = control_tasks.fit(x, z, cells, control_tasks.by_group(mazes))
    assert result.accuracy > 0.9
    assert abs(result.control.mean() - 0.5) < 0.2
    assert result.selectivity > 0.3
    assert "selectivity" in result.summary()


def test_a_probe_that_memorises_is_not():
    x, z, cells, mazes = made(by_heart=True)
    result = control_tasks.fit(x, z, cells, control_tasks.by_group(mazes))
    assert result.accuracy == 1.0
    assert result.selectivity == pytest.approx(0.0, abs=0.01)
    assert result.train_accuracy == 1.0


def test_whole_groups_are_held_out():
    groups = np.repeat([3, 1, 7, 5], 5)
    for seed in range(4):
        out = control_tasks.by_group(groups, share=0.5, seed=seed).reshape(4, 5)
        assert (out.all(1) | ~out.any(1)).all()
        assert out[:, 0].sum() == 2
    assert control_tasks.by_group(groups, share=0.01).sum() == 5
    assert control_tasks.by_group(groups, share=0.99).sum() == 15


def test_control_labels_follow_the_type_and_keep_the_shares():
    types = np.repeat(np.arange(4000), 2)
    z = np.where(np.arange(8000) % 4 == 0, 7, 2)
    result = control_tasks.control_labels(types, z)
    np.testing.assert_array_equal(result[::2], result[1::2])
    assert (result == 7).mean() == pytest.approx(0.25, abs=0.03)
    assert set(np.unique(result)) == {2, 7}
    assert (result != control_tasks.control_labels(types, z, seed=1)).any()


def test_the_majority_is_of_the_training_samples():
    x, _, cells, mazes = made(by_heart=False)
    held_out = control_tasks.by_group(mazes)
    z = np.where(held_out, np.arange(len(x)) % 4 == 0, np.arange(len(x)) % 4 > 0)
    result = control_tasks.fit(x, z.astype(int), cells, held_out, controls=1)
    assert result.majority == pytest.approx(z[held_out].mean())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros(3)}, r"x: got shape \(3,\)"),
        ({"x": np.full((4, 2), np.nan)}, "x: got 8 numbers"),
        ({"z": np.zeros(4)}, "z: got no labels"),
        ({"z": np.zeros(4, int)}, "z: got 1 class"),
        ({"types": np.zeros(3, int)}, r"types: got shape \(3,\)"),
        ({"types": np.arange(4)}, "types: got none on both sides"),
        ({"held_out": np.zeros(4, bool)}, "held_out: got 0 of 4"),
        ({"controls": 0}, "controls: got 0"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {
        "x": np.zeros((4, 2)),
        "z": np.array([0, 1, 0, 1]),
        "types": np.zeros(4, int),
        "held_out": np.array([True, False, False, True]),
    } | change
    with pytest.raises(ValueError, match=message):
        control_tasks.fit(**given)


def test_bad_groups_are_named():
    with pytest.raises(ValueError, match="groups: got 1 different labels"):
        control_tasks.by_group(np.zeros(3, int))
    with pytest.raises(ValueError, match=r"share: got 1.0; allowed: between 0 and 1"):
        control_tasks.by_group(np.arange(3), share=1.0)
    with pytest.raises(ValueError, match=r"z: got shape \(2,\); allowed: \(3\)"):
        control_tasks.control_labels(np.arange(3), np.arange(2))
