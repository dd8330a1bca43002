"""Records: ids that depend on identity alone."""

import re

from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.record import Record, record_id

parts = st.lists(st.one_of(st.text(max_size=6), st.integers()), max_size=5)


def test_an_id_looks_like_one_and_never_changes():
    # Stored records carry it: another value here would double every record on a replay.
    assert record_id("pod", "stdout", 17) == "telemetry-014656bc0a1972c59e1fd351ce8b6ae9"
    assert re.fullmatch(r"telemetry-[0-9a-f]{32}", record_id())


@given(parts, parts)
def test_ids_are_equal_exactly_where_identities_are(one, other):
    same = [str(part) for part in one] == [str(part) for part in other]
    assert (record_id(*one) == record_id(*other)) == same


def test_parts_do_not_run_together():
    ids = [
        record_id(*row) for row in [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("1:a",)]
    ]
    assert len(set(ids)) == len(ids)


def test_a_lone_surrogate_has_an_id_too():
    assert record_id("\ud800") != record_id("\ud801")


def test_what_a_record_must_have():
    record = Record("telemetry-0", 1, 2, "run-1", "log", "oom")
    assert record == Record(
        record_id="telemetry-0", timestamp_ns=1, observed_timestamp_ns=2, session_id="run-1",
        source_kind="log", event_type="oom", stage=None, severity=None, severity_text=None,
        body=None, resource={}, attributes={}, correlation={},
    )  # fmt: skip
