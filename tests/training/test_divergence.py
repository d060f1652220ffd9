"""What diverges is named and keeps what it had; without it the others go on alike."""

import numpy as np
import pytest

from shardsim import cli
from shardsim.storage import checkpoints, json_lines, records, run_files
from shardsim.training import divergence
from shardsim.training.results import TrainingResult

RATES = [1e-3, 1e30]


@pytest.mark.slow
def test_what_diverges_is_named_and_kept(tiny_yaml, tmp_path, capsys):
    out = tmp_path / "run"
    flags = ["--train.optimizer.learning-rate", "1e30"]
    assert cli.main(["run", str(tiny_yaml), "--out", str(out), *flags]) == 1
    *progress, line = capsys.readouterr().err.strip().splitlines()
    assert all("phase '" in each for each in progress[1:])
    assert "loss not finite: arm " in line
    assert "seed " in line
    assert "update " in line
    arm = line.partition("arm ")[2].partition(",")[0]
    assert checkpoints.latest(out / "checkpoints" / arm) is not None
    assert json_lines.read(out / "metrics.jsonl")
    assert not (out / "results.json").exists()
    # to resume does not make it a sound run, not even where no update is left
    for _ in range(2):
        assert cli.main(["resume", str(out)]) == 1
        assert "loss not finite: arm " in capsys.readouterr().err
    assert not (out / "results.json").exists()


@pytest.mark.slow
def test_what_diverged_in_its_last_chunk_is_not_finished_by_a_resume(
    training_yaml, tmp_path, capsys
):
    earn = {"name": "earn", "updates": 2, "losses": {"value": {"value": 1}}}
    path, out = training_yaml(phases=[earn]), tmp_path / "run"
    flags = ["--train.optimizer.learning-rate", "1e30"]
    assert cli.main(["train", str(path), "--out", str(out), *flags]) == 1
    assert checkpoints.latest(out / "checkpoints" / "mlp") == 2
    assert cli.main(["resume", str(out)]) == 1
    assert capsys.readouterr().err.count("loss not finite: arm mlp") == 2
    assert not (out / "results.json").exists()


@pytest.mark.long
def test_what_diverges_in_a_grid_is_named_and_the_others_go_on(
    training_yaml, tmp_path, capsys
):
    """Two seeds at two rates, each at two lambdas: the fifth of eight is seed 0.

    Those that go on end as they do without a rate at which others diverge.
    """
    weights = []
    for name, rates in (("all", RATES), ("sound", RATES[:1])):
        path = training_yaml(sweep={"learning_rate": rates, "td_lambda": [0.0, 1.0]})
        assert cli.main(["train", str(path), "--out", str(tmp_path / name)]) == 0
        weights.append(run_files.read_arrays(tmp_path / name / "weights" / "mlp.npz"))
    said = capsys.readouterr().out
    assert "4 of 8 diverged and are not trained further, first seed 0 at " in said
    assert said.count("diverged") == 2  # of either arm
    for leaf, sound in zip(*(tree.values() for tree in weights), strict=True):
        np.testing.assert_allclose(leaf[:4], sound, rtol=1e-5, atol=1e-8)
        assert np.isfinite(leaf).all()
    arm = records.read(tmp_path / "all" / "results.json", TrainingResult).arms["mlp"]
    assert [update is None for update in arm.diverged] == [True] * 4 + [False] * 4
    assert arm.reward_per_episode[4:] == (None,) * 4
    assert arm.point_mean_reward_per_episode[2:] == (None,) * 2
    assert None not in arm.reward_per_episode[:4]
    text = (tmp_path / "all" / "metrics.jsonl").read_text()
    assert "NaN" not in text
    assert '"diverged": [null, null, null, null, ' in text


@pytest.mark.slow
def test_a_grid_with_no_sound_point_is_named_by_its_seed_and_its_point(
    training_yaml, tmp_path, capsys
):
    path = training_yaml(sweep={"learning_rate": RATES[1:], "td_lambda": [0.0, 1.0]})
    assert cli.main(["train", str(path), "--out", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "arm mlp, seed 0 at learning_rate 1e+30 and td_lambda 0, update " in said


@pytest.mark.long
def test_a_grid_with_no_sound_point_leaves_what_it_learnt(training_yaml, tmp_path):
    """As a run without a grid does: a resume has nothing to learn again."""
    path = training_yaml(sweep={"learning_rate": RATES[1:]}, updates_per_call=1)
    assert cli.main(["train", str(path), "--out", str(tmp_path / "run")]) == 1
    assert list((tmp_path / "run" / "checkpoints" / "mlp").iterdir())


@pytest.mark.slow
def test_who_acts_for_all_and_diverged_counts_in_all(training_yaml, tmp_path):
    """The cost of uneven gates moves one arm alone, which acts for both."""
    path = training_yaml(
        data="tandem", behaviour_arm="sharded", sweep={"load_balance": [0.0, 1e38]}
    )
    assert cli.main(["train", str(path), "--out", str(tmp_path / "run")]) == 0
    arms = records.read(tmp_path / "run" / "results.json", TrainingResult).arms
    assert arms["sharded"].diverged[2:] != (None,) * 2
    assert arms["mlp"].diverged == arms["sharded"].diverged
    assert arms["mlp"].point_mean_reward_per_episode[1] is None


def test_elements_that_diverged_by_hand():
    """Two points of two seeds, the second of which diverges at both."""
    grid, failed = {"td_lambda": (0.0, 0.5)}, np.asarray([[-1], [7], [-1], [3]])
    divergence.raise_if_fatal(grid, 2, ["a"], failed)
    with pytest.raises(divergence.Diverged, match="arm a, seed 1, update 3"):
        divergence.raise_if_fatal({}, 4, ["a"], failed[[0, 3]])
    with pytest.raises(divergence.Diverged, match="b, seed 0 at td_lambda 0, update 2"):
        divergence.raise_if_fatal(
            grid, 2, ["a", "b"], np.asarray([[-1, 2], [5, 2]] * 2)
        )
    diverged = divergence.as_metrics(failed[:, 0])
    assert diverged == (None, 7, None, 3)
    assert divergence.as_metrics(np.full(4, -1)) is None
    line = divergence.describe(grid, 2, diverged)
    assert line.startswith("2 of 4 diverged")
    assert line.endswith("seed 1 at td_lambda 0.5, update 3")
