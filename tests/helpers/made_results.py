"""Results made by hand: records of a run, without a run."""

import dataclasses

from shardsim.agents import value
from shardsim.evaluation import measures, results, rules
from shardsim_envs import ContextFruits


def interval(estimate=0.1, low=None, high=None, n=8):
    return results.Interval(estimate, low, high, 0.95, n)


def sensitivity(detected=True, **changes):
    made = results.SensitivityResult(
        "planted", interval(), "shard" if detected else "undecided", 0.5, detected, "."
    )
    return dataclasses.replace(made, **changes)


def control(passed):
    return results.ControlResult(
        rules.Requirement("exact", at_most=0.0),
        interval(),
        passed,
        f"exact is {passed}.",
    )


def prediction(**changes):
    measure = measures.ValueAccuracy()
    made = results.PredictionResult(
        question="Is V nearer?",
        expected=rules.Expected("Yes.", "No.", "No."),
        measure=measure,
        metric=measure.METRIC,
        unit=measure.UNIT,
        formula="sqrt",
        rule=rules.Rule(rules.Contrast("sharded", "mlp"), "greater", 0.5),
        values={"sharded": (0.1,) * 8, "mlp": (0.1,) * 8},
        means={"sharded": interval(), "mlp": interval()},
        details=(),
        effect=interval(),
        verdict="undecided",
        p_value=1.0,
        reason="",
        controls=(),
        is_valid=True,
        arms_below_min_return=(),
        sensitivity=None,
        judged_seeds=None,
    )
    return dataclasses.replace(made, **changes)


def arm(head):
    return results.ArmResult(
        head=head,
        trained=True,
        width=8,
        value_params=600,
        return_fraction=(0.9, None),
        mean_return_fraction=None,
        mean_evaluation_return_fraction=0.9,
        value_error=(0.5, None),
        mean_value_error=None,
        shards_in_use=2.0,
        action_gap=0.1,
        reached_min_return=False,
    )


def curve(rows=((1.0, 1.0), (1.0, 1.0)), **changes):
    made = results.CurveResult((3, 5), ((0.5, 0.5),) * 2, ((1.0, 1.0),) * 2, rows)
    return dataclasses.replace(made, **changes)


def run(**changes):
    energy = results.EnergyResult("sharded", "mlp", 0.1, None, 0.5, 2)
    made = results.RunResult(
        name="made",
        question="?",
        answer="Not shown.",
        digest="0" * 12,
        env=ContextFruits(),
        num_seeds=3,
        data="own",
        min_return=0.95,
        min_return_phase=None,
        phase_ends={"earn": 5},
        acting=results.ActingResult(
            training="D alone",
            evaluation="D alone",
            temperature=None,
            exact_action_gap=0.1,
        ),
        arms={"sharded": arm(value.Sharded())},
        predictions={"P1": prediction()},
        all_valid=True,
        omnibus=results.OmnibusResult((energy,), (energy,)),
        curves={"sharded": curve()},
    )
    return dataclasses.replace(made, **changes)
