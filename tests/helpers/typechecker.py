"""beartype as the tests use it: an int is accepted where a float is annotated."""

import beartype

typechecked = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
"""PEP 484 says so: `discount: float` takes 0 and 1."""
