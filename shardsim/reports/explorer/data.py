"""Computes all numbers of the page."""

import contextlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from shardsim.agents import value
from shardsim.core import config as configs
from shardsim.evaluation import film, preregistration, results
from shardsim.reports.charts import theme
from shardsim.reports.explorer import forward, metadata, schema
from shardsim.reports.explorer.load import PageInputs
from shardsim.reports.explorer.panels import PANELS, base, curves
from shardsim.reports.verdicts import sections

LOG = logging.getLogger(__name__)


class Clock:
    """Seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def over(self, name: str) -> Iterator[None]:
        """Adds the time spent inside to `name`."""
        LOG.debug("%s", name.replace("_", " "))
        start = time.perf_counter()
        yield
        passed = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + passed


def compute(inputs: PageInputs, clock: Clock, quick: bool = False) -> schema.PageData:
    """Everything that the page shows.

    Args:
      quick: leave out all panels that are not `in_quick`.
    """
    judged = _judged(inputs)  # refused before anything is computed
    LOG.info("making the page")
    with clock.over("levels"):
        levels, condition = forward.levels_of(inputs, film.CURVE_LEVELS)
        mazes = forward.lay_out(inputs, condition)
    contexts = [
        base.PanelContext(inputs, side, levels, condition, mazes)
        for side in inputs.sides
    ]
    has_networks = all(side.networks is not None for side in inputs.sides)
    panels = [
        panel
        for panel in PANELS
        if (panel.in_quick or not quick) and (panel.of_outputs or has_networks)
    ]
    if has_networks and not quick:
        # both threads read them
        with clock.over("activations"):
            for context in contexts:
                _ = context.activations
    # two programs are compiled at a time; those of the directions take longest
    with ThreadPoolExecutor(1) as background:
        later = background.submit(
            _panels, [p for p in panels if p.in_background], contexts, clock
        )
        for context in contexts:
            with clock.over("predictions"):
                _ = context.predictions
        now = _panels([p for p in panels if not p.in_background], contexts, clock)
        computed = [{**a, **b} for a, b in zip(now, later.result(), strict=True)]
    sides = [_side(*pair) for pair in zip(contexts, computed, strict=True)]
    return schema.PageData(
        about=metadata.about(inputs),
        env=metadata.env(inputs),
        mazes=metadata.mazes(inputs, levels, condition),
        sprites=metadata.sprites(inputs, levels),
        boards=schema.Boards(
            walls=mazes.walls,
            state_at=mazes.state_at,
            position=mazes.position,
            successor=mazes.successor,
            reward=mazes.reward,
            terminated=mazes.terminated,
            optimal=mazes.optimal,
        ),
        sides=sides,
        num_levels=len(contexts[0].curve_condition.optimal),
        metrics=dict(curves.METRICS),
        comparison=_comparison(sides),
        verdicts=_verdicts(judged),
        asked=_asked(judged),
        ramps={
            **{scheme: list(stops) for scheme, stops in theme.DIVERGING.items()},
            "sequential": list(theme.SEQUENTIAL),
        },
        seconds=clock.seconds,
    )


def _panels(
    panels: list[base.Panel], contexts: list[base.PanelContext], clock: Clock
) -> list[dict[str, Any]]:
    """The numbers of some panels, by side and name."""
    computed: list[dict[str, Any]] = [{} for _ in contexts]
    for context, own in zip(contexts, computed, strict=True):
        for panel in panels:
            with clock.over(panel.name):
                own[panel.name] = panel.compute(context)
    return computed


def _side(context: base.PanelContext, computed: dict[str, Any]) -> schema.SideData:
    side = context.side
    is_ours = side.networks is not None
    head = configs.to_dict(side.arm.head) if is_ours else {"kind": "not of shardsim"}
    features = side.config.agent.encoder.features
    contexts = side.config.env.num_contexts
    outputs = forward.in_mazes(context.predictions, context.mazes)
    return schema.SideData(
        arm=side.arm.name,
        run=side.folder.name,
        head=head,
        unusual=sections.unusual(side.arm.head) if is_ours else {},
        trained=side.arm.trained,
        num_parameters=value.count_parameters(
            side.arm.head, features, contexts, side.arm.width
        )
        if is_ours
        else None,
        num_seeds=side.num_seeds,
        num_shards=int(context.predictions.gates.shape[-1]),
        updates=list(side.updates),
        outputs=schema.Outputs(**outputs._asdict()),
        panels={panel.name: computed.get(panel.name) for panel in PANELS},
    )


def _comparison(sides: list[schema.SideData]) -> list[schema.MetricRow]:
    """Every metric of A and B at the end, and B - A where seeds can be paired."""
    rows = []
    for name, metric in curves.METRICS.items():
        panels = [side.panels["curves"] for side in sides]
        difference = None
        if len(sides) == 2 and sides[0].num_seeds == sides[1].num_seeds:
            a, b = (panel.metrics[name][-1] for panel in panels)
            difference = curves.end(name, b - a)
        ends = [panel.ends[name] for panel in panels]
        levels = panels[0].levels[name]
        rows.append(
            schema.MetricRow(metric.name, metric.unit, levels, ends, difference)
        )
    return rows


class _Judged(NamedTuple):
    """A run with verdicts."""

    folder: Path
    result: results.RunResult


def _judged(inputs: PageInputs) -> _Judged | None:
    """The run of both sides, if they come from one that was judged."""
    folders = {side.folder for side in inputs.sides}
    folder = next(iter(folders))
    if len(folders) > 1 or not (folder / results.FILE).is_file():
        return None
    result = results.read(folder)
    return _Judged(folder, result) if isinstance(result, results.RunResult) else None


def _asked(judged: _Judged | None) -> list[str]:
    """When the questions of the verdicts were asked."""
    if judged is None:
        return []
    return sections.asked(judged.result, preregistration.read(judged.folder))


def _verdicts(judged: _Judged | None) -> list[schema.Verdict]:
    return [
        schema.Verdict(
            name=name,
            question=entry.question,
            contrast=sections.contrast(entry),
            metric=entry.metric,
            unit=entry.effect_unit,
            effect=base.Estimate(
                _number(entry.effect.estimate),
                _number(entry.effect.low),
                _number(entry.effect.high),
            ),
            margin=_number(entry.size_of_margin),
            p_value=entry.p_value,
            verdict="; ".join(
                text
                for text in (sections.verdict(entry), sections.standing(entry))
                if text
            ),
            controls=sections.outcome(entry),
        )
        for name, entry in (judged.result.predictions if judged else {}).items()
    ]


def _number(x: float | None) -> float:
    return float("nan") if x is None else x
