"""The interactive page of a run, shown inline in a notebook."""

import dataclasses
import html
from pathlib import Path

from shardsim.api import session
from shardsim.commands import progress
from shardsim.reports.explorer import make, wrapped


@dataclasses.dataclass(frozen=True, eq=False)
class Page:
    """A page that was written. In a notebook it shows itself.

    Examples:
      >>> page = shardsim.load(folder).inspect(quick=True)
      >>> page.path.suffix, page.results.name
      ('.html', 'page.results.json')
    """

    path: Path
    """One HTML file that needs no network."""
    results: Path
    """Its numbers, as JSON."""
    temporary: session.TemporaryFolder | None = dataclasses.field(
        default=None, repr=False
    )
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
    place, temporary = _place(out)
    with progress.lines(), session.keywords_for_options():
        made = make.inspect(
            [folder],
            place,
            arms=list(arms) if arms else None,
            mazes=mazes,
            checkpoints=checkpoints,
            quick=quick,
            overwrite=overwrite,
        )
    return Page(made.page, made.results, temporary)


def write_agent(
    agent: wrapped.Wrapped,
    out: str | Path | None,
    mazes: int,
    quick: bool,
    overwrite: bool,
) -> Page:
    """Write the page of an agent of somebody else. Args: as `Run.inspect`."""
    place, temporary = _place(out)
    with progress.lines(), session.keywords_for_options():
        made = make.inspect_agent(
            agent, place, mazes=mazes, quick=quick, overwrite=overwrite
        )
    return Page(made.page, made.results, temporary)


def _place(out: str | Path | None) -> tuple[Path, session.TemporaryFolder | None]:
    """The file of a page, and the folder that goes with the page if it is in one."""
    if out is not None:
        return Path(out), None
    temporary = session.TemporaryFolder()
    return temporary.path / "page.html", temporary
