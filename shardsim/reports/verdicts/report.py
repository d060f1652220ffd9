"""report.html: one offline page with the verdicts and what they rest on.

Everything on it comes from the files of the run folder, so that a page can be written
anew years later; the same files give the same bytes.
"""

import importlib.resources
from collections.abc import Mapping
from pathlib import Path

from shardsim.evaluation import results
from shardsim.reports.verdicts import boards, figures, html, maps, sections
from shardsim.storage import records, run_folder
from shardsim.storage.provenance import Provenance

ABOVE = ("verdicts", "curves", "seeds")
"""Figures that stand beside a table; the others are maps."""

CAPTIONS = {
    "verdicts": "Effects with 95 % intervals, each in units of its margin. Grey band: "
    "no difference that counts. Grey dot: a control did not come out as it "
    "must, or an arm missed the goal. Diamond: the same contrast with shards that were "
    "made by hand in the place of the learned ones.",
    "curves": "Mean over seeds, and the range of all seeds. Dotted: the goal. Shards "
    "in use, where V has shards: a line a seed (exponential of the entropy of its mean "
    "gates).",
    "seeds": "A dot a seed, a line the 95 % interval of the mean; what the number is "
    "stands under each prediction. Crosses: seeds that are not judged there.",
    "values": "V (colour) and the mean move of the policy (arrows) where the agent may "
    "stand, first seed; V* and its policy above. S is the start.",
    "shards": "Shards of {arm}: gate, and contribution to V (gate x value of the "
    "shard), first seed.",
}


def write(folder: Path) -> Path:
    """Draw the figures and write the page of a run that has its results.

    Raises:
      RunError: a file is missing or torn.
    """
    result = results.read_run(folder)
    drawn = _figures(folder, result)
    for name, text in drawn.items():
        run_folder.write_text(folder / "figures" / f"{name}.svg", text)
    page = _page(
        result,
        drawn,
        (folder / run_folder.CONFIG_FILE).read_text(),
        records.read(folder / "provenance.json", Provenance),
    )
    run_folder.write_text(folder / "report.html", page)
    return folder / "report.html"


def _figures(folder: Path, result: results.RunResult) -> dict[str, str]:
    """SVG by name, in the order of the page."""
    levels = maps.read(folder)
    arms = list(result.arms)
    drawn = {}
    if result.predictions:
        drawn["verdicts"] = figures.forest({"": result.predictions})
        drawn["seeds"] = figures.seeds(result.predictions, arms)
    drawn["curves"] = figures.curves(
        result.curves, result.min_return, result.phase_ends
    )
    drawn["values"] = boards.values(levels, arms)
    for arm in arms:
        if levels[0].arms[arm].gates.shape[-1] > 1:
            drawn[f"shards-{arm}"] = boards.shards(levels, arm)
    return drawn


def _page(
    result: results.RunResult,
    drawn: Mapping[str, str],
    config: str,
    provenance: Provenance,
) -> str:
    style = importlib.resources.files("shardsim.reports.verdicts") / "style.css"
    title = html.text(f"{result.name}: {result.question}")
    origin = sections.provenance_of(result, config, provenance)
    body = [
        f'<p class="name">shardsim / {html.text(result.name)}</p>',
        f"<h1>{html.text(result.question)}</h1>",
        sections.alarm(result),
        f'<p class="answer">{html.text(result.answer)}</p>',
        sections.verdicts(result),
        _figure(drawn, "verdicts"),
        sections.omnibus(result),
        sections.arms(result),
        _figure(drawn, "curves"),
        sections.details(result),
        _figure(drawn, "seeds"),
        "<h2>What V and the policy look like</h2>",
        *(_figure(drawn, name) for name in drawn if name not in ABOVE),
        origin,
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{title}</title>\n'
        f"<style>\n{style.read_text()}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def _figure(drawn: Mapping[str, str], name: str) -> str:
    if name not in drawn:
        return ""
    kind, _, arm = name.partition("-")
    return html.figure(drawn[name], CAPTIONS[kind].format(arm=arm))
