"""What all checks share: one line about the law that is broken."""

from typing import Any

import numpy as np


def hold(what: str, law: str, holds: Any) -> None:
    """Check a law.

    Args:
      what: the extension, as it calls itself.
      law: in words.

    Raises:
      AssertionError: it does not hold.
    """
    if not bool(np.all(holds)):
        raise AssertionError(f"{what}: {law}")


def has(what: str, thing: Any, *names: str) -> None:
    """Check that something has the members that are used of it; Raises: as `hold`."""
    for name in names:
        hold(what, f"has no `{name}`", hasattr(thing, name))


def close(what: str, law: str, one: Any, other: Any, tolerance: float = 1e-4) -> None:
    """Check that two arrays are as good as equal; Raises: as `hold`."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    same = one.shape == other.shape and np.allclose(
        one, other, rtol=tolerance, atol=tolerance, equal_nan=True
    )
    hold(what, law, same)


def frozen(what: str, config: Any) -> None:
    """Check that a config is a value: a `kind`, hashable, not to be changed."""
    hold(what, "has no text `kind`", isinstance(getattr(config, "kind", None), str))
    try:
        hash(config)
    except TypeError:
        raise AssertionError(f"{what}: cannot be hashed; is it frozen?") from None
    try:
        config.kind = config.kind
    except AttributeError:
        return
    raise AssertionError(f"{what}: can be changed; allowed: a frozen record")
