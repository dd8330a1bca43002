"""Causes of cascades: the most telling root before them, and nothing that came later."""

from heliograph.training.findings.causes import Finding, causes, searched_from_ns

MINUTE_NS = 60 * 10**9


def finding(name, minute, event_type, role, severity="critical", **attributes):
    return Finding(name, minute * MINUTE_NS, event_type, severity, {"role": role, **attributes})


XID = finding("x", 10, "xid", "root")
TRACE = finding("t", 9, "traceback", "root", "error")
OLD = finding("o", 0, "oom", "root")
LATER = finding("l", 50, "xid", "root")
ECHO = finding("e", 11, "xid", "confirmation", "info")
WAITED = finding("w", 41, "nccl_timeout", "cascade", ran_ms=1_800_000)
DIED = finding("d", 12, "process_failed", "confirmation")
ALL = [XID, TRACE, OLD, LATER, ECHO, WAITED, DIED]


def told(findings, roots=ALL):
    return {name: cause.record_id for name, cause in causes(findings, roots).items()}


def test_the_device_before_the_program():
    assert told(ALL) == {"e": "x", "w": "x", "d": "x"}
    assert told([DIED], [TRACE]) == {"d": "t"}


def test_what_waited_looks_back_as_long_as_it_waited():
    assert told([finding("w", 41, "nccl_timeout", "cascade")]) == {}
    assert searched_from_ns([WAITED]) == MINUTE_NS
    assert searched_from_ns([finding("w", 0, "nccl_timeout", "cascade", ran_ms=1e30)]) < 0


def test_without_a_cascade_nothing_is_searched():
    assert (
        searched_from_ns([XID, TRACE, finding("i", 1, "training_start", None, "info")]) is None
    )
    assert told([XID]) == {}


def test_information_is_no_cause():
    assert told([DIED], [finding("i", 11, "xid", "root", "info")]) == {}
