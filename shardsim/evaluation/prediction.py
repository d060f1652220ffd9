"""A prediction as data: what each hypothesis expects, the measure, and the rule.

A prediction is part of the config. The run folder keeps it as it was when training
started (`preregistration`).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
from pydantic import PositiveFloat

from shardsim.core import fields
from shardsim.evaluation import judge, measures, results, rules
from shardsim.storage import records


@fields.record
class Prediction:
    """One question, what three hypotheses expect, and how the answer is judged."""

    question: str
    """The question in one sentence, for the report."""
    expected: rules.Expected
    """What each hypothesis expects, in words, for the report."""
    measure: measures.Measure
    """The statistic of one seed of one arm."""
    rule: rules.Rule
    """How the statistics of all seeds decide between the hypotheses."""
    unitary_margin: PositiveFloat | None = None
    """Both arms within this distance of the statistic of V* count as one fixed utility;
    null where it expects the same as another hypothesis."""
    about: Literal["tool"] | None = None
    """What the question is about: null, the value head; tool, the tool by which agents
    are asked, so that the verdict is yes (what `expected.shard` says holds) or no (the
    opposite), and counts for no view of V."""

    @fields.rule("rule", "unitary_margin", "about")
    def _no_unitary_tool(self) -> Iterator[str]:
        if self.about is None:
            return
        for field, own in (
            ("unitary_margin", self.unitary_margin),
            ("rule.unitary", self.rule.unitary),
        ):
            if own is not None:
                yield (
                    f"{field}: got {own}; allowed with about 'tool': null, because one "
                    "fixed utility says nothing of a tool"
                )

    @fields.rule("rule", "unitary_margin")
    def _one_unitary(self) -> Iterator[str]:
        if self.unitary_margin is not None and self.rule.unitary is not None:
            yield (
                f"unitary_margin: got {self.unitary_margin} with rule.unitary; "
                "allowed: one of the two"
            )

    @fields.rule("rule", "unitary_margin")
    def _unitary_mean(self) -> Iterator[str]:
        is_share = isinstance(self.rule.estimand, rules.ShareOfSeeds)
        if self.unitary_margin is not None and is_share:
            yield (
                f"unitary_margin: got {self.unitary_margin}; allowed with estimand "
                "'share': null, because it is a distance of means"
            )

    @fields.rule("measure", "rule")
    def _known_rows(self) -> Iterator[str]:
        rows = measures.extra_rows(self.measure)
        for field, name in rules.rows_by_field(self.rule).items():
            arm, slash, row = name.partition("/")
            if field.startswith("seeds_where") and arm == measures.EXACT:
                yield f"rule.{field}: got {name!r}; allowed: an arm that has seeds"
            if slash and row not in rows:
                allowed = (
                    ", ".join(f"ARM/{extra}" for extra in rows) or "no row but ARM"
                )
                yield f"rule.{field}: got {name!r}; allowed: {allowed}"

    def arms(self) -> dict[str, str]:
        """The arms that the rule names, by dotted field of the prediction."""
        rows = rules.rows_by_field(self.rule)
        return {f"rule.{field}": row.partition("/")[0] for field, row in rows.items()}


def evaluate(
    predictions: dict[str, Prediction],
    evidence: measures.Evidence,
    missed: judge.Missed = judge.NONE_MISSED,
    asked: Mapping[str, results.Asked] = MappingProxyType({}),
    look: results.Look = results.FIRST_LOOK,
) -> dict[str, results.PredictionResult]:
    """Measure all predictions, then judge them as one family.

    Args:
      missed: arms that missed a goal of the run.
      asked: when each prediction was asked, where that is recorded.
      look: which look at the run this is.

    Returns:
      By prediction: its texts, its values by arm and seed, and its judgement.
    """
    # predictions with the same measure share its result
    by_measure = {
        measure: measure.measure(evidence)
        for measure in {each.measure: None for each in predictions.values()}
    }
    measured = {name: by_measure[each.measure] for name, each in predictions.items()}
    resolved = {
        name: _with_unitary(prediction, measured[name].values)
        for name, prediction in predictions.items()
    }
    values = {
        name: {row: each.sample(row) for row in each.values}
        for name, each in measured.items()
    }
    beside = {name: measures.beside(each.measure) for name, each in predictions.items()}
    about = {
        name: each.about or measures.about(each.measure, each.rule.contrast.arm)
        for name, each in predictions.items()
    }
    judgements = judge.judge(
        values, resolved, missed=missed, look=look, beside=beside, about=about
    )
    return {
        name: results.PredictionResult(
            question=prediction.question,
            expected=prediction.expected,
            measure=prediction.measure,
            metric=prediction.measure.METRIC,
            unit=prediction.measure.UNIT,
            about=about[name],
            formula=measures.formula(prediction.measure),
            rule=resolved[name],
            values={
                row: records.numbers(x) for row, x in measured[name].values.items()
            },
            details=measured[name].details,
            asked=asked.get(name, results.NOT_RECORDED),
            **vars(judgements[name]),
        )
        for name, prediction in predictions.items()
    }


def _with_unitary(prediction: Prediction, values: dict[str, np.ndarray]) -> rules.Rule:
    """The rule, with `unitary` as the interval of `unitary_margin` around V*.

    The rule itself if the statistic of V* does not exist, as in a very short run.
    """
    if prediction.unitary_margin is None:
        return prediction.rule
    exact = float(values[measures.EXACT].mean())
    if not np.isfinite(exact):
        return prediction.rule
    margin = prediction.unitary_margin
    unitary = (exact - margin, exact + margin)
    return dataclasses.replace(prediction.rule, unitary=unitary)
