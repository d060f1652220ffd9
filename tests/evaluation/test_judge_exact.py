"""V* in a contrast: one number, of no seed."""

import numpy as np
import pytest

from shardsim.evaluation import judge, rules

SOME = rules.Requirement("film/apart", at_least=0.5)


@pytest.mark.parametrize(
    ("pair", "direction"),
    [(("sharded", "exact"), "less"), (("exact", "sharded"), "greater")],
)
@pytest.mark.parametrize(("bounds", "n"), [(None, 8), (SOME, 4)])
def test_an_exact_number_may_be_contrasted(pair, direction, bounds, n):
    """The other arm's seeds are counted, judged and named."""
    got = np.linspace(0.48, 0.52, 8)
    row = {"film/apart": np.arange(8) % 2, "exact": np.ones(1)}
    asked = {"P": rules.Rule(rules.Contrast(*pair), direction, 0.2, seeds_where=bounds)}
    found = judge.judge({"P": {"sharded": got, **row}}, asked)["P"]
    assert found.verdict == "shard"
    assert found.effect.num_seeds == n
    assert ("In 4 of 8 seeds" in found.reason) == (bounds is not None)
    got[5] = np.nan
    found = judge.judge({"P": {"sharded": got, **row}}, asked)["P"]
    assert "Arm sharded, seed 5 gave no number" in found.reason
