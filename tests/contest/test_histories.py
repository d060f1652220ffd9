"""Histories are words of events; longer ones go on from shorter ones."""

import itertools

import pytest

from shardsim.contest import histories
from shardsim.contest.histories import HeldOut, Pipelines

EVENTS = {"A": {}, "B": {}, "both": {}}


def test_every_word_of_the_lengths():
    words = histories.words(Pipelines(EVENTS, lengths=(1, 2)))
    assert words[:4] == (("A",), ("B",), ("both",), ("A", "A"))
    assert len(words) == 3 + 9


@pytest.mark.parametrize("number", range(2, 39))
def test_a_number_of_words_is_drawn_with_what_they_go_on_from(number):
    pipelines = Pipelines(
        EVENTS, number=number, histories=(("B", "A"), ("A", "B", "B"))
    )
    words = histories.words(pipelines)
    assert len(words) == len(set(words)) == number
    assert {("B", "A"), ("A", "B", "B")} <= set(words)
    # all but the beginnings of one word, whose turn it was when the number was reached,
    # and of those that are listed
    trained = [word for level in histories.nodes(words) for word in level]
    assert len(set(trained) - set(words)) <= 3
    assert histories.words(pipelines) == words


def test_another_seed_draws_other_words():
    drawn = {
        histories.words(Pipelines(EVENTS, number=12, seed=seed)) for seed in range(4)
    }
    assert len(drawn) == 4


def test_nodes_are_the_beginnings_of_all_words_each_once():
    levels = histories.nodes([("A", "B", "A"), ("A", "B"), ("B",), ("A", "A", "B")])
    assert levels == (
        (("A",), ("B",)),
        (("A", "B"), ("A", "A")),
        (("A", "B", "A"), ("A", "A", "B")),
    )


def test_held_out_histories_are_listed_ones_then_drawn_ones():
    words = histories.words(Pipelines(EVENTS, lengths=(1, 2)))
    listed = HeldOut(share=0.5, histories=(("A", "B"),))
    out = histories.held_out(listed, words, 0)
    assert len(out) == 6
    assert ("A", "B") in out
    assert out == tuple(word for word in words if word in out)
    assert histories.held_out(listed, words, 1) != out
    few = HeldOut(share=0.0, histories=(("A",), ("B",)))
    assert histories.held_out(few, words, 0) == (("A",), ("B",))


def test_names_are_unique_whatever_events_are_called():
    names = [
        histories.name_of(word)
        for length in (1, 2, 3)
        for word in itertools.product(("A", "A-B", "B"), repeat=length)
    ]
    assert len(set(names)) == len(names)
