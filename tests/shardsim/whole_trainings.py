"""Trainings from config, run to their end or refused."""

from shardsim import cli, runs


def ran(path, out, *flags):
    assert cli.main(["train", str(path), "--out", str(out), *flags]) == 0
    return runs.read_json(out / "results.json")


def refused(path, tmp_path, capsys, *flags):
    out = tmp_path / "refused"
    assert cli.main(["train", str(path), "--out", str(out), *flags]) == 2
    assert not out.exists()
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


REGIMES = {
    "expert_iteration": {
        "learn": {"kind": "expert_iteration"},
        "acting": {"kind": "search", "simulations": 2},
    },
    "ppo": {"learn": {"kind": "ppo"}, "acting": {"kind": "prior"}, "minibatches": 2},
    "reinforce": {"learn": {"kind": "reinforce"}, "acting": {"kind": "prior"}},
}
