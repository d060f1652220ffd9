"""The interactive page of a run, shown inline in a notebook."""

import dataclasses
import html
from pathlib import Path

from shardsim.api import session
from shardsim.commands import progress
from shardsim.reports.explorer import make


@dataclasses.dataclass(frozen=True, eq=False)
class Page:
    """A page that was written. In a notebook it shows itself.

    Example:
      >>> page = shardsim.load(folder).inspect(quick=True)
      >>> page.path.suffix, page.results.name
      ('.html', 'page.results.json')
    """

    path: Path
    """One HTML file that needs no network."""
    results: Path
    """Its numbers, as JSON."""
    temporary: session.TemporaryFolder | None = None
    """The folder that both lie in, if it goes with this object."""

    def _repr_html_(self) -> str:
        """The page in a frame of its own, whose scripts reach nothing outside."""
        text = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        return (
            '<iframe sandbox="allow-scripts allow-downloads" width="100%" '
            f'height="900" style="border: 0" srcdoc="{text}"></iframe>'
        )


def write(
    folder: Path,
    out: str | Path | None,
    arms: tuple[str, ...] | None,
    mazes: int,
    checkpoints: int | None,
    quick: bool,
    overwrite: bool,
) -> Page:
    """Write the page of a run folder. Args: as `Run.inspect`."""
    temporary = None
    if out is None:
        temporary = session.TemporaryFolder()
        out = temporary.path / "page.html"
    with progress.lines(), session.keywords_for_options():
        made = make.inspect(
            [folder],
            Path(out),
            arms=list(arms) if arms else None,
            mazes=mazes,
            checkpoints=checkpoints,
            quick=quick,
            overwrite=overwrite,
        )
    return Page(made.page, made.results, temporary)
