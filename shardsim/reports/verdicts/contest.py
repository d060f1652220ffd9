"""contest.html: one offline page with who forecasts what agents do, and how well."""

from shardsim.contest.results import ArmScores, ContestResult
from shardsim.reports import contest as tables
from shardsim.reports import figures, templates
from shardsim.reports.charts import contest as charts

BOARD = (
    "Loss of every forecaster above that of ORACLE, on held-out histories and "
    "conditions, with 95 % intervals over seeds and levels."
)
WINNERS = (
    "Who forecasts each history in each condition best, and by how many nats per "
    "decision the second is worse; the paler, the less, up to .05. Held-out histories "
    "come first; of the others only held-out conditions (*) are asked."
)
LEARNING = "Loss above ORACLE of forecasters that were fitted on so many levels."
CALIBRATION = (
    "How often an action is taken that was forecast with some probability. On the "
    "dashed line forecasts are right; a larger dot stands for more decisions."
)


def page(result: ContestResult) -> str:
    """The page of a contest, as HTML."""
    own = result.arms.get(result.arm)
    template = templates.environment("shardsim.reports.verdicts").get_template(
        "contest.html"
    )
    return template.render(
        result=result,
        own=own,
        answer=tables.answer(result),
        tables=tables,
        drawn={} if own is None else _draw(own, result),
    )


def _draw(own: ArmScores, result: ContestResult) -> dict[str, figures.Figure]:
    """The figures by the name of their place."""
    drawn = {
        "board": figures.draw(BOARD, lambda width: charts.leaderboard(own, width)),
        "winners": figures.draw(
            WINNERS,
            lambda width: charts.winners(own, result.conditions, width),
        ),
        "calibration": figures.draw(
            CALIBRATION, lambda width: charts.calibration(own, width)
        ),
    }
    if any(one.learning for one in own.forecasters.values()):
        drawn["learning"] = figures.draw(
            LEARNING, lambda width: charts.learning(own, width)
        )
    return drawn
