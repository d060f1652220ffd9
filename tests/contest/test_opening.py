"""A history of a contest as an ordinary run."""

import pytest

from shardsim.contest import folder, opening
from shardsim.core import config, extensions
from shardsim.core.field_errors import ConfigError
from shardsim.storage.run_files import RunError
from tests.helpers import tiny_contest

FORECASTER = '''
import typing
import jax.numpy as jnp
import shardsim
from shardsim.contest.forecasters import Constant

@shardsim.register("forecasters")
@shardsim.record
class Still(Constant):
    """An action each."""

    kind: typing.Literal["still"] = "still"
    slope: float = 0.5
'''


def test_a_phase_for_each_event_in_the_world_of_the_condition():
    contest = tiny_contest.contest()
    training = opening.as_training(contest, "mlp", ("A", "swapped"), "conflict")
    assert [phase.name for phase in training.train.phases] == ["1: A", "2: swapped"]
    first, second = (phase.env for phase in training.train.phases)
    assert first["contexts_shown"] == [[0]]
    assert second["rewards"] == [[0, 1], [1, 0]]
    assert training.env.contexts_shown == ((0, 1),)
    assert training.env.rewards == ((0, 1), (1, 0))
    assert list(training.arms) == ["mlp"]


def test_an_untrained_arm_has_a_trained_one_beside_it():
    contest = tiny_contest.contest()
    training = opening.as_training(contest, "random", ("A",), "in_distribution")
    assert list(training.arms) == ["random", "mlp"]
    wide = ["--arms.mlp.agent.encoder", "{kind: mlp, widths: [16]}"]
    with pytest.raises(ConfigError, match="with a trained arm whose agent is the same"):
        opening.as_training(
            tiny_contest.contest(*wide), "random", ("A",), "in_distribution"
        )


def test_what_is_no_contest_is_refused(tmp_path):
    with pytest.raises(RunError, match="no contest here"):
        opening.write_run(tmp_path, "mlp", "A", None, tmp_path / "run")
    with folder.opened(tmp_path / "c", tiny_contest.contest()):
        pass
    with pytest.raises(ConfigError, match="arms: got 'film'; allowed: mlp, random"):
        opening.write_run(tmp_path / "c", "film", "A", None, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_extensions")
def test_a_forecaster_from_outside_takes_part(tmp_path, monkeypatch):
    monkeypatch.setenv(extensions.VARIABLE, "")
    flags = ["--forecasters.mine.kind", "still", "--forecasters.mine.slope", "2.0"]
    with pytest.raises(ConfigError, match=r"forecasters.mine.kind: got 'still'"):
        tiny_contest.contest(*flags[:2])
    (tmp_path / "still.py").write_text(FORECASTER)
    extensions.load_files([tmp_path / "still.py"])
    contest = tiny_contest.contest(*flags)
    assert config.to_dict(contest)["forecasters"]["mine"] == {
        "kind": "still",
        "slope": 2.0,
    }
    assert {"shards", "network", "mine"} < contest.entrants.keys()
    alone = tiny_contest.contest(*flags, "--standard", "false")
    assert list(alone.entrants) == ["mine"]
    with pytest.raises(ConfigError, match="forecasters: got none; allowed without"):
        tiny_contest.contest("--standard", "false")
