"""results.json of `shardsim run`: every number of a run, as a tree of records.

A number that does not exist is None: the interval of a single seed, or a fraction of an
optimum that is not above 0. Symbols: N seeds, K shards, T snapshots.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from shardsim.agents import value
from shardsim.core import dynamic_programming, fields
from shardsim.core.statistics import aggregates, intervals
from shardsim.evaluation import measures, rules
from shardsim.storage import records, run_files, run_layout
from shardsim.training.results import FILE, TrainingResult
from shardsim_envs import World

Verdict: TypeAlias = Literal[
    "shard", "network", "unitary", "no difference", "undecided"
]
Outcome: TypeAlias = Literal["passed", "failed", "undecided"]


@fields.record(float64=True)
class Interval:
    """A mean over seeds with its confidence interval, in the unit of its metric."""

    estimate: records.Number
    """Mean over seeds; None where a seed has no number."""
    low: records.Number
    """Lower end; None where there is no interval, as for one seed."""
    high: records.Number
    confidence_level: float
    """How often such an interval holds the true mean: 0.95 is 95 %."""
    num_seeds: int
    """Seeds that the mean is over."""


def interval(computed: intervals.Interval) -> Interval:
    """The record of a computed interval."""
    return Interval(
        estimate=records.number(computed.estimate),
        low=records.number(computed.low),
        high=records.number(computed.high),
        confidence_level=computed.level,
        num_seeds=computed.n,
    )


@fields.record(kw_only=True, float64=True)
class ArmResult:
    """One arm at the end of the run, or of the phase `min_return_phase`."""

    head: value.Head
    trained: bool
    width: int
    """Units of the widest layer of V."""
    value_params: int
    """Parameters of V."""
    return_fraction: records.SeedNumbers
    """[N], exact expected return in the first condition as a fraction of the exact
    optimal return (1 is optimal), acting as in training. None, like all that needs
    exact values, in worlds whose states cannot be listed."""
    mean_return_fraction: records.Number
    """Mean of `return_fraction` over seeds."""
    mean_evaluation_return_fraction: records.Number
    """The same mean where the arm acts as in the evaluation."""
    value_error: records.SeedNumbers
    """[N], root mean square of V - V* over reachable states of the first condition, in
    standard deviations of V*: 0 is exact, 1 about as good as a constant."""
    mean_value_error: records.Number
    """Mean of `value_error` over seeds, in sd of V*."""
    shards_in_use: records.Number
    """Mean over seeds of exp(entropy of the mean gates), 1 to K shards."""
    action_gap: records.Number
    """Mean gap of Q between the best action and the best worse one, at the end of the
    run, in units of the return."""
    reached_min_return: bool
    """Whether `mean_return_fraction` is at least the run's `min_return`."""
    reached_max_value_error: bool = True
    """Whether `mean_value_error` is at most the run's `max_value_error`."""

    @property
    def interquartile_mean_return(self) -> Interval | None:
        """Interquartile mean of `return_fraction`; None if a seed has no number."""
        if not self.return_fraction or None in self.return_fraction:
            return None
        return interval(aggregates.interquartile_mean(self.return_fraction))


@fields.record(kw_only=True, float64=True)
class ActingResult:
    """How arms act, in words and numbers."""

    training: str
    """How they act in training; returns use it."""
    evaluation: str
    """How they act in the evaluation; everything else uses it."""
    temperature: records.Number
    """tau of acting in the evaluation, in units of the return; None where V takes no
    part in acting."""
    exact_action_gap: records.Number
    """Mean gap of Q* between the best action and the best worse one, in units of the
    return. Acting follows V only if tau is small compared with it."""


@fields.record(float64=True)
class ControlResult:
    """The result of a control."""

    control: rules.Requirement
    interval: Interval
    """Interval of the controlled mean, in the unit of the prediction's metric."""
    passed: Outcome
    sentence: str


@fields.record(float64=True)
class SensitivityResult:
    """The verdict of the rule on an arm that has shards by construction."""

    arm: str
    effect: Interval
    """That arm less the baseline, in the unit of the prediction's metric."""
    verdict: Verdict
    p_value: float
    """Two-sided p of the claim, not adjusted for other predictions."""
    detected: bool
    """Whether the verdict is `shard`."""
    sentence: str


@fields.record(float64=True)
class Asked:
    """When the question of a row of results was asked."""

    when: Literal["before training", "afterwards", "not recorded"]
    """`afterwards`: it was added, or something that judges it was changed, after the
    training had started. `not recorded`: the run folder does not say."""
    changes: tuple[str, ...] = ()
    """What was added or changed: a dotted field each, with its old and new value."""


NOT_RECORDED = Asked("not recorded")


@fields.record(float64=True)
class Claim:
    """What the seeds say best, before p is adjusted for other predictions."""

    verdict: Verdict
    p_value: float
    """Two-sided p of the claim, not adjusted for other predictions; where looks are
    planned, in units of what this look spends."""


@fields.record(float64=True)
class Look:
    """Which look at the run its verdicts are, and what they may claim."""

    number: int = 1
    """1: no verdicts of this run had been seen before."""
    protected: bool = True
    """Whether all looks together make a false claim at most as often as one look at the
    full level: this one is the first, or `looks` of the config had planned them."""
    alpha: float = 0.05
    """The level of this look; the full one if it is not protected."""


FIRST_LOOK = Look()


@fields.record(kw_only=True, float64=True)
class PredictionResult:
    """One prediction: the question, the measurements and the verdict of its rule."""

    question: str
    expected: rules.Expected
    measure: measures.Measure
    metric: str
    """What the measure measures, in words."""
    unit: str
    """Unit of the metric, the effect, the margin and all values."""
    formula: str
    """The metric as a formula, with its symbols in words."""
    rule: rules.Rule
    values: dict[str, records.SeedNumbers]
    """Row -> [N], the metric of each seed. A row is an arm, or `ARM/ROW`: a reference
    that the measure gives too. The arm `exact` is V* and has one number."""
    means: dict[str, Interval]
    """Row -> mean of its values over the judged seeds."""
    details: tuple[measures.Detail, ...]
    """Further numbers, each a mean over all seeds with its own name and unit."""
    effect: Interval
    """The arm less its baseline, seed by seed, in `effect_unit`."""
    verdict: Verdict
    p_value: float
    """Two-sided p of the claim, adjusted for all predictions of the run (Holm) and for
    its planned looks: it is compared with the full level."""
    reason: str
    controls: tuple[ControlResult, ...]
    is_valid: bool
    """Whether every control passed and all compared arms reached their goals."""
    arms_below_min_return: tuple[str, ...]
    """Compared arms that did not reach their minimum return."""
    sensitivity: SensitivityResult | None
    """None if the rule has no positive control."""
    judged_seeds: tuple[int, ...] | None
    """The seeds that `seeds_where` of the rule selects; None: all seeds."""
    asked: Asked = NOT_RECORDED
    """Whether the question was fixed before training."""
    claim: Claim | None = None
    """The claim before its p was adjusted; a study adjusts it for all of its cells.
    None in results of earlier versions."""
    arms_above_max_value_error: tuple[str, ...] = ()
    """Compared arms whose V is further from V* than the goal allows."""
    margin: records.Number = None
    """The margin, in the unit of the effect; None: that of the rule."""
    margin_of_planted: records.Number = None
    """The margin as a share of the effect of the positive control; None without one."""
    about: str = "V"
    """What the effect is about: V itself, the bid of an action, the return, or the tool
    by which agents are asked."""
    beside: dict[str, Interval] = dataclasses.field(default_factory=dict)
    """The same contrast of what V does, e.g. of the bid and the return, in `unit`."""
    against: dict[str, Interval] = dataclasses.field(default_factory=dict)
    """The arm less each further arm of `beats`, in the unit of the effect."""
    num_levels: int = 0
    """L, levels that intervals and tests resample together with the seeds; 0: they are
    over seeds alone."""
    look: Look = FIRST_LOOK

    @fields.rule("values", "means", "rule")
    def _rows(self) -> Iterator[str]:
        for field, rows in (("values", self.values), ("means", self.means)):
            for arm in (self.rule.contrast.arm, self.rule.contrast.baseline):
                if arm not in rows:
                    yield f"{field}: got none of {arm!r}; allowed: the contrasted arms"
        if self.values.keys() != self.means.keys():
            yield "means: got other rows than values; allowed: the same"

    @fields.rule("values", "judged_seeds")
    def _seeds(self) -> Iterator[str]:
        lengths = {len(row) for row in self.values.values()}
        if 0 in lengths or len(lengths - {1}) > 1:
            yield f"values: got rows of {sorted(lengths)} seeds; allowed: of all seeds"
        elif lengths and not {*(self.judged_seeds or ())} <= {*range(max(lengths))}:
            yield f"judged_seeds: got {self.judged_seeds}; allowed: seeds of the values"

    @property
    def size_of_margin(self) -> float | None:
        """The margin in the unit of the effect; None if nothing is planted."""
        return self.rule.margin if self.margin is None else self.margin

    @property
    def effect_unit(self) -> str:
        """Unit of the effect and the margin."""
        shares = isinstance(self.rule.estimand, rules.ShareOfSeeds)
        return "share of seeds" if shares else self.unit

    @property
    def num_seeds(self) -> int:
        """N, all seeds, judged or not."""
        return max(map(len, self.values.values()))

    @property
    def probability_of_improvement(self) -> Interval | None:
        """How often a judged seed of the arm exceeds one of its baseline; None if a
        seed has no number, or one of both is V*, which has no seeds."""
        pair = self.rule.contrast
        rows = [self.values[row] for row in (pair.arm, pair.baseline)]
        seeds = (
            range(self.num_seeds) if self.judged_seeds is None else self.judged_seeds
        )
        if any(len(row) < self.num_seeds for row in rows) or not seeds:
            return None
        arm, baseline = ([row[n] for n in seeds] for row in rows)
        if None in arm or None in baseline:
            return None
        return interval(aggregates.probability_of_improvement(arm, baseline))


@fields.record(float64=True)
class EnergyResult:
    """Whether two architectures differ more than two seeds of one do."""

    arm: str
    baseline: str
    distance: records.Number
    """Energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'|: of V in units of mean V*
    (of the return, where states cannot be listed), of the policy in probabilities,
    Euclidean over states."""
    ratio: records.Number
    """Mean distance of two seeds of different arms, divided by that of two seeds of one
    arm; 1 is no difference."""
    p_value: records.Number
    """p of a permutation test that swaps the two arms within seeds."""
    num_seeds: int


@fields.record(float64=True)
class OmnibusResult:
    """Energy distances over the reachable states of the evaluation, pair by pair.

    In worlds whose states cannot be listed, over the starts of the levels.
    """

    value: tuple[EnergyResult, ...]
    policy: tuple[EnergyResult, ...]
    asked: Asked = NOT_RECORDED
    """Whether the pairs and conditions were fixed before training."""


@fields.record(float64=True)
class CurveResult:
    """Learning curves of one arm: one row for each of T snapshots."""

    update: tuple[int, ...]
    """[T], updates before the snapshot, counted from the start of the run."""
    return_fraction: tuple[records.SeedNumbers, ...]
    """[T, N], exact expected return as a fraction of the exact optimal return."""
    value_error: tuple[records.SeedNumbers, ...]
    """[T, N], root mean square of V - V*, in sd of V*."""
    shards_in_use: tuple[records.SeedNumbers, ...]
    """[T, N], exp(entropy of the mean gates), 1 to K shards."""

    @fields.rule("update", "return_fraction", "value_error", "shards_in_use")
    def _snapshots(self) -> Iterator[str]:
        for name in ("return_fraction", "value_error", "shards_in_use"):
            rows = getattr(self, name)
            if len(rows) != len(self.update) or len({len(row) for row in rows}) > 1:
                yield f"{name}: got {len(rows)} rows; allowed: [T, N]"


@fields.record(float64=True)
class EffectCurve:
    """The effect of a prediction, and how far V is from V*, at each of T snapshots."""

    update: tuple[int, ...]
    """[T], updates before the snapshot, counted from the start of the run."""
    effect: tuple[Interval, ...]
    """[T], the arm less its baseline, as a mean over the judged seeds with an interval
    over them; levels are those of the battery."""
    value_error: tuple[records.Number, ...]
    """[T], error of V of the arm and its baseline, the larger mean over seeds, in sd of
    V*."""

    @fields.rule("update", "effect", "value_error")
    def _snapshots(self) -> Iterator[str]:
        if not len(self.update) == len(self.effect) == len(self.value_error):
            yield f"effect: got {len(self.effect)}; allowed: one for each update"


@fields.record(kw_only=True, float64=True)
class RunResult:
    """All results of a run of an experiment."""

    kind: Literal["experiment"] = "experiment"
    name: str
    question: str
    answer: str
    """The answer to the question in a sentence, put together from the verdicts."""
    digest: str
    """Digest of the config."""
    env: World
    num_seeds: int
    data: str
    """`train.data` of the config: whose data the arms learn from."""
    min_return: float | None
    """Fraction of the exact optimal return that a trained arm should reach; None: any,
    as in worlds whose states cannot be listed."""
    min_return_phase: str | None
    """The phase at whose end it should; None: the last one."""
    max_value_error: float | None = None
    """Error of V, in sd of V*, that a trained arm should have at most; None: any."""
    phase_ends: dict[str, int]
    """Phase -> updates at its end, counted from the start of the run."""
    acting: ActingResult
    arms: dict[str, ArmResult]
    predictions: dict[str, PredictionResult]
    removed_questions: tuple[str, ...] = ()
    """Predictions that were asked before training and are not judged any more."""
    all_valid: bool
    """Whether every prediction is valid; no claim stands for one that is not."""
    omnibus: OmnibusResult
    curves: dict[str, CurveResult]
    """Arm -> its learning curves; none where states cannot be listed."""
    effect_curves: dict[str, EffectCurve] = dataclasses.field(default_factory=dict)
    """Prediction -> its effect over training; none for those that compare phases."""

    @property
    def is_exact(self) -> bool:
        """Whether states of the world are listed, so that exact values are known."""
        return not dynamic_programming.why_not_enumerable(self.env)


Result: TypeAlias = RunResult | TrainingResult


def read(folder: Path) -> Result:
    """The results of a run folder.

    Raises:
      RunError: the run is not finished, or results.json is damaged; the text names the
        field.
    """
    path = folder / FILE
    if (folder / run_layout.CONFIG_FILE).is_file() and not path.exists():
        raise run_files.RunError(
            f"{folder}: got a run without {FILE}, which is not finished; allowed: a "
            "finished one (shardsim resume goes on with it)"
        )
    data = run_files.read_json(path)
    kind = data.get("kind") if isinstance(data, dict) else None
    if kind == "training":
        return records.build(path, TrainingResult, data)
    if kind == "experiment":
        return records.build(path, RunResult, data)
    if kind == "study":
        raise run_files.RunError(
            f"{folder}: got a study; allowed: a run, such as those in "
            f"{folder / run_layout.CELLS}"
        )
    raise run_files.RunError(
        f"{path}: kind: got {kind!r}; allowed: experiment, training"
    )


def read_run(folder: Path) -> RunResult:
    """The results of a run of an experiment.

    Raises:
      RunError: as `read`, or the run is a training, which has no verdicts.
    """
    result = read(folder)
    if isinstance(result, TrainingResult):
        raise run_files.RunError(
            f"{folder}: trained but not judged; allowed: a run of `shardsim run`"
        )
    return result
