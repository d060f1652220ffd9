"""The words in which verdicts are shown.

results.json has the same five verdicts for every question. One about the value head is
answered by the view that expected what came out, `shard` or `network`. One about a tool
is answered by `yes`, where the first line under `expected` holds, or `no`.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from shardsim.evaluation import results

TOOL: Final = "tool"
"""What a question is about that counts for no view of V."""
OF_A_TOOL: dict[results.Verdict, str] = {"shard": "yes", "network": "no"}
"""How verdicts on a question about a tool are shown, where that is another word."""


def word(verdict: results.Verdict, about: str | None) -> str:
    """The word in which a verdict is shown.

    Args:
      about: what its question is about, as in `PredictionResult`.
    """
    return OF_A_TOOL.get(verdict, verdict) if about == TOOL else verdict


def of(entry: results.PredictionResult) -> str:
    """The word in which the verdict on a prediction is shown."""
    return word(entry.verdict, entry.about)


def of_planted(entry: results.PredictionResult) -> str | None:
    """The word for the verdict on the positive control; None without one."""
    control = entry.sensitivity
    return None if control is None else word(control.verdict, entry.about)


class Phrases(NamedTuple):
    """What is said of several effects, of views or of tools."""

    side: str
    """The side on which effects are beyond the margin."""
    control: str
    """Heading of the positive control."""
    planted: str
    """What the positive control is."""
    unseen: str
    """What it means if the test does not see what is planted."""
    are_of_views: bool = True
    """Whether some of them are about V."""


OF_VIEWS = Phrases(
    "as SHARD expects",
    "oracle-gated",
    "the arm that is oracle-gated: its shards are opened by the true context",
    "If it is not shard, the test cannot detect shards, and a missing effect is no "
    "evidence against them.",
)
OF_TOOLS = Phrases(
    "the answer is yes",
    "planted",
    "the positive control, where the answer is known to be yes",
    "If it is not yes, the test cannot say yes, and a missing yes is no evidence for a "
    "no.",
    are_of_views=False,
)
OF_BOTH = Phrases(
    "as SHARD expects; of tools, the answer is yes",
    "planted",
    "the positive control: shards that are opened by the true context; of tools, where "
    "the answer is known to be yes",
    "If it is neither shard nor yes, the test cannot detect what is planted, and a "
    "missing effect is no evidence against it.",
)


def phrases(entries: Iterable[results.PredictionResult]) -> Phrases:
    """What is said of some effects together."""
    are_tools = {entry.about == TOOL for entry in entries}
    if are_tools == {True, False}:
        return OF_BOTH
    return OF_TOOLS if are_tools == {True} else OF_VIEWS
