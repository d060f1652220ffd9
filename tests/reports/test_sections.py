"""Words of the report that are made of results."""

import pytest

from shardsim.agents import value
from shardsim.evaluation import rules
from shardsim.reports import numbers
from shardsim.reports.verdicts import sections
from tests.helpers.made_results import control, interval, prediction


def test_a_head_is_told_by_what_is_not_its_default():
    assert sections.head(value.Sharded()) == "sharded"
    made = value.Sharded(num_shards=2, td_error="per_shard", routing=value.Routing())
    assert sections.head(made) == (
        "sharded (num_shards 2; td_error per_shard; routing label_fraction 1, "
        f"oversight_context {numbers.DASH}, gate_weight 0.01)"
    )


def test_how_many_seeds_are_judged_is_told_where_not_all_are():
    values = {"sharded": (0.0,) * 8, "mlp": (0.0,) * 8}
    for judged, told in (
        ((1, 4), ", 2 of 8 seeds"),
        ((), ", 0 of 8 seeds"),
        (None, ""),
    ):
        entry = prediction(values=values, judged_seeds=judged)
        assert sections.contrast(entry) == f"sharded - mlp{told}"
    entry = prediction(
        values={"exact": (1.0,), **values},  # V* is no seed
        means=dict.fromkeys(("exact", *values), interval()),
        judged_seeds=(2,),
        rule=rules.Rule(rules.Contrast("exact", "mlp"), "greater", 0.5),
    )
    assert sections.contrast(entry) == "exact - mlp, 1 of 8 seeds"


@pytest.mark.parametrize(
    ("passed", "below", "word"),
    [
        ([], (), "none"),
        (["passed", "passed"], (), "passed"),
        (["passed", "undecided"], (), "undecided"),
        (["undecided", "failed"], (), "failed"),
        ([], ("mlp",), "return too low"),
        (["passed", "undecided"], ("mlp",), "return too low"),
        (["failed"], ("mlp",), "failed"),
    ],
)
def test_a_word_for_how_controls_came_out(passed, below, word):
    controls = tuple(map(control, passed))
    entry = prediction(controls=controls, arms_below_min_return=below)
    assert sections.outcome(entry) == word
