"""Trainings and experiments from config, run to their end or refused."""

from shardsim import cli
from shardsim.evaluation import results
from shardsim.storage import records
from shardsim.training.results import TrainingResult


def ran(path, out, *flags):
    assert cli.main(["train", str(path), "--out", str(out), *flags]) == 0
    return records.read(out / "results.json", TrainingResult)


def answers(folder, asked):
    """Whether the folder of a run answers every prediction, for every arm."""
    found = results.read_run(folder)
    assert set(found.predictions) == set(asked.predictions)
    for entry in found.predictions.values():
        assert entry.verdict in (
            "shard",
            "network",
            "unitary",
            "no difference",
            "undecided",
        )
        assert set(entry.values) >= {*asked.arms, "exact"}
        assert all(len(x) in (1, 2) for x in entry.values.values())


def refused(path, tmp_path, capsys, *flags):
    out = tmp_path / "refused"
    assert cli.main(["train", str(path), "--out", str(out), *flags]) == 2
    assert not out.exists()
    return capsys.readouterr().err.strip()


REGIMES = {
    "expert_iteration": {
        "algorithm": {"kind": "expert_iteration"},
        "action_selection": {"kind": "search", "simulations": 2},
    },
    "ppo": {
        "algorithm": {"kind": "ppo"},
        "action_selection": {"kind": "policy_only"},
        "minibatches": 2,
    },
    "reinforce": {
        "algorithm": {"kind": "reinforce"},
        "action_selection": {"kind": "policy_only"},
    },
}
