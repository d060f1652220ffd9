"""Words of the report that are made of results."""

import pytest

from shardsim.agents import value
from shardsim.core import config
from shardsim.reports.verdicts import sections


def test_a_head_is_told_by_what_is_not_its_default():
    plain = config.to_dict(value.Sharded())
    assert sections.head(plain) == "sharded"
    made = value.Sharded(num_shards=2, td_error="per_shard", routing=value.Routing())
    assert sections.head(config.to_dict(made)) == (
        "sharded (shards 2; td per_shard; routing labelled 1, overseen -, "
        "gate_weight 0.01)"
    )
    del plain["routing"]  # as it was written before there was such a field
    assert sections.head(plain) == "sharded"
    assert sections.head({"kind": "gone", "size": 3}) == "gone (size 3)"


def test_how_many_seeds_are_judged_is_told_where_not_all_are():
    entry = {
        "rule": {"contrast": {"arm": "sharded", "baseline": "mlp"}},
        "values": {"sharded": [0.0] * 8},
    }
    for among, told in ([1, 4], ", 2 of 8 seeds"), ([], ", 0 of 8 seeds"), (None, ""):
        assert (
            sections.contrast(entry | {"seeds_where": among})
            == f"sharded less mlp{told}"
        )
    # as it was written before there was such a field
    assert sections.contrast(entry) == "sharded less mlp"
    entry["values"] = {"exact": [1.0], **entry["values"]}  # V* is no seed
    entry["rule"]["contrast"]["arm"] = "exact"
    assert (
        sections.contrast(entry | {"seeds_where": [2]})
        == "exact less mlp, 1 of 8 seeds"
    )


@pytest.mark.parametrize(
    ("passed", "unlearnt", "word"),
    [
        ([], [], "none"),
        (["passed", "passed"], [], "passed"),
        (["passed", "undecided"], [], "undecided"),
        (["undecided", "failed"], [], "failed"),
        ([], ["mlp"], "goal missed"),
        (["passed", "undecided"], ["mlp"], "goal missed"),
        (["failed"], ["mlp"], "failed"),
    ],
)
def test_a_word_for_how_controls_came_out(passed, unlearnt, word):
    entry = {"controls": [{"passed": p} for p in passed], "unlearnt": unlearnt}
    assert sections.outcome(entry) == word
