"""Sizes that cannot fit are refused before memory is taken, with both numbers."""

import jax
import pytest

from shardsim import cli
from shardsim.core import memory
from shardsim.core.config import ConfigError
from shardsim.evaluation import film
from shardsim.reports.explorer import activations, forward, load

NUMBERS = r"at least [\d,]+\.\d GB in all; allowed: [\d,]+\.\d GB, the memory"


@pytest.mark.parametrize(
    ("command", "field", "value", "told"),
    [
        ("train", "train.num-envs", "4000000000", "train.num_steps: got sizes"),
        ("train", "train.num-seeds", "2000000000", "agent: got sizes"),
        ("train", "train.num-steps", "2000000000", "train.num_steps: got sizes"),
        ("train", "train.num-reset-states", "4000000000", "train.num_reset_states: g"),
        ("train", "agent.value-params", "4000000000", "agent: got sizes"),
        ("train", "env.size", "100000", "agent: got sizes"),
        ("train", "env.contexts", "2147483648", "env.contexts: got 2147483648; allo"),
        ("run", "train.num-envs", "4000000000", "train.num_steps: got sizes"),
        ("run", "evaluation.levels", "4000000000", "evaluation.levels: got sizes"),
        (
            "train",
            "train.action_selection",
            "{kind: search, simulations: 4000000000}",
            "train.action_selection.simulations: got sizes",
        ),
    ],
)
@pytest.mark.few(8)
def test_sizes_beyond_the_machine_are_one_line(
    tiny_yaml, training_yaml, tmp_path, capsys, command, field, value, told
):
    path = tiny_yaml if command == "run" else training_yaml()
    words = [command, str(path), "--out", str(tmp_path / "run"), f"--{field}", value]
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"shardsim: {told}")
    assert not (tmp_path / "run").exists()


def test_both_numbers_are_told_and_the_largest_part(monkeypatch):
    monkeypatch.setattr(memory, "of_machine", lambda devices: 10**10)
    memory.check({"a": 6 * 10**9, "b": 4 * 10**9})
    with pytest.raises(ConfigError, match=f"b: got sizes that take {NUMBERS}") as error:
        memory.check({"a": 6 * 10**9, "b": 7 * 10**9})
    assert "13.0 GB in all; allowed: 10.0 GB" in str(error.value)
    monkeypatch.setattr(memory, "of_machine", lambda devices: None)
    memory.check({"a": 10**30})


def test_a_container_has_less_than_its_machine(monkeypatch, tmp_path):
    whole = memory.of_machine()
    assert whole > 10**8
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CGROUP_LIMITS", (limit, tmp_path / "none"))
    for text, expected in (("1000000\n", 1_000_000), ("max\n", None), ("", None)):
        limit.write_text(text)
        assert memory.of_machine() == (expected or memory.of_machine())
    limit.write_text("max\n")
    assert memory.of_machine() >= whole


def test_a_page_is_estimated_before_it_is_computed(
    tiny_run, tmp_path, capsys, monkeypatch
):
    """By its mazes or by its checkpoints, whichever take more."""
    monkeypatch.setattr(memory, "of_machine", lambda devices: 30_000)
    out = tmp_path / "page.html"
    for mazes, told in ((1, "checkpoints"), (4_000_000_000, "mazes")):
        words = ["inspect", str(tiny_run), "--out", str(out), "--mazes", str(mazes)]
        assert cli.main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"shardsim: {told}: got sizes that take at least")
    assert not out.exists()


def test_the_estimate_of_a_page_is_what_its_arrays_take(tiny_run):
    """At least, and most of it: two arms, every checkpoint, four mazes."""
    inputs = load.load([tiny_run], None, 4, None)
    levels, _ = forward.levels_of(inputs, film.CURVE_LEVELS)
    taken = 0
    for side in inputs.sides:
        predictions = forward.predict(inputs, side, levels)
        features = activations.record(inputs, side, levels).features
        taken += features.nbytes + sum(leaf.nbytes for leaf in predictions)
    taken += sum(
        leaf.nbytes
        for condition in inputs.conditions.values()
        for leaf in jax.tree.leaves(condition.table)
    )
    named = [(side.folder, side.config, side.arm.name) for side in inputs.sides]
    checkpoints = [len(side.updates) for side in inputs.sides]
    least = sum(load._least_bytes(named, checkpoints, 4).values())
    assert 0.8 * taken < least <= taken


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show", "corner_maze", "--levels", "4000000000"], "levels: got sizes"),
        (["collect", "RUN", "--updates", "9000000000"], "updates: got sizes"),
    ],
    ids=lambda words: words[0],
)
def test_other_commands_estimate_too(tiny_yaml, tmp_path, capsys, words, told):
    words = [str(tiny_yaml) if word == "RUN" else word for word in words]
    out = tmp_path / ("out.png" if words[0] == "show" else "out.npz")
    assert cli.main([*words, "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"shardsim: {told}")
    assert not out.exists()
