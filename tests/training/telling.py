"""What a line is expected to tell, asked alike of all findings and of all values."""

import pytest

from bench.extraction import score
from heliograph.training import clean, events
from heliograph.training.parse import parse_line


def assert_told(line, event_type, severity, attributes):
    """*line* is one such event, found behind the cheap look and by a rule that is known."""
    assert events.hinted(line)
    found = events.find(clean.uncolored(line))
    assert found is not None
    assert tuple(found.event) == (event_type, severity, attributes)
    assert found.rule in events.RULES
    assert 0 <= found.at < len(line)


def assert_silent(line):
    """*line* tells no event."""
    assert events.find(clean.uncolored(line)) is None


def assert_reads(framework, line, expected):
    """*line* has all fields of *expected*, by the short names of the tables, and no other."""
    found = score([{"id": framework, "line": line, "expected": expected}])
    assert (found.wrong, found.missed) == (0, 0), found.faults


def telling_tests(cases, silent):
    """The tests of a kind of findings: that each of *cases* is told, and none of *silent*."""

    @pytest.mark.parametrize(("line", "event_type", "severity", "attributes"), cases)
    def lines(line, event_type, severity, attributes):
        assert_told(line, event_type, severity, attributes)

    @pytest.mark.parametrize("line", silent)
    def lines_that_tell_nothing(line):
        assert_silent(line)

    return lines, lines_that_tell_nothing


def parsing_tests(told, silent):
    """The tests of whole lines: that each of *told* is one event, which and the line's fields say so
    much together, and none of *silent* is any."""

    @pytest.mark.parametrize(("event_type", "line", "attributes"), told)
    def lines(event_type, line, attributes):
        parsed = parse_line(line)
        (event,) = parsed.events
        assert event.event_type == event_type
        said = {**parsed.fields, **event.attributes}
        assert {name: said.get(name) for name in attributes} == attributes

    @pytest.mark.parametrize("line", silent)
    def lines_of_no_event(line):
        assert parse_line(line).events == ()

    return lines, lines_of_no_event
