"""The config of a contest: what cannot be run is refused, with the field."""

import pytest

from shardsim.contest import config as contests
from shardsim.core.field_errors import ConfigError
from tests.helpers import tiny_contest


def test_a_history_holds_what_forecasters_are_told():
    contest = tiny_contest.contest()
    history = contest.history(("A", "swapped"))
    assert history.name == "A.swapped"
    first, second = history.events
    assert (first.rewards, first.contexts_shown) == (((1, 0), (0, 1)), ((0,),))
    assert second.rewards == ((0, 1), (1, 0))
    assert second.contexts_shown == ((0,), (1,))
    assert first.updates == 3


def test_rewards_in_a_condition_are_its_own_or_those_of_the_last_event():
    contest = tiny_contest.contest()
    assert contest.world_in("conflict", "swapped").rewards == ((0, 1), (1, 0))
    assert contest.world_in("conflict", "A").rewards == ((1, 0), (0, 1))
    assert contest.world_in("conflict", "A").contexts_shown == ((0, 1),)
    assert contest.world_in("extinction", "A").rewards == ((0, 0), (0, 0))


def test_arms_may_have_agents_of_their_own():
    wide = "--arms.mlp.agent.encoder"
    contest = tiny_contest.contest(wide, "{kind: mlp, widths: [16]}")
    assert contest.agent_of("mlp").encoder.features == 16
    assert contest.agent_of("random").encoder.features == 8
    plain = tiny_contest.contest()
    assert [arm.width for arm in plain.sized_arms()] == [16, 16]


FAULTS = {
    "an unknown event": (
        ["--pipelines.histories", "[[A, C]]"],
        "pipelines.histories.0.1: got 'C'; allowed: A, B, swapped",
    ),
    "an event that cannot be run": (
        ["--pipelines.events.A", "{rewards: [[1, 0]]}"],
        "pipelines.events.A.rewards: got ((1.0, 0.0),); allowed: 2 rows",
    ),
    "an event that forecasters would not know of": (
        ["--pipelines.events.A", "{cue_probability: 1}"],
        "pipelines.events.A.cue_probability: unknown key; allowed: rewards",
    ),
    "one event under two names": (
        ["--pipelines.events.C", "{contexts_shown: [[0]]}"],
        "pipelines.events.C: got the event 'A' again",
    ),
    "more histories than words": (
        ["--pipelines.number", "13"],
        "pipelines.number: got 13; allowed: 2 (those that are listed) to 12",
    ),
    "too many words": (
        ["--pipelines.lengths", "[12]"],
        "pipelines.lengths: got 531441 words of 3 events; allowed: at most 100000",
    ),
    "a held-out history that is none": (
        ["--held_out.histories", "[[swapped, swapped]]"],
        "held_out.histories.0: got 'swapped.swapped'; allowed:",
    ),
    "nothing held out": (
        ["--held_out.share", "0"],
        "held_out.share: got 0.0, which is 0 of 5 histories; allowed: some, but not",
    ),
    "nothing to fit on": (
        ["--held_out.share", "1"],
        "held_out.share: got 1.0, which is 5 of 5 histories; allowed: some, but not",
    ),
    "an unknown condition": (
        ["--held_out.conditions", "[nowhere]"],
        "held_out.conditions.0: got 'nowhere'; allowed:",
    ),
    "all conditions held out": (
        [
            "--held_out.conditions",
            "[in_distribution, conflict, extinction, moved, blind]",
        ],
        "held_out.conditions: got all; allowed: some",
    ),
    "a condition under two names": (
        ["--evaluation.conditions.again", "{env: {contexts_shown: [[0, 1]]}}"],
        "evaluation.conditions.again: got the condition 'conflict' again",
    ),
    "a condition that is no world": (
        ["--evaluation.conditions.conflict", "{env: {size: 4}}"],
        "evaluation.conditions.conflict.env.size: unknown key",
    ),
    "states that cannot be listed": (
        ["--env.size", "1500"],
        "evaluation.conditions.conflict: got 2250000 states per level; allowed",
    ),
    "a plane that is none": (
        ["--evaluation.conditions.blind.hidden", "[floor 2]"],
        "evaluation.conditions.blind.hidden.0: got 'floor 2'; allowed:",
    ),
    "one seed": (["--train.num-seeds", "1"], "train.num_seeds: got 1; allowed"),
    "a sweep": (
        ["--train.sweep.td_lambda", "[0.5, 0.9]"],
        "train.sweep: got values; allowed: none in a contest",
    ),
    "a schedule": (
        ["--train.optimizer.schedule.kind", "cosine"],
        "train.optimizer.schedule.kind: got 'cosine'; allowed in a contest: 'constant'",
    ),
    "an env of the phase": (
        ["--train.phases.0.env.cue_probability", "1"],
        "train.phases.0.env: got {'cue_probability': 1}; allowed: none",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_run_is_refused(fault):
    flags, line = FAULTS[fault]
    with pytest.raises(ConfigError) as error:
        tiny_contest.contest(*flags)
    assert line in str(error.value)


def test_the_digest_is_of_the_agents_alone():
    same = [
        ["--train.num-seeds", "3"],
        ["--pipelines.number", "7"],
        ["--evaluation.levels", "6"],
        ["--held_out.share", "0.6"],
        ["--train.updates-per-call", "2"],
    ]
    other = [
        ["--train.phases.0.updates", "4"],
        ["--pipelines.events.A.contexts_shown", "[[0], [0, 1]]"],
        ["--agent.value-params", "170"],
    ]
    digest = contests.trained_digest(tiny_contest.contest())
    for flags in same:
        assert contests.trained_digest(tiny_contest.contest(*flags)) == digest, flags
    for flags in other:
        assert contests.trained_digest(tiny_contest.contest(*flags)) != digest, flags
