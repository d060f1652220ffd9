"""Experiments: what is wrong is named, and what they make of their fields."""

from pathlib import Path

import pytest

from shardsim.commands import devices
from shardsim.core import config, config_files
from shardsim.evaluation import experiment

QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--arms.sharded.head.num_shards 0", "arms.sharded.head.num_shards: got 0"),
        ("--train.num-seeds many", "train.num_seeds: got 'many'"),
        ("--train.num-sedes 3", "train.num_sedes: unknown key"),
        (
            "--train.devices 3",
            "train.devices: got 3; allowed: 'auto', or a divisor of num_seeds, 16",
        ),
        (
            "--train.minibatches 3",
            "train.minibatches: got 3; allowed: a divisor of num_steps, 16",
        ),
        ("--train.phases []", "train.phases: got []; allowed: one or more"),
        (
            "--train.behaviour_arm nobody",
            "train.behaviour_arm: got 'nobody'; allowed: mlp",
        ),
        ("--env.size 1", "env.size: got 1"),
        ("--omnibus.conditions []", "omnibus.conditions: got []; allowed: one or"),
        (
            "--omnibus.contrast.baseline sharded",
            "omnibus.contrast.baseline: got 'sharded'; allowed: another arm",
        ),
        (
            "--omnibus.contrast.arm exact",
            "omnibus.contrast.arm: got 'exact'; allowed: mlp, sharded",
        ),
        (
            "--predictions.P6.rule.seeds_where {arm: nobody, at_least: 0}",
            "predictions.P6.rule.seeds_where.arm: got 'nobody'; allowed: mlp, "
            "sharded, film, "
            "oracle_gated, untrained",
        ),
        (
            "--predictions.P6.rule.seeds_where {arm: film/none, at_least: 0}",
            "predictions.P6.rule.seeds_where.arm: got 'film/none'; allowed: ARM/random",
        ),
        (
            "--omnibus.references [{arm: sharded, baseline: mlp}]",
            "omnibus.references: got one twice; allowed: different ones",
        ),
        (
            "--predictions.P6.rule.controls [{arm: mlp, baseline: '', at_least: 0}]",
            "predictions.P6.rule.controls.0.baseline: got ''; allowed: mlp, sharded",
        ),
        (
            "--predictions.P6.rule.positive_control nobody",
            "predictions.P6.rule.positive_control: got 'nobody'; allowed: mlp, sharded",
        ),
        (
            "--predictions.P19.rule.unitary [0, 1]",
            "predictions.P19.unitary_margin: got 0.05 with rule.unitary; allowed: one",
        ),
        ("--env.kind maze", "env.kind: got 'maze'; allowed: context_fruits"),
        (
            "--train.phases.1.env {size: 9}",
            "train.phases.1.env.size: unknown key; allowed: rewards, "
            "contexts_shown, cue",
        ),
        (
            "--train.phases.1.env {contexts_shown: [[5]]}",
            "train.phases.1.env.contexts_shown: got ((5,),); allowed: one or "
            "more non-empty",
        ),
        (
            "--evaluation.conditions.conflict {cue_probability: 2}",
            "evaluation.conditions.conflict.env.cue_probability: got 2; allowed: 0 to",
        ),
        (
            "--evaluation.seed 4294967296",
            "evaluation.seed: got 4294967296; allowed: 0 to 2**32 - 1",
        ),
        (
            "--predictions.P6.rule.contrast.arm nobody",
            "predictions.P6.rule.contrast.arm: got 'nobody'; allowed: mlp, sharded",
        ),
        (
            "--predictions.P11.measure.present nowhere",
            "predictions.P11.measure: got condition 'nowhere'; allowed: in",
        ),
        (
            "--agent.value_params 100",
            "agent.value_params: got 100, which a head of kind 'mlp'",
        ),
        (
            "--evaluation.action_selection {kind: search}",
            "evaluation.action_selection.kind: got 'search'; allowed: "
            "policy_only, lookahead, value_only",
        ),
        (
            "--evaluation.action_selection {kind: value_only, temperature: -1}",
            "evaluation.action_selection.temperature: got -1; allowed: more than 0",
        ),
        (
            "--train.action_selection.temperature 0",
            "train.action_selection.temperature: got 0; allowed: more than 0",
        ),
    ],
)
def test_what_is_wrong_in_an_experiment_is_named(flags, line):
    words = flags.split(" ", 1)
    data = config_files.override(config_files.read_yaml(QUICKSTART), words)
    with pytest.raises(config.ConfigError) as caught:
        config.build(experiment.Experiment, data).sized_arms()
    text = str(caught.value)
    assert text.startswith(line)
    field = line.partition(":")[0]
    assert all(each.startswith(field) for each in text.splitlines())


def made(*flags):
    data = config_files.override(config_files.read_yaml(QUICKSTART), flags)
    return config.build(experiment.Experiment, data)


PRIOR = ("--train.action_selection", "{kind: policy_only}")


def test_agents_are_looked_at_as_they_act_or_as_the_battery_says():
    assert made().evaluation_acting == made().training_acting
    alone = made(
        *PRIOR, "--evaluation.action_selection", "{kind: value_only, temperature: 0.3}"
    )
    assert alone.training_acting.describe() == "D alone"
    assert alone.evaluation_acting.describe() == "V alone at tau = 0.3"
    assert (
        alone.evaluation_acting.temperature,
        alone.evaluation_acting.use_decoder,
    ) == (0.3, False)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            PRIOR,
            "evaluation.action_selection: got none, and training has "
            "'policy_only'; allowed with "
            "predictions.P6.measure 'selective_ablation', which measures what "
            "V does to acting: lookahead, value",
        ),
        (
            ("--evaluation.action_selection", "{kind: policy_only}"),
            "evaluation.action_selection: got 'policy_only'; allowed with "
            "predictions.P6.measure",
        ),
    ],
)
def test_what_v_does_to_acting_is_not_asked_where_it_does_nothing(flags, line):
    """Of new runs; one that is there can be read and judged anew."""
    found = made(*flags)
    with pytest.raises(config.ConfigError) as caught:
        devices.check_new(found)
    assert str(caught.value).startswith(line)
    devices.check_available(found)
    devices.check_new(
        made(*PRIOR, "--evaluation.action_selection", "{kind: value_only}")
    )
