"""JSON of what NumPy and JAX count with: the same text as of Python's numbers."""

import dataclasses
import enum
import json

import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.core import json_text


@dataclasses.dataclass(frozen=True)
class Record:
    number: int
    pair: tuple[float, ...]


class Mode(enum.Enum):
    FIRST = "first"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(2**33 + 5), 2**33 + 5),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.int8(-3), -3),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (np.arange(3), [0, 1, 2]),
        (np.array(7), 7),
        (np.array(["a", "b"]), ["a", "b"]),
        (jnp.int32(4), 4),
        (jnp.ones(2, jnp.bfloat16), [1.0, 1.0]),
        (jnp.bfloat16(0.5), 0.5),
        (Record(np.int32(1), (np.float32(2), 3.0)), {"number": 1, "pair": [2.0, 3.0]}),
        ({"a": {np.int64(1): [np.int64(2)]}}, {"a": {"1": [2]}}),
        (Mode.FIRST, "first"),
        ((None, True, "x", 1, 1.5), [None, True, "x", 1, 1.5]),
        (10**30, 10**30),
    ],
)
def test_numbers_of_any_kind_are_written_exactly(value, expected):
    assert json.loads(json_text.dumps(value)) == expected


def test_plain_numbers_are_written_as_before():
    data = {"a": [1, 2.5, None, True], "b": {"c": "é"}}
    assert json_text.dumps(data, indent=1) == json.dumps(data, indent=1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text.dumps([np.float32("nan")], allow_nan=False)


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j, np.array(1j), lambda: 0, int])
def test_what_json_does_not_have_is_refused(value):
    with pytest.raises(TypeError, match="which JSON does not have"):
        json_text.dumps({"a": value})
