"""What an experiment makes of its fields."""

from pathlib import Path

from shardsim import config, experiment

QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"


def test_agents_are_looked_at_as_they_act_or_as_the_battery_says():
    def made(*flags):
        data = config.override(config.read_yaml(QUICKSTART), flags)
        return config.build(experiment.Experiment, data)

    as_trained = made("--battery.acting", "{kind: lookahead, temperature: 0.01}")
    assert made().how == as_trained.how
    prior = ("--train.acting", "{kind: prior}")
    alone = made(*prior, "--battery.acting", "{kind: value, temperature: 0.3}")
    assert (alone.how.temperature, alone.how.use_prior) == (0.3, False)
    assert alone.acts == {"training": "prior", "battery": "value"}
