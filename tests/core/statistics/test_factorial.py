"""Fractions of a factorial: balanced, orthogonal where an array is, and seeded."""

import itertools

import numpy as np
import pytest

from shardsim.core.statistics import factorial


def every(*sizes):
    return np.asarray(list(itertools.product(*map(range, sizes))))


def test_effects_are_coded_to_add_up_to_zero():
    x = factorial.main_effects(every(2, 3), (2, 3))
    assert x.tolist() == [
        [1, 1, 1, 0],
        [1, 1, 0, 1],
        [1, 1, -1, -1],
        [1, -1, 1, 0],
        [1, -1, 0, 1],
        [1, -1, -1, -1],
    ]


@pytest.mark.parametrize(
    ("sizes", "n"), [((2, 2, 2), 4), ((3, 3, 3, 3), 9), ((2, 2, 2, 2, 2), 8)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_where_there_is_an_orthogonal_array_it_is_one(sizes, n, seed):
    """Every pair of levels of two axes occurs equally often."""
    levels = every(*sizes)
    chosen = levels[factorial.fraction(levels, sizes, n, seed)]
    for a, b in itertools.combinations(range(len(sizes)), 2):
        pairs, counts = np.unique(chosen[:, [a, b]], axis=0, return_counts=True)
        assert len(pairs) == sizes[a] * sizes[b]
        assert len(set(counts.tolist())) == 1


def test_levels_occur_about_equally_often_in_any_fraction():
    sizes = (4, 3, 2)
    levels = every(*sizes)
    for n in (7, 10, 13):
        chosen = levels[factorial.fraction(levels, sizes, n)]
        assert len(np.unique(chosen, axis=0)) == n
        for axis, size in enumerate(sizes):
            counts = np.bincount(chosen[:, axis], minlength=size)
            assert np.ptp(counts) <= 2


def test_the_seed_chooses_and_is_all_that_does():
    levels = every(3, 3, 3, 3)
    fractions = [factorial.fraction(levels, (3,) * 4, 9, s) for s in (0, 0, 1)]
    assert fractions[0].tolist() == fractions[1].tolist()
    assert fractions[0].tolist() != fractions[2].tolist()


@pytest.mark.parametrize("n", [3, 9])
def test_a_size_that_cannot_be_is_refused(n):
    with pytest.raises(ValueError, match=f"n: got {n}; allowed: 4 to 8"):
        factorial.fraction(every(2, 2, 2), (2, 2, 2), n)
