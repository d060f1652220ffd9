"""Every chart of the report, the explorer page, notebooks and exports.

A chart is a function that returns an `altair.Chart`: a Vega-Lite specification, whose
rows are in it or are filled in by the page. Colours are names ("var(--ink)") until a
chart is drawn: the page resolves them by CSS, so that its charts follow its light or
dark scheme, and `render` puts the colours of `theme` in their place.

    from shardsim.evaluation import results
    from shardsim.reports.charts import render, verdicts

    result = results.read_run(Path("runs/quickstart"))
    render.save(verdicts.effects({"": result.predictions}), Path("verdicts.pdf"))

In a notebook `render.displayable(chart)` shows the same.
"""
