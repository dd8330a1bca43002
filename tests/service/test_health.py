"""What `/readyz` says of the state and of records."""

from collections import Counter
from types import SimpleNamespace

import pytest

from heliograph.service import health


@pytest.mark.parametrize(
    ("damaged", "failing", "mended", "said"),
    [
        (False, None, None, []),
        (False, None, "set aside", [("state", "warn", "set aside")]),
        # Others would not reach it either, and logs are taken still.
        (False, "no answer", "set aside", [("state", "warn", "no answer")]),
        (True, "no answer", None, [("state", "bad", "damage was seen in it")]),
    ],
)
def test_the_state_is_told_of_when_something_is_wrong(damaged, failing, mended, said):
    state = SimpleNamespace(damaged=damaged, failing=failing, mended=mended)
    found = [(one.name, one.state, one.text.split(":")[0]) for one in health._state(state)]
    assert found == said


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"days_expired": 3}, []),
        (
            {"days_corrupt": 2},
            [("records", "warn", "2 damaged days set aside since the start")],
        ),
    ],
)
def test_damaged_days_are_told_of(counts, said):
    found = health._records(SimpleNamespace(counts=Counter(counts)))
    assert [(one.name, one.state, one.text) for one in found] == said
