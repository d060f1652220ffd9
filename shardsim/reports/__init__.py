"""The pages that people read: report.html and the explorer."""

from shardsim.core import docstrings

docstrings.keep("altair")
