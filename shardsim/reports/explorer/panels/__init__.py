"""The panels of the page, in order. A new one is a file here, a script, an entry."""

from shardsim.reports.charts import concepts as concept_charts
from shardsim.reports.charts import curves as curve_charts
from shardsim.reports.charts import retargeting as retargeting_charts
from shardsim.reports.charts import shards as shard_charts
from shardsim.reports.charts import tails as tail_charts
from shardsim.reports.charts import truth as truth_charts
from shardsim.reports.charts import weights as weight_charts
from shardsim.reports.explorer.panels import (
    clusters,
    concepts,
    context_gradients,
    curves,
    distillation,
    episodes,
    extensions,
    interventions,
    reachability,
    reflection,
    retargeting,
    shapley,
    shards,
    tails,
    truth,
    weights,
)
from shardsim.reports.explorer.panels.base import Panel

PANELS = (
    Panel("reachability", reachability.compute, in_quick=True, of_outputs=True),
    Panel("episodes", episodes.compute, in_quick=True, of_outputs=True),
    Panel(
        "shards",
        shards.compute,
        in_quick=True,
        of_outputs=True,
        charts={"shards": shard_charts.effects},
    ),
    Panel("distillation", distillation.compute),
    Panel("clusters", clusters.compute, in_background=True),
    Panel("context_gradients", context_gradients.compute, in_background=True),
    Panel("reflection", reflection.compute, in_background=True),
    Panel("shapley", shapley.compute),
    Panel("interventions", interventions.compute, in_background=True),
    Panel(
        "retargeting",
        retargeting.compute,
        in_background=True,
        charts={"retargeting": retargeting_charts.reach},
    ),
    Panel(
        "concepts",
        concepts.compute,
        in_background=True,
        charts={
            "concepts.agreement": concept_charts.agreement,
            "concepts.by_seed": concept_charts.by_seed,
            "concepts.convergence": concept_charts.convergence,
        },
    ),
    Panel(
        "weights",
        weights.compute,
        in_background=True,
        charts={"weights": weight_charts.spectrum},
    ),
    Panel(
        "truth",
        truth.compute,
        in_background=True,
        charts={"truth": truth_charts.restarts},
    ),
    Panel(
        "tails",
        tails.compute,
        of_outputs=True,
        charts={
            "tails.density": tail_charts.density,
            "tails.log_density": tail_charts.log_density,
            "tails.quantiles": tail_charts.quantiles,
        },
    ),
    Panel("extensions", extensions.compute, in_quick=True, of_outputs=True),
    Panel(
        "curves",
        curves.compute,
        in_quick=True,
        of_outputs=True,
        charts={"curves": curve_charts.metric},
    ),
)
