"""report.html of a study: one offline page with the verdicts across its axes."""

from pathlib import Path

from shardsim.core import files
from shardsim.evaluation import preregistration, results, study_results, wording
from shardsim.reports import figures, templates
from shardsim.reports.charts import verdicts
from shardsim.reports.verdicts import sections
from shardsim.storage import records, run_files, run_layout
from shardsim.storage.provenance import Provenance

CAPTION = (
    "{label}: effects with 95 % intervals, in units of their margins, one row for each "
    "cell. Grey band: smaller than the margin. Grey dot: no claim, because a control "
    "failed or an arm did not reach the minimum return. Diamond: the same contrast for "
    "{planted}."
)


def write(folder: Path) -> Path:
    """Draw the figures of a study and write its page.

    Raises:
      RunError: a file is missing or damaged.
    """
    result = study_results.read(folder)
    drawn = {label: _effects(label, rows) for label, rows in by_label(result).items()}
    for number, figure in enumerate(drawn.values()):
        run_files.write_text(folder / "figures" / f"effects-{number}.svg", figure.file)
    page = templates.environment("shardsim.reports.verdicts").get_template("study.html")
    text = page.render(
        result=result,
        figures=drawn,
        sections=sections,
        entries=[
            entry
            for cell in result.cells.values()
            for entry in cell.predictions.values()
        ],
        looks=_looks(folder, result),
        cells=run_layout.CELLS,
        config=files.read_text(folder / run_layout.CONFIG_FILE),
        provenance=records.read(folder / "provenance.json", Provenance),
    )
    run_files.write_text(folder / "report.html", text)
    return folder / "report.html"


def _looks(folder: Path, result: study_results.StudyResult) -> list[str]:
    """That seeds were added to cells whose verdicts could be seen, if they were."""
    lines: dict[tuple[int, ...], list[str]] = {}
    for name in result.cells:
        registered = preregistration.read(folder / run_layout.CELLS / name)
        if registered is not None:  # one line for cells that grew together
            seen = tuple(look.num_seeds for look in registered.looks)
            lines.setdefault(seen, sections.looks_of(registered))
    return [line for one in lines.values() for line in one]


def by_label(
    result: study_results.StudyResult,
) -> dict[str, dict[str, results.PredictionResult]]:
    """Prediction -> label of the cell -> its result there."""
    rows: dict[str, dict[str, results.PredictionResult]] = {}
    for cell in result.cells.values():
        for label, entry in cell.predictions.items():
            rows.setdefault(label, {})[cell.label] = entry
    return rows


def _effects(label: str, rows: dict[str, results.PredictionResult]) -> figures.Figure:
    return figures.draw(
        CAPTION.format(label=label, planted=wording.phrases(rows.values()).planted),
        lambda width: verdicts.effects({"": rows}, width=width),
    )
