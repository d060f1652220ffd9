"""report.html: one offline page with the verdicts and what they rest on.

Everything on it comes from the files of the run folder, so that a page can be written
again years later; the same files give the same bytes.
"""

from pathlib import Path

from shardsim.core import config_files, files
from shardsim.evaluation import preregistration, results, wording
from shardsim.reports import figures, maps, templates
from shardsim.reports.charts import (
    board_cells,
    boards,
    curves,
    effect_curves,
    verdicts,
)
from shardsim.reports.verdicts import sections
from shardsim.storage import records, run_files, run_layout
from shardsim.storage.provenance import Provenance

CAPTIONS = {
    "verdicts": "Effects with 95 % intervals, in units of their margins. Grey band: "
    "smaller than the margin. Grey dot: no claim, because a control failed or an arm "
    "did not reach the minimum return. Diamond: the same contrast for {planted}.",
    "effects": "Each effect over training, a dot for each checkpoint, against how far "
    "V was from V* then (the larger error of the two arms): training leads from left "
    "to right. 95 % intervals over seeds; grey band: smaller than the margin; up: "
    "{side}. Dotted: the largest error at which a claim stands.",
    "curves": "Mean over seeds, and the range of all seeds. Dotted: the minimum "
    "return, and the largest error of V at which a claim stands. Shards in use: "
    "effective number, exp(entropy of the mean gates); one line per seed, for arms "
    "with shards.",
    "seeds": "One dot per seed; bar: 95 % interval of the mean. Each prediction above "
    "names its metric and unit. Crosses: seeds that the rule leaves out.",
    "values": "V (colour) and the mean move of the policy (arrows) where the agent can "
    "be; first seed. V*: the exact value, and its policy. On the boards, {symbols}.",
    "shards": "Shards of {arm}: gate, and contribution to V (gate times value); first "
    "seed.",
}


def write(folder: Path) -> Path:
    """Draw the figures of a run and write its page.

    Raises:
      RunError: a file is missing or damaged.
    """
    result = results.read_run(folder)
    # without a list of states there are no maps
    levels = maps.read(folder) if result.is_exact else ()
    drawn = draw(result, levels)
    for name, figure in drawn.items():
        run_files.write_text(folder / "figures" / f"{name}.svg", figure.file)
    page = templates.environment("shardsim.reports.verdicts").get_template(
        "report.html"
    )
    config_file = folder / run_layout.CONFIG_FILE
    text = page.render(
        result=result,
        levels=config_files.read_yaml(config_file)["evaluation"]["levels"],
        figures=drawn,
        sections=sections,
        wording=wording,
        phrases=wording.phrases(result.predictions.values()),
        asked=sections.asked(result, preregistration.read(folder)),
        config=files.read_text(config_file),
        provenance=records.read(folder / "provenance.json", Provenance),
    )
    run_files.write_text(folder / "report.html", text)
    return folder / "report.html"


def draw(
    result: results.RunResult, levels: tuple[maps.LevelMaps, ...]
) -> dict[str, figures.Figure]:
    """All figures by name, in the order of the page."""
    arms = list(result.arms)
    phrases = wording.phrases(result.predictions.values())
    drawn = {}
    if result.predictions:
        drawn["verdicts"] = figures.draw(
            CAPTIONS["verdicts"].format(planted=phrases.planted),
            lambda width: verdicts.effects({"": result.predictions}, width=width),
        )
        drawn["seeds"] = figures.draw(
            CAPTIONS["seeds"],
            lambda width: verdicts.seeds(result.predictions, arms, width),
        )
    if result.curves:
        drawn["curves"] = figures.draw(
            CAPTIONS["curves"],
            lambda width: curves.training(
                result.curves,
                result.min_return,
                result.phase_ends,
                width,
                result.max_value_error,
            ),
        )
    effects = {n: c for n, c in result.effect_curves.items() if n in result.predictions}
    if effects:
        drawn["effects"] = figures.draw(
            CAPTIONS["effects"].format(side=phrases.side),
            lambda width: effect_curves.effects(
                effects, result.predictions, result.max_value_error, width
            ),
        )
    if not levels:
        return drawn
    drawn["values"] = figures.draw(
        CAPTIONS["values"].format(symbols=_symbols(levels)),
        lambda width: boards.values(levels, arms, width, width == figures.WIDE),
    )
    for arm in arms:
        if levels[0].arms[arm].gates.shape[-1] > 1:
            drawn[f"shards-{arm}"] = _shards(levels, arm)
    return drawn


def _shards(levels: tuple[maps.LevelMaps, ...], arm: str) -> figures.Figure:
    """The boards of shards: their images have colours of their own in each scheme."""

    return figures.draw_by_scheme(
        CAPTIONS["shards"].format(arm=arm),
        lambda width, scheme: boards.shards(
            levels, arm, scheme, width, width == figures.NARROW
        ),
    )


def _symbols(levels: tuple[maps.LevelMaps, ...]) -> str:
    """What the symbols on the boards mean."""
    pairs = board_cells.symbols(levels).items()
    return ", ".join(f"{symbol}: {name}" for name, symbol in pairs)
