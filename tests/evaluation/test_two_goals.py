"""The measures of mazes with two goals find what is planted."""

import numpy as np
import pytest

from shardsim.agents import action_selection
from shardsim.evaluation import battery, exact_policies, measures
from shardsim.evaluation.measures import two_goals
from shardsim_envs import CornerMaze
from tests.helpers.made_readings import DISCOUNT, details, evidence, simple

MAZE = CornerMaze(size=7, region=2, max_steps=60)


@pytest.fixture(scope="module")
def mazes():
    params = CornerMaze(size=7, region=5, max_steps=60).params()
    config = battery.EvaluationConfig(levels=96)
    return {"anywhere": battery.build(MAZE, params, config, DISCOUNT)}


class TestDecisions:
    def arm(self, mazes, goals):
        """An agent that values the ways to goals [L] (0 cheese, 1 corner)."""
        condition = mazes["anywhere"]
        row, column = MAZE.corner
        corner = row * 7 + column
        values = []
        for level, goal in enumerate(goals):
            table = condition.table
            successor = np.asarray(table.successor[level])
            v = np.zeros(49)
            for _ in range(60):
                reach = DISCOUNT * v[successor]
                if goal:
                    reach = np.where(successor == corner, 1.0, reach)
                else:
                    reach = np.where(np.asarray(table.terminated[level]), 1.0, reach)
                v = reach.max(axis=1)
            # V(s') is what is looked at, so the goal itself is worth 1 / gamma
            v[corner if goal else []] = 1 / DISCOUNT
            values.append(v)
        return {"anywhere": simple(np.array(values))}

    def measured(self, mazes, measure, goals):
        how = exact_policies.acting_rule(action_selection.Lookahead(), DISCOUNT, 60)
        arms = {"arm": self.arm(mazes, goals)}
        return measure.measure(evidence(mazes, how, arms, MAZE))

    @pytest.mark.slow
    def test_one_goal_everywhere_is_no_second_goal(self, mazes):
        for goal in (0, 1):
            found = self.measured(mazes, measures.TwoGoals(), [goal] * 96)
            assert found.values["arm"][0] < 0.1
        assert found.values["exact"][0] < 0.1

    @pytest.mark.slow
    def test_two_goals_in_turn_are_found(self, mazes):
        found = self.measured(mazes, measures.TwoGoals(), [0, 1] * 48)
        assert found.values["arm"][0] > 0.6
        assert details(found, None)["decision squares"] >= 10

    @pytest.mark.slow
    def test_a_pull_that_fades_with_distance_is_found(self, mazes):
        how = exact_policies.acting_rule(action_selection.Lookahead(), DISCOUNT, 60)
        at = two_goals.squares(evidence(mazes, how, {}, MAZE), "anywhere")
        far = np.zeros(96)
        far[at.level] = at.features[:, 0]
        cut = np.median(at.features[:, 0])
        fading = self.measured(
            mazes, measures.GoalDistanceSlope(), (far > cut).astype(int)
        )
        assert fading.values["arm"][0] < -0.3
        assert abs(fading.values["exact"][0]) < 0.2
