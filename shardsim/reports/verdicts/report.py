"""report.html: one offline page with the verdicts and what they rest on.

Everything on it comes from the files of the run folder, so that a page can be written
again years later; the same files give the same bytes.
"""

import base64
import dataclasses
from pathlib import Path

from shardsim.core import files
from shardsim.evaluation import preregistration, results
from shardsim.reports import maps, templates
from shardsim.reports.charts import boards, curves, render, theme, verdicts
from shardsim.reports.verdicts import sections
from shardsim.storage import records, run_folder
from shardsim.storage.provenance import Provenance

CAPTIONS = {
    "verdicts": "Effects with 95 % intervals, in units of their margins. Grey band: "
    "smaller than the margin. Grey dot: no claim, because a control failed or an arm "
    "did not reach the minimum return. Diamond: the same contrast for the arm whose "
    "shards are gated by the true context.",
    "curves": "Mean over seeds, and the range of all seeds. Dotted: the minimum "
    "return. Shards in use: effective number, exp(entropy of the mean gates); one line "
    "per seed, for arms with shards.",
    "seeds": "One dot per seed; bar: 95 % interval of the mean. Each prediction above "
    "names its metric and unit. Crosses: seeds that the rule leaves out.",
    "values": "V (colour) and the mean move of the policy (arrows) where the agent can "
    "be; first seed. Top row: V* and its policy. S is the start.",
    "shards": "Shards of {arm}: gate, and contribution to V (gate times value); first "
    "seed.",
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """A chart of the report as SVG text, for light and dark pages."""

    caption: str
    light: str
    dark: str

    def uri(self, scheme: str) -> str:
        """The chart as a data URI; as an image its names and styles stay its own."""
        data = base64.b64encode(getattr(self, scheme).encode()).decode()
        return f"data:image/svg+xml;base64,{data}"


def write(folder: Path) -> Path:
    """Draw the figures of a run and write its page.

    Raises:
      RunError: a file is missing or damaged.
    """
    result = results.read_run(folder)
    figures = draw(result, maps.read(folder))
    for name, figure in figures.items():
        run_folder.write_text(folder / "figures" / f"{name}.svg", figure.light)
    page = templates.environment("shardsim.reports.verdicts").get_template(
        "report.html"
    )
    text = page.render(
        result=result,
        figures=figures,
        sections=sections,
        asked=sections.asked(result, preregistration.read(folder)),
        config=files.read_text(folder / run_folder.CONFIG_FILE),
        provenance=records.read(folder / "provenance.json", Provenance),
    )
    run_folder.write_text(folder / "report.html", text)
    return folder / "report.html"


def draw(
    result: results.RunResult, levels: tuple[maps.LevelMaps, ...]
) -> dict[str, Figure]:
    """All figures by name, in the order of the page."""
    arms = list(result.arms)
    figures = {}
    if result.predictions:
        figures["verdicts"] = _figure(
            "verdicts", verdicts.effects({"": result.predictions})
        )
        figures["seeds"] = _figure("seeds", verdicts.seeds(result.predictions, arms))
    figures["curves"] = _figure(
        "curves",
        curves.training(result.curves, result.min_return, result.phase_ends),
    )
    figures["values"] = _figure("values", boards.values(levels, arms))
    for arm in arms:
        if levels[0].arms[arm].gates.shape[-1] > 1:
            # the images of cells have colours of their own in each scheme
            light, dark = (
                render.svg(boards.shards(levels, arm, scheme))[scheme]
                for scheme in theme.SCHEMES
            )
            caption = CAPTIONS["shards"].format(arm=arm)
            figures[f"shards-{arm}"] = Figure(caption, light, dark)
    return figures


def _figure(name: str, chart: render.Chart) -> Figure:
    return Figure(CAPTIONS[name], **render.svg(chart))
