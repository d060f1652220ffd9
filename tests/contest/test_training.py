"""The tree of histories: shared beginnings, the same bits whatever is beside them."""

import numpy as np
import pytest

from shardsim.contest import asking, folder, training
from shardsim.training import divergence
from tests.helpers import tiny_contest


def train(contest, path, **options):
    with folder.opened(path, contest):
        pass
    done = []
    training.train(
        contest,
        path,
        options.get("seeds", range(2)),
        options.get("advance", done.append),
    )
    return done


def weights(path):
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted((path / "weights").rglob("*.npz"))
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("contest") / "whole"
    contest = tiny_contest.contest()
    done = train(contest, path)
    assert len(done) == training.count(contest, range(2))
    return path


def test_every_agent_of_every_history_is_there(whole):
    words = tiny_contest.contest().words
    assert set(weights(whole)) == {
        *(f"weights/mlp/{'.'.join(w)}/{s:03d}.npz" for w in words for s in (0, 1)),
        *(f"weights/random/_start/{s:03d}.npz" for s in (0, 1)),
    }
    assert len(set(weights(whole).values())) == 2 * len(words) + 2


def test_an_agent_is_the_same_in_another_contest(whole, tmp_path):
    flags = ["--pipelines.histories", "[[B, A], [B]]", "--pipelines.lengths", "[]"]
    flags += ["--pipelines.number", "2", "--held_out.share", "0.5"]
    flags += ["--arms.random", "null", "--judging.gates.random", "null"]
    alone = tiny_contest.contest(*flags)
    train(alone, tmp_path / "alone", seeds=[1])
    found = weights(tmp_path / "alone")
    assert sorted(found) == ["weights/mlp/B.A/001.npz", "weights/mlp/B/001.npz"]
    assert all(weights(whole)[name] == data for name, data in found.items())


def test_a_contest_that_was_stopped_goes_on_with_the_same_bits(whole, tmp_path):
    path, contest = tmp_path / "stopped", tiny_contest.contest()

    def stop(done):
        if done == "mlp, seed 0: A.B":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(contest, path, advance=stop)
    kept = weights(path)
    assert 0 < len(kept) < len(weights(whole))
    # an old state that is gone is made again
    (path / "states/mlp/B/001.npz").unlink()
    train(contest, path)
    assert weights(path) == weights(whole)
    # nothing is trained again, and more seeds and histories join
    times = {p: p.stat().st_mtime_ns for p in path.rglob("*.npz")}
    train(tiny_contest.contest("--pipelines.number", "6"), path, seeds=range(3))
    assert all(p.stat().st_mtime_ns == time for p, time in times.items())
    assert weights(whole).items() <= weights(path).items()
    assert len(weights(path)) == 3 * 6 + 3
    folder.remove_states(path)
    assert not (path / "states").exists()


@pytest.mark.slow
def test_blocks_and_chunks_change_no_bit(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "ROWS", 3)
    contest = tiny_contest.contest("--train.updates-per-call", "2")
    train(contest, tmp_path / "blocks")
    assert weights(tmp_path / "blocks") == weights(whole)


def test_seeds_apart_are_the_seeds_of_the_whole(whole, tmp_path):
    path, contest = tmp_path / "apart", tiny_contest.contest()
    train(contest, path, seeds=[1])
    assert all(name.endswith("001.npz") for name in weights(path))
    train(contest, path, seeds=[0])
    assert weights(path) == weights(whole)


def test_what_a_history_trains_moves_with_its_events(whole):
    contest = tiny_contest.contest()
    arm = contest.sized_arms()[0]
    after = {
        word: training.read(contest, whole, arm, word, 2) for word in contest.words
    }
    kernel = {word: np.asarray(agent.value.kernel) for word, agent in after.items()}
    assert np.abs(kernel["A",]).max() > 0
    assert np.abs(kernel["A", "B"] - kernel["A",]).max() > 0
    assert np.abs(kernel["A", "B"] - kernel["B", "A"]).max() > 0


def test_a_loss_that_is_not_finite_names_the_agent():
    arm = tiny_contest.contest().sized_arms()[0]
    rows = [training.Row(("A",), 0), training.Row(("A", "B"), 1)]
    training._raise_if_diverged(arm, rows, np.asarray([-1, -1]))
    with pytest.raises(divergence.Diverged, match=r"mlp, seed 1: A\.B, update 5"):
        training._raise_if_diverged(arm, rows, np.asarray([-1, 5]))


def test_agents_are_asked_in_all_conditions(whole):
    fewer = [
        f"--evaluation.conditions.{name}=null"
        for name in ("conflict", "extinction", "moved")
    ]
    contest = tiny_contest.contest(*fewer, "--held_out.conditions=[]")
    everything = asking.ask(contest, whole)
    assert list(everything.situations) == list(contest.evaluation.conditions)
    found = {(a.arm, a.history.name, a.seed): a for a in everything.agents}
    assert len(found) == len(everything.agents) == 2 * 5 * 2
    for agent in everything.agents:
        for name, behaviour in agent.behaviour.items():
            shape = everything.situations[name].successor.shape
            assert behaviour.policy.shape == shape
            np.testing.assert_allclose(behaviour.policy.sum(axis=-1), 1, atol=1e-6)
            np.testing.assert_allclose(behaviour.occupancy.sum(axis=-1), 1, atol=1e-6)

    def policy(arm, history, condition="in_distribution"):
        return found[arm, history, 0].behaviour[condition].policy

    # an untrained agent knows its last event by the rewards of the world alone
    assert (policy("random", "A.B") == policy("random", "B.A")).all()
    assert (policy("mlp", "A.B") != policy("mlp", "B.A")).any()
    assert (policy("mlp", "A", "blind") != policy("mlp", "A")).any()
