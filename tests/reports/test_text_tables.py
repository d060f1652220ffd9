"""Tables of text fit the width, with whole names, and nothing is cut off."""

import itertools

import pytest

from shardsim.reports import text_tables

WORDS = "some words that are reliable"


@pytest.mark.parametrize(
    ("letters", "columns"),
    list(itertools.product((5, 24, 25, 60, 90), (1, 3, 8, 10))),
)
def test_a_table_is_never_wider_and_lacks_nothing(letters, columns):
    name, last = "n" * letters, "zzzz"
    head = ["name", *(f"column {i}" for i in range(columns)), "last"]
    text = text_tables.terminal(
        [text_tables.table(head, [[name, *[WORDS] * columns, last]])]
    )
    assert max(map(len, text.splitlines())) <= text_tables.WIDTH
    assert name[: text_tables.NAME] in text
    for letter, times in (("z", 4), ("w", columns)):
        assert text.count(letter) == times
    # the heads have this letter too
    others = sum(word.count("n") for word in head)
    assert text.count("n") == letters + others


def test_markdown_keeps_bars_inside_cells():
    assert text_tables.markdown(["a", "|b|"], [["1", "x|y"]]) == (
        "| a | &#124;b&#124; |\n|---|---|\n| 1 | x&#124;y |"
    )
