"""What is refused before anything is written, and what is told of it."""

import re

import pytest

from shardsim.core import config, config_files
from shardsim.training import standalone
from tests.helpers.whole_trainings import REGIMES, refused

EARN = {"policy": {"encoder": 1, "decoder": 1}, "value": {"encoder": 1, "value": 1}}
EARNING = [{"name": "a", "updates": 4, "losses": EARN}]
LEARNING = [{"name": "a", "updates": 4, "losses": {"value": {"value": 1}}}]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            {"algorithm": {"kind": "ppo"}},
            "action_selection.kind: got 'lookahead'; .*: 'policy_only'",
        ),
        (
            {
                "algorithm": {"kind": "expert_iteration"},
                "action_selection": {"kind": "policy_only"},
            },
            "action_selection.kind: got 'policy_only'; .*: 'search'",
        ),
        (
            {**REGIMES["reinforce"], "epochs": 2},
            "epochs: got 2; allowed: 1 with algorithm 'reinforce'",
        ),
        (
            {"phases": [{"name": "a", "updates": 1, "losses": EARN}]},
            r"phases\.0\.losses\.policy: got weights with algorithm 'td'",
        ),
        (
            {"phases": [{"name": "a", "updates": 1, "collect": "dataset"}]},
            r"phases\.0\.collect: got 'dataset'",
        ),
        (
            {"sweep": {"gamma": [0.9]}},
            "sweep.gamma: unknown key; allowed: learning_rate",
        ),
        ({"sweep": {"td_lambda": [2.0]}}, "sweep.td_lambda: got 2.0; allowed: 0 to 1"),
        (
            {"sweep": {"learning_rate": [0.0]}},
            "sweep.learning_rate: got 0.0; allowed: more than 0",
        ),
        ({"sweep": {"load_balance": [-1.0]}}, "sweep.load_balance: got -1.0"),
        (
            {"sweep": {"td_lambda": [float("nan")]}},
            r"sweep\.td_lambda\.0: got nan; .*finite",
        ),
        (
            {
                "sweep": {"temperature": [0.1]},
                "action_selection": {"kind": "policy_only"},
            },
            "sweep.temperature: got values; allowed where V acts",
        ),
        ({"sweep": {"td_lambda": []}}, r"sweep\.td_lambda: got \[\]; allowed: one or"),
        (
            {"sweep": {"td_lambda": [0.5, 0.9, 0.5]}},
            r"sweep\.td_lambda: got \(0\.5, 0\.9, 0\.5\); allowed: different values",
        ),
        (
            {
                "phases": LEARNING,
                "optimizer": {"schedule": {"warmup": 4}},
            },
            r"optimizer\.schedule\.warmup: got 4; allowed: less than the updates .*, 4",
        ),
        (
            {**REGIMES["ppo"], "phases": LEARNING},
            r"algorithm\.kind: got 'ppo'; allowed: 'td', or weights in the "
            r"`policy` row",
        ),
        (
            {"sweep": {"entropy": [0.1]}},
            "sweep.entropy: got values; .* not with",
        ),
        ({"mask_fraction": 1.0}, "mask_fraction: got 1.0; allowed: more than 0"),
        ({"precision": "half"}, "precision: got 'half'; allowed: 'float32'"),
        (
            {
                "dataset": "x.npz",
                "phases": [{"name": "a", "updates": 1, "collect": "dataset"}],
            },
            "x.npz: No such file",
        ),
        (
            {"phases": [*LEARNING, {"name": "b", "updates": 2**31 - 4}]},
            r"train\.phases: got 2147483648 updates; allowed: fewer than 2\*\*31",
        ),
        ({"seed": -1}, r"train\.seed: got -1; allowed: 0 to 2\*\*32 - 1"),
        ({"seed": 2**32}, r"train\.seed: got 4294967296"),
        (
            {**REGIMES["ppo"], "num_envs": 1, "minibatches": 4},
            "train.minibatches: got 4; allowed: so few that each has two samples",
        ),
        (
            {**REGIMES["ppo"], "data": "tandem", "phases": EARNING},
            "train.data: got 'tandem'; allowed with algorithm 'ppo': 'own'",
        ),
        (
            {**REGIMES["reinforce"], "data": "tandem", "phases": EARNING},
            "train.data: got 'tandem'; allowed with algorithm 'reinforce': 'own'",
        ),
        (
            {"behaviour_arm": "mlp"},
            "train.behaviour_arm: got 'mlp'; allowed with data 'own'",
        ),
        (
            {"data": "tandem", "behaviour_arm": "nobody"},
            "train.behaviour_arm: got 'nobody'; allowed: mlp, sharded",
        ),
        (
            {"optimizer": {"learning_rate": float("inf")}},
            "train.optimizer.learning_rate: got inf; allowed: a finite number",
        ),
        (
            {"phases": [{"name": "a", "updates": 1, "env": {"rewards": [["a"]]}}]},
            r"phases\.0\.env\.rewards\.0\.0: got 'a'",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(
    training_yaml, tmp_path, capsys, train, message
):
    line = refused(training_yaml(**train), tmp_path, capsys)
    assert re.search(message, line), line


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--agent.encoder", "{kind: conv, budget: 3}"],
            "agent.encoder.budget: got 3, which an encoder of kind 'conv' can't meet",
        ),
        (
            ["--agent.encoder", "{kind: identity, features: 3}"],
            "agent.encoder.features: got 3; allowed with kind 'identity'",
        ),
        (
            [
                "--arms.sharded.head.routing",
                "{}",
                "--arms.sharded.head.num_shards",
                "1",
            ],
            "arms.sharded.head.num_shards: got 1; allowed with routing",
        ),
        (
            [
                *("--arms.sharded.head.routing", "{oversight_context: 9}"),
                *("--arms.sharded.head.td_error", "per_shard"),
            ],
            "arms.sharded.head.routing.oversight_context: got 9; allowed: 0 to 1",
        ),
    ],
)
def test_heads_and_encoders_have_to_suit_the_world(
    training_yaml, tmp_path, capsys, flags, message
):
    assert message in refused(training_yaml(), tmp_path, capsys, *flags)


def test_an_arm_is_not_called_like_what_all_arms_share(training_yaml):
    data = config_files.read_yaml(training_yaml())
    data["arms"]["shared"] = data["arms"].pop("mlp")
    with pytest.raises(config.ConfigError, match="arms: got 'shared'; allowed: names"):
        config.build(standalone.Training, data)


def test_no_grid_of_a_cost_that_moves_nothing(training_yaml):
    data = config_files.read_yaml(training_yaml(sweep={"load_balance": [0.1]}))
    data["arms"]["sharded"]["head"]["aggregation"] = "winner"
    with pytest.raises(
        config.ConfigError, match=r"sweep\.load_balance: .* arm sharded"
    ):
        config.build(standalone.Training, data)


def test_no_grid_of_a_cost_beside_labels(training_yaml):
    data = config_files.read_yaml(training_yaml(sweep={"load_balance": [0.1]}))
    data["arms"]["sharded"]["head"] |= {"td_error": "per_shard", "routing": {}}
    with pytest.raises(
        config.ConfigError, match=r"sweep\.load_balance: .* labels alone"
    ):
        config.build(standalone.Training, data)


def test_no_gates_no_grid_of_their_cost(training_yaml):
    data = config_files.read_yaml(training_yaml(sweep={"load_balance": [0.1]}))
    config.build(standalone.Training, data)
    data["arms"].pop("sharded")
    with pytest.raises(config.ConfigError, match=r"sweep\.load_balance: got values"):
        config.build(standalone.Training, data)
