"""Curves of a page: lost seeds, shut gates, and what has no interval."""

import shutil

import jax
import numpy as np
import pytest
import yaml

from shardsim.reports.explorer import data, load
from shardsim.reports.explorer.panels import curves


def test_a_lost_seed_is_no_number_and_takes_no_other_with_it():
    """Neither 0, nor a mean with the seeds that are left."""
    v = np.random.default_rng(0).normal(size=(1, 4, 30))
    lost = v.copy()
    lost[0, 1] = np.nan
    got = curves._seed_similarity(lost)[0]
    assert np.isnan(got).tolist() == [False, True, False, False]
    left = curves._seed_similarity(v[:, [0, 2, 3]])[0]
    np.testing.assert_allclose(got[[0, 2, 3]], left)
    assert np.isnan(curves._seed_similarity(v[:, :1])).all()
    gates = np.full((5, 2), 0.5, np.float32)
    mask = np.ones(5, bool)
    used = jax.jit(curves._masked_usage)
    entropy, in_use = used(gates, gates, mask)
    assert float(entropy) == pytest.approx(np.log(2))
    assert float(in_use) == pytest.approx(2)
    gates[0, 0] = np.nan
    assert np.isnan(used(gates, gates, mask)).all()


def test_states_that_are_not_counted_or_shut_say_nothing_of_the_parts_in_use():
    gates = np.array([[1, 0], [0, 0], [0, 1], [0.5, 0.5]], np.float32)
    mask = np.array([True, True, False, False])
    entropy, in_use = curves._masked_usage(gates, np.ones_like(gates), mask)
    assert (float(entropy), float(in_use)) == (0.0, pytest.approx(1.0))
    mask = np.array([True, False, True, True])
    entropy, in_use = curves._masked_usage(gates, np.ones_like(gates), mask)
    assert float(entropy) == pytest.approx(np.log(2) / 3)
    assert float(in_use) == pytest.approx(2.0)


def test_how_alike_seeds_are_has_no_interval():
    """Two seeds have one pair: two equal numbers, and nothing that they vary by."""
    end = curves.end("seed_similarity", np.array([0.4, 0.4]))
    assert end.estimate == pytest.approx(0.4)
    assert np.isnan([end.low, end.high]).all()
    other = curves.end("value_error", np.array([0.4, 0.5]))
    assert other.low < 0.4 < 0.5 < other.high


def test_returns_are_of_the_acting_of_training(tiny_run, tmp_path):
    """As the report's are, whatever the agents are looked at by."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    found = yaml.safe_load((folder / "config.yaml").read_text())
    found["evaluation"]["action_selection"] = {
        "kind": "value_only",
        "temperature": 100.0,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(found, sort_keys=False))
    plain, other = (
        data.compute(load.load([run], None, 1, 1), data.Clock(), quick=True)
        for run in (tiny_run, folder)
    )
    assert plain.env.acting != other.env.acting == "V alone at tau = 100"
    for a, b in zip(plain.sides, other.sides, strict=True):
        one, two = (side.panels["curves"].metrics["return"] for side in (a, b))
        np.testing.assert_array_equal(one, two)
