"""Numbers as text, for pages and tables. A missing number is a dash."""

from collections.abc import Mapping
from typing import Any

DASH = "-"


def is_missing(x: float | None) -> bool:
    """Whether there is no number: None or NaN."""
    return bool(x is None or x != x)


def signed(x: float | None) -> str:
    """With a sign and three decimals."""
    return DASH if is_missing(x) else f"{x:+.3f}"


def digits(x: float | None) -> str:
    """With three significant digits."""
    return DASH if is_missing(x) else f"{x:.3g}"


def padded(x: float | None) -> str:
    """With three significant digits, zeros at the end too."""
    return DASH if is_missing(x) else f"{x:#.3g}".rstrip(".")


def percent(x: float | None) -> str:
    """To a tenth of a per cent."""
    return DASH if is_missing(x) else f"{x:.1%}"


def interval(result: Any, show: str = "padded") -> str:
    """An estimate with its interval, where it has one.

    Args:
      result: a record with `estimate`, `low` and `high`, or None.
      show: name of another function of this module.
    """
    if result is None:
        return DASH
    text = {"padded": padded, "signed": signed, "percent": percent}[show]
    if is_missing(result.low) or result.low == result.high:
        return text(result.estimate)
    return f"{text(result.estimate)} [{text(result.low)}, {text(result.high)}]"


def nested(value: Any) -> str:
    """Numbers in lists and mappings, in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {nested(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(nested, value))
    return digits(value) if isinstance(value, float | None) else str(value)
