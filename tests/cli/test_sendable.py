"""What a file or a command line says and JSON cannot carry is named by its place."""

import datetime as dt

import pytest

from heliograph.cli.sendable import unsendable


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"a": [1, 2.5, True, None, "🔥", {"b": {}}]}, None),
        ({"a": {"value": float("inf")}}, "a.value: inf is no number of JSON"),
        ({"a": [0, -float("inf")]}, "a[1]: -inf is no number of JSON"),
        ({"a": float("nan")}, "a: nan is no number of JSON"),
        ({"a": "x\udcff"}, "a: not valid Unicode"),
        ({"a": {"x\ud800": 1}}, "a: not valid Unicode"),
        ({"a": dt.date(2026, 1, 1)}, "a: a date is no value of JSON; write it as text"),
        (float("inf"), "inf is no number of JSON"),
    ],
)
def test_the_first_part_that_cannot_be_sent_is_named(document, said):
    assert unsendable(document) == said
