"""How far patterns count: what is written out, whatever is counted."""

import pytest

from heliograph.core.counting import COUNTED_MAX, counted


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("NCCL .*", 0),
        ("out of memory|oom|" + "|".join(f"job-{n}" for n in range(200)), 0),
        (r"\d{4}-\d{2}", 4),
        (r"(\d{1,3}\.){3}\d{1,3}:\d{2,5} x", 27),
        (r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", 31),
        ("(?i)nccl.{0,200}timeout", 399),
        (r"\pL{40}", 39),
        (r"\p{Greek}{40}", 39),
        ("[[:alpha:]]{20}[]a]{20}[^]a]{20}", 57),
        ("é{200}", 199),
        # What stands beside what is counted is not it, nor takes it up.
        (r"step \d+.{0,200}nan", 399),
        (r"\d*.{0,200}x", 399),
        (r"[ab]*[cd]{0,200}", 399),
        (r"\w*\w{0,200}", 0),
        # No counts: escapes and classes.
        (r"a\{30}", 0),
        ("[{30}]", 0),
        (r"\x{100}", 0),
        (r"\x{1F600}{3}", 2),
        (r"^{3}x", 0),
        # Quoted: too many at worst.
        (r"\Qab{20}", 4),
    ],
)
def test_how_far_it_counts(pattern, expected):
    assert counted(pattern) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        ".{0,999}q",
        "(.{1,20}){1,20}end",
        r"(\w{1,30}){1,30}q",
        "(a{0,30}){0,30}",
        "((a{1,10}){1,10}){1,10}z",
        r"\Q[\Ea{502}",
        r"step \d+.{0,300}nan",
        r"\d*.{0,900}x",
        r"q\w+.{0,300}x",
        "[ab]*[cd]{0,999}",
    ],
)
def test_what_counts_too_far_is_refused(pattern):
    with pytest.raises(ValueError, match=f"counts too far: .* limit {COUNTED_MAX}"):
        counted(pattern)
