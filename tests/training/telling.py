"""What a line is expected to tell, asked alike of all findings."""

import pytest

from heliograph.training import clean, events


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


def telling_tests(cases, silent):
    """The tests of a kind of findings: that each of *cases* is told, and none of *silent*."""

    @pytest.mark.parametrize(("line", "event_type", "severity", "attributes"), cases)
    def lines(line, event_type, severity, attributes):
        assert_told(line, event_type, severity, attributes)

    @pytest.mark.parametrize("line", silent)
    def lines_that_tell_nothing(line):
        assert_silent(line)

    return lines, lines_that_tell_nothing
