"""For and against which views a verdict counts."""

from typing import Literal, TypeAlias

from shardsim.contest import results as contest_results
from shardsim.evaluation import measures, results, wording

VIEWS = {"shard": "shards", "network": "network", "unitary": "one utility"}
"""The three views, and how they are called in tables."""
Side: TypeAlias = Literal["for", "against"]
OF_CONTEST: dict[str, dict[str, Side]] = {
    "NN": {"shard": "against", "network": "for"},
    "UNI": {"shard": "against", "unitary": "for"},
    "LPG": {"shard": "against"},
    "FILM": {"shard": "against"},
    "renewal": {"shard": "for", "unitary": "against"},
    "the opposite of renewal": {"shard": "against"},
    "order matters": {"shard": "for", "network": "for", "unitary": "against"},
    "orders agree more than seeds": {},
    "it grows": {},
    "it shrinks": {},
}
"""For and against which views the answers of a contest count. Where shards forecast
better, that hangs on whom they beat: `BEATEN`."""
BEATEN: dict[str, dict[str, Side]] = {
    "NN - SHARD": {"network": "against"},
    "UNI - SHARD": {"unitary": "against"},
    "P5": {"unitary": "against"},
    "P12": {"network": "against", "unitary": "against"},
}
"""Against whom a question counts in which SHARD forecasts better."""


def sides(entry: results.PredictionResult) -> dict[str, Side]:
    """For and against which views a verdict counts.

    | verdict | shards | network | one utility |
    |---|---|---|---|
    | shard | for | against | against, if the rule says where it is |
    | network | against | for | against, if the rule says where it is |
    | no difference, seen | against | for | against, if the rule says where it is |
    | unitary, seen | against | | for |

    Seen: the rule says `shard` of its positive control. Nothing else counts: without a
    claim that stands, undecided, or where shards would not have been seen. Where an arm
    is contrasted with V*, one utility is the rival, and nothing is said of a network.
    A question about a tool says nothing about what V is.
    """
    if entry.about == wording.TOOL:
        return {}
    sides_of = _sides(entry)
    if entry.rule.contrast.baseline.partition("/")[0] != measures.EXACT:
        return sides_of
    if sides_of and entry.verdict in ("shard", "network"):
        sides_of = {**sides_of, "unitary": "against"}
    return {view: side for view, side in sides_of.items() if view != "network"}


def _sides(entry: results.PredictionResult) -> dict[str, Side]:
    """The table of `sides`."""
    seen = entry.sensitivity is not None and entry.sensitivity.detected
    if not entry.is_valid:
        return {}
    # a rule without this interval does not tell one utility from another view
    utility: dict[str, Side] = (
        {} if entry.rule.unitary is None else {"unitary": "against"}
    )
    match entry.verdict:
        case "shard":
            return {"shard": "for", "network": "against", **utility}
        case "network":
            return {"shard": "against", "network": "for", **utility}
        case "no difference" if seen:
            return {"shard": "against", "network": "for", **utility}
        case "unitary" if seen:
            return {"shard": "against", "unitary": "for"}
        case _:
            return {}


def sides_of_contest(
    name: str, contest: contest_results.ContestResult, verdict: str
) -> dict[str, Side]:
    """For and against which views an answer of a contest counts.

    Args:
      name: of the question, e.g. "NN - SHARD" or "P13".
    """
    if not contest.stands:
        return {}
    if verdict == "SHARD":
        return {"shard": "for", **BEATEN.get(name, {})}
    return OF_CONTEST.get(verdict, {})


def named(views: dict[str, Side], side: Side) -> str:
    """The views on one side, as tables call them, with commas."""
    return ", ".join(VIEWS[view] for view, own in views.items() if own == side)
