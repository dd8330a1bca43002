"""What is said of readings, and once only; the rules of each condition at its bounds."""

import pytest

from heliograph.core.errors import ConfigError
from heliograph.projection.memory_alerts import LEAK_STEPS, Thresholds, Watch
from heliograph.projection.memory_devices import Reading

MIB = 1 << 20


def said(watch, readings, every_s=1.0):
    """(place, event type, alert) of everything that is said."""
    return [
        (place, notice.event_type, notice.alert)
        for place, reading in enumerate(readings)
        for notice in watch.look(reading, place * every_s)
    ]


def full(percent):
    return Reading(1, 1, used_bytes=percent, free_bytes=100 - percent, total_bytes=100)


@pytest.mark.parametrize(
    ("case", "percents", "expected"),
    [
        ("below", [0, 79], []),
        ("at the first threshold", [79, 80], [(1, "warning")]),
        ("once while it holds", [80, 82, 94, 80], [(0, "warning")]),
        ("swinging around it", [80, 79, 80, 76, 81], [(0, "warning")]),
        ("over, and again", [80, 74, 80], [(0, "warning"), (2, "warning")]),
        ("higher", [80, 95], [(0, "warning"), (1, "critical")]),
        ("straight to the top", [10, 99], [(1, "critical")]),
        ("falling from the top is no news", [99, 85, 80], [(0, "critical")]),
        ("up again after falling", [99, 85, 96], [(0, "critical"), (2, "critical")]),
    ],
)
def test_a_device_that_fills(case, percents, expected):
    found = said(Watch(Thresholds()), [full(percent) for percent in percents])

    assert [(place, kind) for place, kind, _ in found] == expected, case
    assert {alert for _, _, alert in found} <= {"device_memory"}


def test_a_notice_says_what_it_was_judged_by():
    (notice,) = Watch(Thresholds()).look(full(97), 0)

    assert notice.text == "memory 97% full: 97 B of 100 B"
    assert notice.values == {"ratio": 0.97, "threshold": 0.95}


def test_a_device_of_unknown_size_is_never_full():
    assert said(Watch(Thresholds()), [Reading(5, 5, used_bytes=5)]) == []


def test_a_jump_is_told_unless_it_is_the_model_being_loaded():
    sizes = [0, 900, 1000, 1101, 1101, 1000, 1100]

    found = said(Watch(Thresholds()), [Reading(size * MIB, size * MIB) for size in sizes])

    assert found == [(3, "warning", "allocation_jump")]


def test_fragmentation_is_told_once_until_it_is_over():
    def pieces(allocated):
        return Reading(allocated * MIB, 1000 * MIB)

    found = said(
        Watch(Thresholds(jump_bytes=10**12)), [*map(pieces, (701, 699, 690, 730, 760, 699))]
    )

    assert found == [(1, "warning", "fragmentation"), (5, "warning", "fragmentation")]


def test_small_pieces_are_not_worth_a_word():
    assert said(Watch(Thresholds()), [Reading(1 * MIB, 200 * MIB)]) == []


def leaking(steps, growth, *, base=1000, saw=0, per_step=10):
    """Allocated memory that is *growth* MiB higher each stretch, and swings by *saw* within."""
    return [
        Reading((base + step * growth + (saw if turn % 2 else 0)) * MIB)
        for step in range(steps)
        for turn in range(per_step)
    ]


@pytest.mark.parametrize(
    ("case", "readings", "times"),
    [
        ("it only ever grows", leaking(LEAK_STEPS + 1, 20), 1),
        ("it grows under a swing", leaking(LEAK_STEPS + 1, 20, saw=90), 1),
        ("it stays", leaking(20, 0, saw=90), 0),
        ("it grows too little", leaking(LEAK_STEPS + 1, 1), 0),
        ("not long enough", leaking(LEAK_STEPS, 50), 0),
        (
            "it goes on, and is told again only after as long",
            leaking(2 * LEAK_STEPS + 1, 40),
            2,
        ),
    ],
)
def test_a_leak(case, readings, times):
    watch = Watch(Thresholds(leak_span_s=10.0 * LEAK_STEPS, jump_bytes=10**12))

    found = said(watch, readings)

    assert [kind for _, _, kind in found] == ["leak"] * times, case


def test_a_pause_breaks_the_chain_of_a_leak():
    watch = Watch(Thresholds(leak_span_s=10.0 * LEAK_STEPS, jump_bytes=10**12))
    first = said(watch, leaking(LEAK_STEPS - 1, 50))

    late = watch.look(Reading(2000 * MIB), 1000.0)

    assert (first, late) == ([], [])


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"warning_ratio": 0}, "warning_ratio"),
        ({"critical_ratio": 1.1}, "critical_ratio"),
        ({"warning_ratio": 0.9, "critical_ratio": 0.8}, "above critical_ratio"),
        ({"fragmentation_ratio": float("nan")}, "fragmentation_ratio"),
        ({"leak_span_s": 0}, "leak_span_s"),
    ],
)
def test_thresholds_that_cannot_be_meant(given, word):
    with pytest.raises(ConfigError, match=word):
        Watch(Thresholds(**given))
