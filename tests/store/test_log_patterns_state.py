"""The site's patterns and their hits in state, on both engines."""

import pytest

from heliograph.core.errors import Refused
from heliograph.store.state import log_patterns, versions
from heliograph.store.state.lanes import Lane
from heliograph.store.state.log_patterns import Hits, PatternRow

ROW = PatternRow("id-1", "ours", b"{}", 5, 5, "ann")


@pytest.fixture
def write(state):
    return lambda work: state.write(work, lane=Lane.CONTROL).result()


def version(state):
    return state.read(lambda tx: versions.get(tx, log_patterns.VERSION))


def test_a_pattern_is_kept_replaced_and_removed_and_each_is_another_version(state, write):
    write(lambda tx: log_patterns.create(tx, ROW))
    assert state.read(log_patterns.load) == [ROW]
    write(lambda tx: log_patterns.add_hits(tx, [("ours", 3, 7)]))
    other = ROW._replace(document=b"[]", created_ns=9, updated_ns=9, created_by="bob")
    write(lambda tx: log_patterns.replace(tx, other))
    (kept,) = state.read(log_patterns.load)
    assert kept == ROW._replace(document=b"[]", updated_ns=9)
    assert state.read(log_patterns.hits) == {"ours": Hits(3, 7)}
    write(lambda tx: log_patterns.replace(tx, other._replace(name="renamed")))
    assert state.read(log_patterns.hits) == {}
    write(lambda tx: log_patterns.add_hits(tx, [("renamed", 1, 1)]))
    write(lambda tx: log_patterns.remove(tx, "id-1"))
    assert (state.read(log_patterns.load), state.read(log_patterns.hits)) == ([], {})
    assert version(state) == 4


def test_what_is_refused_changes_nothing(state, write, monkeypatch):
    monkeypatch.setattr(log_patterns, "PATTERNS_MAX", 2)
    write(lambda tx: log_patterns.create(tx, ROW))
    second = ROW._replace(id="id-2", name="other")
    write(lambda tx: log_patterns.create(tx, second))
    large = b"x" * (log_patterns.DOCUMENT_BYTES_MAX + 1)
    for refused, status in (
        (lambda tx: log_patterns.create(tx, ROW._replace(id="id-3", name="third")), 409),
        (lambda tx: log_patterns.create(tx, ROW._replace(id="id-3")), 409),
        (lambda tx: log_patterns.replace(tx, second._replace(name="ours")), 409),
        (lambda tx: log_patterns.replace(tx, ROW._replace(id="none", name="new")), 404),
        (lambda tx: log_patterns.replace(tx, second._replace(document=large)), 413),
        (lambda tx: log_patterns.remove(tx, "none"), 404),
    ):
        with pytest.raises(Refused) as error:
            write(refused)
        assert error.value.status == status
    assert state.read(log_patterns.load) == [ROW, second]
    assert version(state) == 2


def test_hits_are_added_and_the_latest_time_stays(state, write):
    many = [(f"n{number}", 1, number) for number in range(log_patterns.BATCH_MAX + 50)]
    write(lambda tx: log_patterns.add_hits(tx, many))
    write(lambda tx: log_patterns.add_hits(tx, [("n7", 2, 3), ("n8", 1, 99)]))
    write(lambda tx: log_patterns.add_hits(tx, []))
    found = state.read(log_patterns.hits)
    assert (len(found), found["n7"], found["n8"]) == (len(many), Hits(3, 7), Hits(2, 99))
    write(lambda tx: log_patterns.keep_hits(tx, ["n7", "none"]))
    assert state.read(log_patterns.hits) == {"n7": Hits(3, 7)}
