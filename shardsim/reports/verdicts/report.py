"""report.html: one offline page with the verdicts and what they rest on.

Everything on it comes from the files of the run folder, so that a page can be written
anew years later; the same files give the same bytes.
"""

import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shardsim.reports.verdicts import boards, figures, html, sections
from shardsim.storage import run_folder

ABOVE = ("verdicts", "curves", "seeds")
"""Figures that stand beside a table; the others are maps."""

CAPTIONS = {
    "verdicts": "Effects with 95 % intervals, each in units of its margin. Grey band: "
    "no difference that counts. Grey dot: a control did not come out as it "
    "must, or an arm missed the goal. Diamond: the same contrast with shards that were "
    "made by hand in the place of the learned ones.",
    "curves": "Mean over seeds, and the range of all seeds. Dotted: the goal. Parts in "
    "use, where V has parts: a line a seed (exponential of the entropy of its mean "
    "gates).",
    "seeds": "A dot a seed, a line the 95 % interval of the mean; what the number is "
    "stands under each prediction. Crosses: seeds that are not judged there.",
    "values": "V (colour) and the mean move of the policy (arrows) where the agent may "
    "stand, first seed; V* and its policy above. S is the start.",
    "parts": "Parts of {arm}: gate, and contribution to V (gate x part), first seed.",
}


def write(folder: Path) -> Path:
    """Draw the figures and write the page of a run that has its results.

    Raises:
      RunError: a file is missing or torn.
    """
    results = run_folder.read_json(folder / "results.json")
    drawn = _figures(folder, results)
    for name, text in drawn.items():
        run_folder.write_text(folder / "figures" / f"{name}.svg", text)
    page = _page(
        results,
        drawn,
        (folder / run_folder.CONFIG_FILE).read_text(),
        run_folder.read_json(folder / "provenance.json"),
    )
    run_folder.write_text(folder / "report.html", page)
    return folder / "report.html"


def _figures(folder: Path, results: Mapping[str, Any]) -> dict[str, str]:
    """SVG by name, in the order of the page."""
    levels = run_folder.read_json(folder / "maps.json")
    maps = run_folder.read_arrays(folder / "maps.npz")
    arms = list(results["arms"])
    drawn = {}
    if results["predictions"]:
        drawn["verdicts"] = figures.forest({"": results["predictions"]})
        drawn["seeds"] = figures.seeds(results["predictions"], arms)
    drawn["curves"] = figures.curves(
        results["curves"], results["goal"], results.get("phases", {})
    )
    drawn["values"] = boards.values(maps, levels, arms)
    for arm in arms:
        if maps[f"{arm}/{levels[0]['place']}/gates"].shape[-1] > 1:
            drawn[f"parts-{arm}"] = boards.shards(maps, levels, arm)
    return drawn


def _page(
    results: Mapping[str, Any],
    drawn: Mapping[str, str],
    config: str,
    provenance: Mapping[str, Any],
) -> str:
    style = importlib.resources.files("shardsim.reports.verdicts") / "style.css"
    title = html.text(f"{results['name']}: {results['question']}")
    origin = sections.origin(results, config, provenance)
    body = [
        f'<p class="name">shardsim / {html.text(results["name"])}</p>',
        f"<h1>{html.text(results['question'])}</h1>",
        sections.alarm(results),
        f'<p class="answer">{html.text(results["answer"])}</p>',
        sections.verdicts(results),
        _figure(drawn, "verdicts"),
        sections.omnibus(results),
        sections.arms(results),
        _figure(drawn, "curves"),
        sections.details(results),
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
