"""Curves of a page: lost seeds, shut gates, and what has no interval."""

import dataclasses
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from shardsim.evaluation import film, results
from shardsim.reports.explorer import data, html, load
from shardsim.reports.explorer.panels import curves


@pytest.fixture(scope="module")
def two_levels(tiny_run):
    """A page that evaluates two levels of a run that evaluated four."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(film, "CURVE_LEVELS", 2)
        inputs = load.load([tiny_run], None, 1, None)
        return data.compute(inputs, data.Clock(), quick=True)


def test_page_and_report_show_the_same_numbers(two_levels, tiny_run):
    arms = results.read_run(tiny_run).arms
    for side in two_levels.sides:
        arm, ends = arms[side.arm], side.panels["curves"].ends
        assert ends["return"].estimate == pytest.approx(arm.mean_return_fraction)
        assert ends["value_error"].estimate == pytest.approx(arm.mean_value_error)
        assert ends["shards_in_use"].estimate == pytest.approx(arm.shards_in_use)
        levels = side.panels["curves"].levels
        assert [levels[name] for name in ("return", "agreement")] == [4, 2]


def test_sides_that_were_not_measured_alike_are_both_computed(two_levels, tiny_run):
    """A comparison is over one set of levels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(film, "CURVE_LEVELS", 2)
        inputs = load.load([tiny_run], None, 1, None)
        side, other = inputs.sides
        assert curves.measured_by_run(side).levels == 4
        fewer = dataclasses.replace(side, updates=(1, 2))
        assert curves.measured_by_run(fewer) is None
        evaluation = dataclasses.replace(other.config.evaluation, seed=5)
        config = dataclasses.replace(other.config, evaluation=evaluation)
        other = dataclasses.replace(other, config=config)
        inputs = dataclasses.replace(inputs, sides=(side, other))
        page = data.compute(inputs, data.Clock(), quick=True)
    for one in page.sides:
        assert set(one.panels["curves"].levels.values()) == {2}


def test_a_page_of_one_side_speaks_of_no_other(two_levels):
    rows = [
        dataclasses.replace(row, sides=row.sides[:1], difference=None)
        for row in two_levels.comparison
    ]
    page = dataclasses.replace(
        two_levels,
        about=dataclasses.replace(two_levels.about, differences=[]),
        sides=two_levels.sides[1:],
        comparison=rows,
        seconds={**two_levels.seconds, "all": 1.0},
    )
    text = html.html(page)
    text = re.sub(r"<(script|style).*?</\1>", "", text, flags=re.DOTALL)
    words = re.sub(r"<[^>]*>", " ", text)
    assert not re.search(r"\bB\b", words)
    assert "0 switch all on" in words


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
    gates = jnp.array([[1, 0], [0, 0], [0, 1], [0.5, 0.5]], jnp.float32)
    mask = jnp.array([True, True, False, False])
    entropy, in_use = curves._masked_usage(gates, jnp.ones_like(gates), mask)
    assert (float(entropy), float(in_use)) == (0.0, pytest.approx(1.0))
    mask = jnp.array([True, False, True, True])
    entropy, in_use = curves._masked_usage(gates, jnp.ones_like(gates), mask)
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
