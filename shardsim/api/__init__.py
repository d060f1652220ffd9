"""The public interface in Python: what `import shardsim` offers.

Its parts need JAX, and a process that has not imported it yet is settled first, as that
of a command is.
"""

from shardsim.api import session

session.settle()
