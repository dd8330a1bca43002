"""Which channel of an edited route is which: each keeps the number under which it was told."""

import pytest

from heliograph.alert.config import channel_numbers
from heliograph.alert.config.channel_numbers import Numbered


def channel(url, kind="webhook", **more):
    return {"type": kind, "config": {"url": url, **more}}


A, B, C = (channel(f"http://{name}") for name in "abc")
ROBOT = channel("http://r", "wecom")

EDITS = [
    # before, its numbers, after, expected
    ([A], [0], [A], [0]),
    ([A], [0], [B, A], [1, 0]),
    ([A], [0], [B], [1]),
    ([A, B], [0, 1], [B], [1]),
    ([B], [1], [C, B], [2, 1]),
    ([A, B], [0, 1], [B, A], [1, 0]),
    # Two to the same place are two.
    ([A, A], [0, 1], [A], [0]),
    ([A], [0], [A, A], [0, 1]),
    # It still goes there, in another manner; the very same one goes first.
    ([A], [0], [channel("http://a", send_resolved=False)], [0]),
    ([A], [0], [channel("http://a", send_resolved=False), A], [1, 0]),
    # Each kind by itself, by whichever of its names.
    ([A, ROBOT], [0, 0], [channel("http://r", "wechat"), A, channel("http://s", "wecom")], [0, 0, 1]),
]  # fmt: skip


@pytest.mark.parametrize(("before", "numbers", "after", "expected"), EDITS)
def test_a_channel_keeps_its_number(before, numbers, after, expected):
    known = Numbered({"channels": before}, numbers)
    assert channel_numbers.of({"channels": after}, known) == expected


@pytest.mark.parametrize(
    ("channels", "expected"),
    [([A, B], [0, 1]), ([A, ROBOT, B], [0, 0, 1]), ([], []), ("none", []), ([1, A], [0, 0])],
)
def test_of_a_new_route_they_are_places(channels, expected):
    assert channel_numbers.first({"channels": channels}) == expected
