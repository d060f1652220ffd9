"""What a test registers is gone after it."""

import pytest

from shardsim.core import choices, fields


@pytest.fixture
def no_extensions():
    yield
    for group in choices.GROUPS:
        choices._added[group] = []
    fields.rebuild()
