"""Measures give no number, or are refused, where there is nothing to measure."""

import numpy as np
import pytest

from shardsim.evaluation import measures
from shardsim.evaluation.measures import two_goals


def test_without_enough_squares_there_is_no_number():
    ones = np.ones((1, 9))
    few = two_goals._coefficients(np.arange(4.0)[None], np.ones((4, 4)), ones[:, :4])
    assert np.isnan(few).all()
    x = np.arange(36.0).reshape(9, 4)
    flat = two_goals._coefficients(ones, x, ones)
    assert (flat == 0).all()
    assert np.isnan(two_goals._mean(np.zeros((2, 0)))).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: measures.AgreementShift(shifted="in_distribution"), "shifted: got"),
        (lambda: measures.AgreementShift(tie=1.0), "tie: got 1.0; allowed: 0 to less"),
        (lambda: measures.CueEffect(absent="with_cue"), "absent: got"),
        (lambda: measures.CueEffect(reference=("only_0", "only_0")), "reference: got"),
        (lambda: measures.Conflict(alone=("only_0", "only_0")), "alone: got"),
        (lambda: measures.Conflict(alone=("only_0", "conflict")), "alone: got"),
        (
            lambda: measures.SelectiveAblation(min_drop=2.0),
            "min_drop: got 2.0; allowed: 0",
        ),
        (
            lambda: measures.SelectiveExtinction(min_drop=-1.0),
            "min_drop: got -1.0; allowed",
        ),
        (lambda: measures.SelectiveExtinction(retained="only_0"), "retained: got"),
        (lambda: measures.SelectiveExtinction(same_context="only_1"), "retained: got"),
        (
            lambda: measures.SelectiveExtinction(after_phase="acquisition"),
            "after_phase: got 'acquisition'; allowed: another than",
        ),
    ],
)
def test_what_measures_nothing_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
