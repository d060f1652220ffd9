"""HTML from Jinja2 templates: whatever text comes from a file is escaped."""

import functools

import jinja2
import markupsafe

from shardsim.reports import numbers
from shardsim.reports.charts import theme


@functools.cache
def environment(package: str) -> jinja2.Environment:
    """The templates in the folder `assets` of a package."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    formats = (
        numbers.signed,
        numbers.digits,
        numbers.percent,
        numbers.interval,
        numbers.nested,
    )
    templates.filters |= {one.__name__: one for one in formats}
    templates.filters["words"] = lambda name: str(name).replace("_", " ")
    templates.globals["variables"] = theme.variables
    templates.globals["asset"] = functools.partial(_asset, templates)
    return templates


def _asset(templates: jinja2.Environment, name: str) -> markupsafe.Markup:
    """A style sheet or script of the package, as it is."""
    assert templates.loader is not None
    return markupsafe.Markup(templates.loader.get_source(templates, name)[0])
