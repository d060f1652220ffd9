"""The public interface in Python: what `import shardsim` offers.

Its parts need JAX, and a process that has not imported it yet is settled first, as that
of a command is. What installed packages add is there from the start.
"""

import warnings

from shardsim.api import session

session.settle()

from shardsim.core import extensions  # noqa: E402

for _problem in extensions.load_installed():
    warnings.warn(_problem, stacklevel=2)
