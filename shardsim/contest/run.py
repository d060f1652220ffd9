"""Run a contest, or what is missing of one: train, ask, forecast, judge."""

import shlex
from pathlib import Path

from shardsim.contest import (
    asking,
    competition,
    exact,
    folder,
    histories,
    results,
    training,
)
from shardsim.contest import evidence as evidences
from shardsim.contest.config import Contest
from shardsim.contest.evidence import AgentEvidence, Evidence
from shardsim.contest.results import ContestResult

EXACT_TEMPERATURE = 0.05
"""Temperature of the exact agents where V does not act, in units of reward."""


def steps(contest: Contest) -> int:
    """Number of steps that `run` reports."""
    trained = training.count(contest, range(contest.train.num_seeds))
    asked = len(contest.arms) * len(contest.words)
    exact_arm = contest.judging.gates.exact
    arms = [*contest.arms, *([exact_arm] if exact_arm else [])]
    levels = contest.evaluation.levels
    fits = competition.num_fits(arms, levels, settings(contest))
    return trained + asked + fits


def evidence(
    contest: Contest, path: Path, advance: training.Advance = lambda done: None
) -> Evidence:
    """Train what is missing of all agents, and ask all of them in all conditions.

    Args:
      path: folder of the contest, which `folder.opened` has made.
      advance: called after each step.
    """
    training.train(contest, path, range(contest.train.num_seeds), advance)
    everything = asking.ask(contest, path, advance)
    folder.remove_states(path)
    return everything


def settings(contest: Contest) -> competition.Settings:
    """Who forecasts, and how it is judged."""
    return competition.Settings(
        contest.entrants, contest.budget, contest.judging, contest.train.seed
    )


def run(
    contest: Contest, path: Path, advance: training.Advance = lambda done: None
) -> ContestResult:
    """Train, ask, forecast and judge; write contest.json.

    Args: as `evidence`.
    """
    everything = with_exact(contest, evidence(contest, path, advance))
    known = competition.Known(
        everything,
        [histories.name_of(word) for word in contest.held_out_words],
        contest.held_out.conditions,
    )

    def opens(agent: AgentEvidence, condition: str) -> str:
        if agent.arm not in contest.arms:
            return ""
        words = [str(path), "--arms", agent.arm, "--history", agent.history.name]
        words += ["--condition", condition, "--out", "page.html"]
        return f"shardsim inspect {shlex.join(words)}"

    result = competition.compete(
        contest.name, contest.question, known, settings(contest), opens, advance
    )
    folder.save_text(path, results.FILE, results.text(result))
    return result


def with_exact(contest: Contest, everything: Evidence) -> Evidence:
    """The agents, and those that act by the exact values of one utility."""
    name = contest.judging.gates.exact
    if name is None:
        return everything
    acting = contest.acting
    tau = acting.temperature if acting.value_acts else EXACT_TEMPERATURE
    added = exact.agents(
        evidences.of_arm(everything, contest.judging.arm),
        name,
        tau,
        acting.discount,
        acting.max_steps,
    )
    return everything._replace(agents=everything.agents + added)
