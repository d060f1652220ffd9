"""contest.json: every number of a contest, as a tree of records.

Losses are in nats per decision. A number that does not exist is None. Intervals are
over seeds and levels, which are both sampled; histories and conditions are not.
"""

from pathlib import Path

from shardsim.core import config, fields, json_text
from shardsim.evaluation.results import Interval, Outcome
from shardsim.storage import records

FILE = "contest.json"


@fields.record(kw_only=True, float64=True)
class Score:
    """What a forecaster pays on some questions."""

    loss: Interval
    """In nats per decision."""
    excess: Interval
    """Loss less that of ORACLE, which is the entropy of the agents."""


@fields.record(float64=True)
class LearningPoint:
    """A forecaster that was fitted on some of the levels."""

    levels: int
    """Levels of each condition of the evidence."""
    score: Score
    """On all that is asked."""


@fields.record(float64=True)
class CalibrationBin:
    """Actions that were forecast with about one probability."""

    forecast: records.Number
    """Mean probability in the forecast; None where nothing is in the bin."""
    taken: records.Number
    """Mean probability with which agents take them."""
    weight: float
    """Share of all actions, by occupancy; over all bins 1."""


@fields.record(kw_only=True, float64=True)
class ForecasterResult:
    """One forecaster on the agents of one arm."""

    kind: str
    is_reference: bool
    """Whether it sees the answers, and so is no competitor."""
    parameters: int
    """Free numbers; 0 of a reference."""
    evidence_loss: records.Number
    """On what it was fitted to, in nats per decision."""
    score: Score
    """On all that is asked."""
    by_condition: dict[str, Score]
    learning: tuple[LearningPoint, ...]
    code_length: records.Number
    """Prequential: nats for one decision in each level of the evidence. A block of
    levels is forecast by the fit on all blocks before it, the first by chance."""
    calibration: tuple[CalibrationBin, ...]


@fields.record(kw_only=True, float64=True)
class Cell:
    """All agents of one history in one condition."""

    history: str
    condition: str
    is_held_out: bool
    """Whether the history is held out; else the condition is."""
    winner: str
    """The competitor with the lowest loss."""
    lead: records.Number
    """By how much the second loses more."""
    excess: dict[str, records.Number]
    """By competitor, mean over seeds and levels."""


@fields.record(kw_only=True, float64=True)
class Surprise:
    """An agent in a condition where every competitor failed."""

    history: str
    condition: str
    seed: int
    excess: float
    """Of the best competitor."""
    losses: dict[str, records.Number]
    """By forecaster."""
    opens: str
    """The command that opens the agent."""


@fields.record(kw_only=True, float64=True)
class ArmScores:
    """All forecasters on the agents of one arm."""

    agents: int
    seeds: int
    forecasters: dict[str, ForecasterResult]
    cells: tuple[Cell, ...]
    surprising: tuple[Surprise, ...]


@fields.record(kw_only=True, float64=True)
class GateResult:
    """A control on agents whose best forecaster is known."""

    arm: str | None
    """None: the contest has no such arm."""
    statement: str
    differences: dict[str, Interval]
    """What was compared, in nats per decision."""
    passed: Outcome
    sentence: str


@fields.record(kw_only=True, float64=True)
class VerdictResult:
    """The answer to one question of the contest."""

    title: str
    statement: str
    """What is compared, and what each view expects."""
    unit: str
    effect: Interval | None
    """None: the contest has nothing to compare."""
    against: dict[str, Interval]
    """The same effect against further rivals, which have to be beaten too."""
    margin: float
    """Effects up to this size count as none."""
    verdict: str
    """Who is right, "no difference", "undecided" or "not asked"."""
    p_value: records.Number
    """Adjusted for all questions of the contest."""
    sentence: str


@fields.record(kw_only=True, float64=True)
class ContestResult:
    """Everything that a contest says."""

    name: str
    question: str
    arm: str
    """Whose agents the question is about."""
    histories: dict[str, bool]
    """By name, whether they are held out."""
    conditions: dict[str, bool]
    """By name, whether they are held out."""
    levels: int
    """L, levels of each condition."""
    seeds: int
    steps: int
    """Of each fit, for every forecaster alike."""
    restarts: int
    """Of each fit, for every forecaster alike."""
    uniform_share: float
    """Share of random actions that every forecast is mixed with, but ORACLE."""
    arms: dict[str, ArmScores]
    gates: dict[str, GateResult]
    verdicts: dict[str, VerdictResult]
    stands: bool
    """Whether all gates passed: else nothing is claimed."""


def text(result: ContestResult) -> str:
    """The text of contest.json."""
    return json_text.dumps(config.to_dict(result), indent=1, allow_nan=False) + "\n"


def read(folder: Path) -> ContestResult:
    """Read contest.json.

    Raises:
      RunError: the file is missing or damaged.
    """
    return records.read(folder / FILE, ContestResult)
