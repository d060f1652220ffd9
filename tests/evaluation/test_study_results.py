"""The verdicts of a study: one family, and a model of what moves the effects."""

import csv
import dataclasses
import io

import numpy as np
import pytest

from shardsim.core import config
from shardsim.evaluation import results, rules, study_results
from shardsim.evaluation import study as studies
from tests.helpers import made_results

SEEDS = 8
AXES = {
    "board": {"field": "env.size", "values": [3, 4]},
    "discount": {"field": "train.discount", "values": [0.9, 0.95]},
}


def study_of(tiny, axes=AXES, **fields):
    data = {"name": "s", "question": "?", "experiments": {"tiny": tiny}, "axes": axes}
    return config.build(studies.Study, {**data, **fields})


def prediction(difference, p=0.5, verdict="undecided", **changes):
    """A result with these differences of the seeds; p is that before adjustment."""
    made = made_results.prediction(
        rule=rules.Rule(rules.Contrast("sharded", "mlp"), "less", 0.5),
        values={
            "sharded": tuple(map(float, difference)),
            "mlp": (0.0,) * len(difference),
        },
        claim=results.Claim(verdict, p),
    )
    return dataclasses.replace(made, **changes)


def judged(study, entry_of):
    """The study's results, where a cell has what a function of its levels gives."""
    cells = studies.cells(study)
    built = studies.build(cells)
    made = []
    for cell in cells:
        seeds = built[cell.name].train.num_seeds
        run = made_results.run(num_seeds=seeds, predictions=entry_of(cell))
        made.append(study_results.JudgedCell(cell, built[cell.name], run))
    return study_results.judge(study, made)


def test_p_is_adjusted_for_every_claim_of_the_study(tiny):
    """By hand: four verdicts and the tests of two axes."""
    p_of, base = iter([0.001, 0.012, 0.013, 0.6]), np.arange(SEEDS) / 10
    study = study_of(tiny, settings={"train.num_seeds": SEEDS})

    def entry_of(cell):
        """What the axes do together alone: each by itself does nothing, p = 1."""
        alike = cell.name in ("board-3_discount-0.9", "board-4_discount-0.95")
        return {"VE": prediction(base + (1 if alike else -1), next(p_of), "shard")}

    result = judged(study, entry_of)
    tests = result.models["VE"].axes
    assert list(tests) == ["board", "discount"]
    assert result.num_claims == 6
    entries = [cell.predictions["VE"] for cell in result.cells.values()]
    # the smallest p times 6, the next times 5, and so on
    assert [entry.p_value for entry in entries[:3]] == pytest.approx(
        [0.006, 0.06, 0.06]
    )
    assert [entry.verdict for entry in entries] == ["shard", *["undecided"] * 3]
    assert "Among all claims of the study it is" not in entries[3].reason
    assert entries[1].claim.verdict == "shard"


def test_an_axis_that_moves_the_effect_is_found_and_another_is_not(tiny):
    rng = np.random.default_rng(1)
    seeds = rng.normal(size=SEEDS)

    def entry_of(cell):
        planted = 0.5 if cell.levels["board"] == "4" else -0.5
        return {"VE": prediction(seeds + planted + 0.1 * rng.normal(size=SEEDS))}

    study = study_of(tiny, settings={"train.num_seeds": SEEDS})
    result = judged(study, entry_of)
    model = result.models["VE"]
    assert model.axes["board"].depends
    assert not model.axes["discount"].depends
    assert model.axes["discount"].p_value > 0.05
    levels = model.axes["board"].levels
    assert levels["4"].mean.estimate - levels["3"].mean.estimate == pytest.approx(
        1.0, abs=0.1
    )
    assert [one.num_cells for one in levels.values()] == [2, 2]
    assert model.mean.estimate == pytest.approx(seeds.mean(), abs=0.1)
    assert model.deviations["seed"] == pytest.approx(seeds.std(ddof=1), rel=0.2)
    assert result.answer == "VE: undecided in 4 of 4 cells. It depends on board."


def test_cells_without_a_claim_are_not_in_the_model(tiny):
    rng = np.random.default_rng(2)

    def entry_of(cell):
        good = cell.name != "board-3_discount-0.9"
        return {"VE": prediction(rng.normal(size=SEEDS), is_valid=good)}

    study = study_of(tiny, settings={"train.num_seeds": SEEDS})
    model = judged(study, entry_of).models["VE"]
    assert model.num_cells == 3
    assert model.left_out == {"board-3_discount-0.9": "no claim stands there"}
    nothing = judged(
        study, lambda _: {"VE": prediction([0.1] * SEEDS, is_valid=False)}
    ).models["VE"]
    assert (nothing.mean, nothing.axes, nothing.num_cells) == (None, {}, 0)


def test_an_axis_that_the_cells_cannot_tell_is_not_judged(tiny):
    """Both axes change together where two cells are left."""
    rng, good = (
        np.random.default_rng(3),
        ("board-3_discount-0.9", "board-4_discount-0.95"),
    )
    study = study_of(tiny, settings={"train.num_seeds": SEEDS})
    result = judged(
        study,
        lambda cell: {
            "VE": prediction(rng.normal(size=SEEDS), is_valid=cell.name in good)
        },
    )
    axes = result.models["VE"].axes
    assert [axis.statistic for axis in axes.values()] == [None, None]
    assert result.models["VE"].mean is not None
    assert result.num_claims == 4  # no test of an axis


def test_the_same_seeds_do_not_count_twice(tiny):
    """An axis of seeds: cells of fewer seeds are among those of more."""
    rng = np.random.default_rng(4)
    effects = rng.normal(size=6)
    axes = {
        "seeds": {"field": "train.num_seeds", "values": [3, 6]},
        "board": AXES["board"],
    }

    def entry_of(cell):
        return {"VE": prediction(effects[: int(cell.levels["seeds"])])}

    model = judged(study_of(tiny, axes), entry_of).models["VE"]
    assert model.num_cells == 2
    assert set(model.left_out.values()) == {
        "its seeds are among those of seeds-6_board-3",
        "its seeds are among those of seeds-6_board-4",
    }
    assert list(model.axes) == ["board"]


def test_seeds_that_are_not_judged_or_have_no_number_are_left_out(tiny):
    rng = np.random.default_rng(5)

    def entry_of(cell):
        made = prediction(rng.normal(size=SEEDS), judged_seeds=(0, 2, 3, 4))
        values = {**made.values, "mlp": (0.0, 0.0, None, *(0.0,) * 5)}
        return {"VE": dataclasses.replace(made, values=values)}

    study = study_of(tiny, settings={"train.num_seeds": SEEDS})
    assert judged(study, entry_of).models["VE"].num_seeds == 3


def test_the_table_has_a_row_for_each_cell_and_prediction(tiny):
    study = study_of(tiny, settings={"train.num_seeds": SEEDS})
    result = judged(study, lambda _: {"VE": prediction(np.arange(SEEDS) / 10)})
    rows = list(csv.DictReader(io.StringIO(study_results.table(result))))
    assert len(rows) == 4
    assert rows[2]["cell"] == "board-4_discount-0.9"
    assert (rows[2]["board"], rows[2]["discount"], rows[2]["prediction"]) == (
        *("4", "0.9", "VE"),
    )
    assert float(rows[2]["margin"]) == 0.5


def test_results_come_back_from_disk_as_they_were(tiny, tmp_path):
    from shardsim.storage import records

    rng = np.random.default_rng(6)
    study = study_of(tiny, settings={"train.num_seeds": SEEDS})
    result = judged(study, lambda _: {"VE": prediction(rng.normal(size=SEEDS))})
    records.write(tmp_path / study_results.FILE, result)
    assert study_results.read(tmp_path) == result
    assert study_results.is_there(tmp_path)
    with pytest.raises(ValueError, match="got a study; allowed: a run, such as"):
        results.read(tmp_path)
