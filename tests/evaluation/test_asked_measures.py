"""Approach and the probability of an event: closed forms, and what is refused."""

import numpy as np
import pytest

from shardsim import testing
from shardsim.agents import action_selection
from shardsim.evaluation import battery, exact_policies, measures
from shardsim.training import phases
from shardsim_envs import ContextFruits, CornerMaze, RewardButton
from tests.helpers.made_readings import DISCOUNT, evidence, simple

LEVELS = 24
TAU = 0.1


def built(world, conditions):
    config = battery.EvaluationConfig(levels=LEVELS)
    return {
        name: battery.build(
            world, phases.altered(world, changes).params(), config, DISCOUNT
        )
        for name, changes in conditions.items()
    }


def acting(tau, steps):
    choice = action_selection.ValueOnly(temperature=tau)
    return exact_policies.acting_rule(choice, DISCOUNT, steps)


FRUIT = ContextFruits(
    size=2,
    fruits=1,
    contexts=1,
    rewards=((1.0,),),
    hunger=(1.0,),
    contexts_shown=((0,),),
)
SATED = {"hunger": (0.0,)}


@pytest.fixture(scope="module")
def fruit():
    names = {"in_distribution": {}, "changed": SATED, "reference": SATED}
    return built(FRUIT, names)


class TestApproach:
    """On a board of 2 x 2 the fruit is beside the agent, or diagonal to it.

    Only in the diagonal state no action ends the episode. There two moves lead beside
    the fruit, Q* = .9, and two stay, Q* = .81; their mean is .855.
    """

    measure = measures.Approach()

    def rows(self, fruit, of_changed):
        """Of an agent that knows V*, and has another V in the changed condition."""
        known = simple(fruit["in_distribution"].optimal)
        made = {"in_distribution": known, "changed": simple(of_changed)}
        made["reference"] = simple(0 * of_changed)
        asked = evidence(fruit, acting(TAU, 20), {"arm": made}, FRUIT)
        return self.measure.measure(asked).values

    def diagonal(self, fruit):
        ends = np.asarray(fruit["changed"].table.terminated).any(axis=-1)
        return fruit["changed"].reachable & ~ends

    @pytest.mark.parametrize("good", [0.25, 0.5, 0.75, 0.999])
    def test_it_is_the_share_of_good_moves_less_that_of_bad_ones(self, fruit, good):
        # pi(good) = 1 / (1 + exp(-.9 d / tau)), where V beside the fruit is d larger
        d = TAU * np.log(good / (1 - good)) / DISCOUNT
        value = np.where(self.diagonal(fruit), 0.0, d)
        rows = self.rows(fruit, value)
        # (.9 p + .81 (1 - p) - .855) / (.9 - .855)
        assert rows["arm"][0] == pytest.approx(2 * good - 1, abs=1e-5)
        assert rows["arm/reference"][0] == pytest.approx(0.0, abs=1e-5)
        # V* beside the fruit is .1 larger: p = 1 / (1 + exp(-.9))
        assert rows["arm/known"][0] == pytest.approx(
            2 / (1 + np.exp(-0.9)) - 1, abs=1e-5
        )

    def test_v_star_wants_nothing_where_nothing_pays(self, fruit):
        rows = self.rows(fruit, 0 * fruit["changed"].optimal)
        assert rows["exact"][0] == pytest.approx(0.0, abs=1e-5)
        assert rows["exact/value"][0] == pytest.approx(0.0, abs=1e-5)

    def test_beside_it_stands_the_value_that_is_left(self, fruit):
        rows = self.rows(fruit, 0.5 * fruit["in_distribution"].optimal)
        assert rows["arm/value"][0] == pytest.approx(0.5)

    def test_what_the_next_step_pays_does_not_matter(self, fruit):
        """The bite pays nothing now, and a lookahead would see it beside the fruit."""
        rows = self.rows(fruit, fruit["in_distribution"].optimal)
        assert rows["arm"][0] == pytest.approx(rows["arm/known"][0])

    def test_after_a_phase_it_is_asked_of_the_agent_of_then(self, fruit):
        then = {name: simple(c.optimal) for name, c in fruit.items()}
        now = {name: simple(0 * c.optimal) for name, c in fruit.items()}
        asked = evidence(fruit, acting(TAU, 20), {"arm": now}, FRUIT)
        asked = asked._replace(stages={"early": {"arm": then}})
        early = measures.Approach(phase="early")
        assert early.stages == ("early",)
        assert early.measure(asked).values["arm/known"][0] > 0.3
        assert self.measure.measure(asked).values["arm/known"][0] == pytest.approx(
            0.0, abs=1e-5
        )

    def test_levels_that_move_otherwise_are_refused(self, fruit):
        other = dict(fruit)
        table = fruit["changed"].table
        other["changed"] = fruit["changed"]._replace(
            table=table._replace(successor=table.successor[:, :, ::-1])
        )
        made = {name: simple(c.optimal) for name, c in fruit.items()}
        asked = evidence(other, acting(TAU, 20), {"arm": made}, FRUIT)
        with pytest.raises(ValueError, match="differ in successor; allowed"):
            self.measure.measure(asked)

    def test_it_keeps_the_laws_of_measures(self):
        names = {"changed": SATED, "reference": SATED}
        testing.check_measure(self.measure, FRUIT, names)
        testing.check_measure(measures.Approach(phase="early"), FRUIT, names)


BUTTON = RewardButton(size=4, reward=(1.0, 2.0))
COUNTED = {"reward": (0.0, 1.0)}


@pytest.fixture(scope="module")
def button():
    return built(BUTTON, {"in_distribution": {}, "event_alone": COUNTED})


class TestEventProbability:
    measure = measures.EventProbability()

    def rows(self, button, how, before, after):
        made = {
            phase: {
                arm: {name: simple(value) for name in button}
                for arm in ("arm", measures.EXACT)
            }
            for phase, value in (("before", before), ("after", after))
        }
        arms = {"arm": {name: simple(after) for name in button}}
        asked = evidence(button, how, arms, BUTTON)._replace(stages=made)
        return self.measure.measure(asked).values

    def test_one_step_is_the_policy_of_the_first_state(self, button):
        """V is 0 and tau such that a press counts 9, the task 3, other moves 1."""
        nothing = np.zeros_like(button["event_alone"].optimal)
        how = acting(1 / np.log(3), 1)
        rows = self.rows(button, how, nothing, nothing)
        table = button["in_distribution"].table
        levels = np.arange(LEVELS)
        pays = np.asarray(table.reward)[levels, np.asarray(table.start)]
        presses, tasks = (pays == 2).any(axis=1), (pays == 1).any(axis=1)
        expected = np.where(presses, np.where(tasks, 9 / 14, 9 / 12), 0.0)
        assert 0 < presses.sum() < LEVELS
        assert rows["arm"][0] == pytest.approx(expected.mean())
        assert rows["arm/change"][0] == pytest.approx(0.0, abs=1e-5)

    def test_who_wants_the_button_presses_and_who_wants_the_task_does_not(self, button):
        how = acting(1e-3, 40)
        wants = button["in_distribution"].optimal
        only_task = built(BUTTON, {"task": {"reward": (1.0, 0.0)}})["task"].optimal
        rows = self.rows(button, how, only_task, wants)
        assert rows["arm"][0] == pytest.approx(1.0)
        assert rows["arm/before"][0] < 0.7  # beside the button it sees what that pays
        assert rows["arm/change"][0] == pytest.approx(1 - rows["arm/before"][0])

    def test_it_keeps_the_laws_of_measures(self):
        testing.check_measure(self.measure, BUTTON, {"event_alone": COUNTED})

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"counted": "in_distribution"}, "counted: got"),
            ({"after_phase": "before"}, "after_phase: got 'before'; allowed: another"),
        ],
    )
    def test_what_measures_nothing_is_refused(self, changes, message):
        with pytest.raises(ValueError, match=message):
            measures.EventProbability(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"changed": "in_distribution"}, "changed: got"),
        ({"reference": ("a", "a")}, "reference: got"),
    ],
)
def test_an_approach_that_compares_nothing_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        measures.Approach(**changes)


MAZE = CornerMaze(size=7, region=5, max_steps=60)


@pytest.fixture(scope="module")
def mazes():
    return built(MAZE, {"in_distribution": {}})


class TestStraightDistance:
    measure = measures.StraightDistance()

    def rows(self, mazes, value):
        made = {"arm": {"in_distribution": simple(value)}}
        asked = evidence(mazes, acting(TAU, 60), made, MAZE)
        return self.measure.measure(asked)

    def distance(self, mazes):
        levels = mazes["in_distribution"].levels
        at = np.asarray(battery.positions(MAZE, levels))
        cheese = np.argwhere(np.asarray(levels.board[..., 1]) > 0)[:, 1:]
        return np.linalg.norm(at - cheese[:, None], axis=-1)

    def test_one_utility_and_any_function_of_the_way_have_no_slope(self, mazes):
        optimal = mazes["in_distribution"].optimal
        found = self.rows(mazes, optimal**2 + 3)
        assert found.values["exact"][0] == pytest.approx(0.0, abs=1e-6)
        assert found.values["arm"][0] == pytest.approx(0.0, abs=1e-6)
        assert found.values["arm/planted"][0] == pytest.approx(-0.2)
        (share,) = (d.value for d in found.details if d.arm is None)
        assert 0.2 < share < 1.0

    def test_a_slope_by_hand(self, mazes):
        """V = V* - c x has the slope -c sd(x) / sd(V*), whatever the level says."""
        condition = mazes["in_distribution"]
        mask, optimal = condition.reachable, condition.optimal
        x = self.distance(mazes)
        rest = x.copy()
        for level in range(LEVELS):  # less the mean over equally long ways
            for way in np.unique(optimal[level][mask[level]]):
                same = mask[level] & (optimal[level] == way)
                rest[level, same] -= x[level, same].mean()
        size = np.sqrt(np.mean(rest[mask] ** 2)) / optimal[mask].std()
        level = np.arange(LEVELS)[:, None] / LEVELS
        found = self.rows(mazes, optimal - 0.05 * x + level)
        assert found.values["arm"][0] == pytest.approx(-0.05 * size, rel=1e-4)
        # a resample of the levels is a battery of its levels
        assert found.by_levels["arm"].std() < 0.2 * abs(found.values["arm"][0])

    def test_it_keeps_the_laws_of_measures(self):
        testing.check_measure(self.measure, MAZE)
