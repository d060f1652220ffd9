"""Every chart of the report, the explorer page, notebooks and exports.

A chart is a function that returns an `altair.Chart`: a Vega-Lite specification with
or without its rows. Colours are names ("var(--ink)") until a chart is drawn: the page
resolves them by CSS, so that its charts follow the page's light or dark scheme, and
`render` puts a palette of `theme` in their place.

    from shardsim.reports.charts import render, verdicts
    render.save(verdicts.effects({"": rows}), Path("verdicts.pdf"))
"""
