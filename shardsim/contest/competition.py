"""The contest itself: fits every forecaster, asks all of them the same, and judges.

Forecasters are fitted for each arm alone, on more and more levels of its evidence. All
are asked about histories and conditions that the evidence does not hold, and a guard
refuses evidence that does.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from shardsim.contest import evidence as evidences
from shardsim.contest import fitting, scores, verdicts
from shardsim.contest.evidence import AgentEvidence, Evidence
from shardsim.contest.fitting import UNIFORM_SHARE, Budget, Fitted, Frame
from shardsim.contest.forecasters import Forecaster, Oracle, Others, Reference
from shardsim.contest.forecasters.base import Fittable
from shardsim.contest.results import (
    ArmScores,
    CalibrationBin,
    Cell,
    ContestResult,
    ForecasterResult,
    LearningPoint,
    Score,
    Surprise,
)
from shardsim.contest.scores import Scores
from shardsim.contest.verdicts import Judged, Judging
from shardsim.core.statistics import crossed
from shardsim.evaluation import results
from shardsim.storage import records

ORACLE = "oracle"
"""Name of the forecaster that all others are compared with."""
SURPRISES = 24
"""Most surprising agents that are listed."""

Opens = Callable[[AgentEvidence, str], str]
"""(agent, condition) -> the command that opens the agent."""


class Settings(NamedTuple):
    """Who forecasts, for how long, and how it is judged."""

    forecasters: Mapping[str, Forecaster]
    """By name. ORACLE takes part, named or not."""
    budget: Budget
    judging: Judging
    seed: int
    """Of the starts of all fits."""


class Known(NamedTuple):
    """All agents, and what of them is held out."""

    everything: Evidence
    """All arms in all conditions."""
    histories: Collection[str]
    """Names of the held-out histories."""
    conditions: Collection[str]
    """Names of the held-out conditions."""


def compete(
    name: str,
    question: str,
    known: Known,
    settings: Settings,
    opens: Opens,
    advance: Callable[[str], None] = lambda done: None,
) -> ContestResult:
    """Run a contest whose agents are trained.

    Args:
      name: of the contest.
      question: for the page.
      known: the agents.
      settings: the forecasters.
      opens: how a surprising agent is opened.
      advance: called after every fit.

    Raises:
      ValueError: the evidence of a fit holds an answer.
    """
    everything, judging = known.everything, settings.judging
    histories = {agent.history.name: agent.history for agent in everything.agents}
    frame = fitting.frame_of(everything.situations, list(histories.values()))
    arms: dict[str, ArmScores] = {}
    judged: dict[str, Judged] = {}
    for arm in dict.fromkeys(agent.arm for agent in everything.agents):
        arms[arm], judged[arm] = _of_arm(arm, known, settings, frame, opens, advance)
    gates = verdicts.gates(judging, judged)
    answers = {}
    if judging.arm in judged:
        own = evidences.of_arm(everything, judging.arm)
        answers = verdicts.verdicts(
            judging,
            judged,
            own,
            sorted(known.histories),
            sorted(known.conditions),
        )
    return ContestResult(
        name=name,
        question=question,
        arm=judging.arm,
        histories={each: each in set(known.histories) for each in histories},
        conditions={
            each: each in set(known.conditions) for each in everything.situations
        },
        levels=frame.levels,
        seeds=len({agent.seed for agent in everything.agents}),
        steps=settings.budget.steps,
        restarts=settings.budget.restarts,
        uniform_share=UNIFORM_SHARE,
        arms=arms,
        gates=gates,
        verdicts=answers,
        stands=all(gate.passed == "passed" for gate in gates.values()),
    )


def num_fits(arms: Collection[str], levels: int, settings: Settings) -> int:
    """How many fits a contest has, for a progress bar.

    Args:
      arms: whose agents are forecast.
      levels: L, of each condition.
    """
    fitted = [f for f in settings.forecasters.values() if isinstance(f, Fittable)]
    sizes = [len(sizes_of(arm, levels, settings.judging)) for arm in arms]
    return sum(sizes) * len(fitted)


def sizes_of(arm: str, levels: int, judging: Judging) -> tuple[int, ...]:
    """Numbers of levels on which an arm's forecasters are fitted; the last is all.

    Controls have no learning curve.
    """
    gates = judging.gates
    if arm in (gates.gated, gates.exact, gates.random):
        return (levels,)
    return (*sorted(n for n in set(judging.levels) if n < levels), levels)


def _of_arm(
    arm: str,
    known: Known,
    settings: Settings,
    frame: Frame,
    opens: Opens,
    advance: Callable[[str], None],
) -> tuple[ArmScores, Judged]:
    """Fit and score all forecasters on the agents of one arm."""
    own = evidences.of_arm(known.everything, arm)
    parts = evidences.split(own, known.histories, known.conditions)
    references: dict[str, Reference] = {ORACLE: Oracle()}
    competitors: dict[str, Fittable] = {}
    for name, chosen in settings.forecasters.items():
        if isinstance(chosen, Oracle | Others):
            references[name] = chosen
        else:
            competitors[name] = chosen
    curve: dict[int, Scores] = {}
    code = dict.fromkeys(competitors, 0.0)
    fitted: dict[str, Fitted] = {}
    before = 0
    for levels in sizes_of(arm, frame.levels, settings.judging):
        block = evidences.of_levels(parts.evidence, before, levels)
        for name, cost in _block(fitted, block, frame).items():
            code[name] += cost
        for name in set(competitors) - set(fitted):
            code[name] += (levels - before) * float(np.log(frame.sizes.actions))
        seen = evidences.of_levels(parts.evidence, 0, levels)
        evidences.refuse_leak(seen, parts.asked)
        fitted = {}
        for name, each in competitors.items():
            fitted[name] = fitting.fit(
                each, seen, frame, settings.budget, settings.seed
            )
            advance(f"{arm}: {name} on {levels} levels")
        curve[levels] = scores.score({**fitted, **references}, parts.asked)
        before = levels
    last = curve[frame.levels]
    judged = Judged(last, _champions(fitted))
    is_control = len(curve) == 1
    return (
        ArmScores(
            agents=len(own.agents),
            seeds=len({agent.seed for agent in own.agents}),
            forecasters={
                name: _result(
                    name,
                    fitted.get(name) or references[name],
                    curve,
                    None if is_control or name in references else code[name],
                )
                for name in last.loss
            },
            cells=_cells(last, list(competitors), known),
            surprising=_surprising(last, list(competitors), opens),
        ),
        judged,
    )


def _block(
    fitted: Mapping[str, Fitted], block: Evidence, frame: Frame
) -> dict[str, float]:
    """What the levels of a block cost those that were fitted on the ones before it."""
    if not fitted:
        return {}
    scored = scores.score(fitted, block)
    return {
        name: float(np.nanmean(loss, axis=(0, 1)).sum())
        for name, loss in scored.loss.items()
    }


def _champions(fitted: Mapping[str, Fitted]) -> dict[str, str]:
    """Kind -> the forecaster of this kind with the lowest loss on its evidence."""
    best: dict[str, str] = {}
    for name, each in fitted.items():
        kind = each.forecaster.kind
        if kind not in best or each.loss < fitted[best[kind]].loss:
            best[kind] = name
    return best


def _result(
    name: str,
    forecaster: Fitted | Reference,
    curve: Mapping[int, Scores],
    code_length: float | None,
) -> ForecasterResult:
    last = curve[max(curve)]
    own = forecaster if isinstance(forecaster, Fitted) else None
    shares = last.calibration[name]
    total = shares.weight.sum()
    return ForecasterResult(
        kind=_kind(forecaster),
        is_reference=own is None,
        parameters=own.num_parameters if own else 0,
        evidence_loss=records.number(own.loss if own else None),
        score=_score(last, name),
        by_condition={
            condition: _score(last, name, [column])
            for column, condition in enumerate(last.conditions)
        },
        learning=tuple(
            LearningPoint(levels, _score(scored, name))
            for levels, scored in curve.items()
        )
        if len(curve) > 1
        else (),
        code_length=records.number(code_length),
        calibration=tuple(
            CalibrationBin(
                records.number(forecast / weight) if weight > 0 else None,
                records.number(taken / weight) if weight > 0 else None,
                float(weight / total),
            )
            for weight, forecast, taken in zip(*shares, strict=True)
        ),
    )


def _kind(forecaster: Fitted | Reference) -> str:
    """The kind of a forecaster or a reference."""
    if isinstance(forecaster, Fitted):
        return forecaster.forecaster.kind
    return forecaster.kind


def _score(scored: Scores, name: str, columns: Sequence[int] | None = None) -> Score:
    loss, truth = scored.loss[name], scored.loss[ORACLE]
    each = (loss, loss - truth)
    both = [
        results.interval(
            crossed.mean_interval(scores.sample(values, scored.seeds, columns))
        )
        for values in each
    ]
    return Score(loss=both[0], excess=both[1])


def _cells(
    scored: Scores, competitors: Sequence[str], known: Known
) -> tuple[Cell, ...]:
    """Who forecasts each history in each condition best."""
    names = np.array([agent.history.name for agent in scored.agents])
    excess = {n: scored.loss[n] - scored.loss[ORACLE] for n in competitors}
    cells = []
    for history in dict.fromkeys(names.tolist()):
        rows = names == history
        for column, condition in enumerate(scored.conditions):
            means = {n: float(excess[n][rows, column].mean()) for n in competitors}
            if not np.isfinite(list(means.values())).all():
                continue
            order = sorted(means, key=lambda n: means[n])
            lead = means[order[1]] - means[order[0]] if len(order) > 1 else None
            cells.append(
                Cell(
                    history=history,
                    condition=condition,
                    is_held_out=history in set(known.histories),
                    winner=order[0],
                    lead=records.number(lead),
                    excess={n: records.number(x) for n, x in means.items()},
                )
            )
    return tuple(cells)


def _surprising(
    scored: Scores, competitors: Sequence[str], opens: Opens
) -> tuple[Surprise, ...]:
    """The agents that cost the best of all competitors most, beyond their entropy."""
    loss = {name: each.mean(axis=2) for name, each in scored.loss.items()}
    least = np.min([loss[n] for n in competitors], axis=0) - loss[ORACLE]
    places = np.argsort(np.where(np.isfinite(least), -least, np.inf), axis=None)
    found = []
    for place in places[:SURPRISES]:
        row, column = (int(i) for i in np.unravel_index(place, least.shape))
        if not np.isfinite(least[row, column]):
            break
        agent, condition = scored.agents[row], scored.conditions[column]
        found.append(
            Surprise(
                history=agent.history.name,
                condition=condition,
                seed=agent.seed,
                excess=float(least[row, column]),
                losses={n: records.number(x[row, column]) for n, x in loss.items()},
                opens=opens(agent, condition),
            )
        )
    return tuple(found)
