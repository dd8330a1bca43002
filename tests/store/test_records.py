"""One suite over both record stores; what only files do is in `test_records_folder`."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Refused
from heliograph.core.record import Record, record_id
from heliograph.store.records import day, row, search
from heliograph.store.records.folder import RecordFolder
from heliograph.store.records.table import RecordTable

DAY_NS = day.DAY_NS


@pytest.fixture(params=["folder", "table"])
def reopen(request, tmp_path, clock):
    """Closes the store that is open, and opens it again."""
    opened = []

    def open_again():
        if opened:
            opened.pop().close()
        if request.param == "folder":
            opened.append(RecordFolder.open(tmp_path / "records", clock))
        else:
            opened.append(RecordTable.open(request.getfixturevalue("pg_url"), clock))
        return opened[0]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen):
    return reopen()


def record(at_ns, n=0, **fields):
    given_ = {
        "record_id": record_id(at_ns, n),
        "timestamp_ns": at_ns,
        "observed_timestamp_ns": at_ns,
        "session_id": "s-1",
        "source_kind": "log",
        "event_type": "oom",
    }
    return Record(**(given_ | fields))


def test_appending_twice_keeps_one_and_names_what_is_new(store, clock):
    now = clock.now_ns()
    first, second = record(now), record(now - 1)

    assert store.append([first, first]) == [first]
    assert store.append([second, first]) == [second]
    assert store.query() == search.Page([first, second], 2)


def test_everything_in_a_record_survives(store, reopen, clock):
    odd = record(
        clock.now_ns(),
        body="a\x00b\ud800c\ue000\U0001f525",
        severity="critical\x00",
        event_type="o\x00m",
        session_id="\udfff",
        stage="3",
        severity_text="CRIT",
        resource={"pod_uid": "p\x00", "rank": 3},
        attributes={
            "up": math.inf,
            "down": -math.inf,
            "big": 2**90,
            "nested": {"l": [1, None, True]},
        },
        correlation={"run": "r"},
    )
    store.append([odd])
    store = reopen()

    assert store.query(types=["o\x00m"], severities=["critical\x00"]).items == [odd]
    assert store.query(streams=["p\x00"]).items == [odd]
    assert store.query(session_id="\udfff").items == [odd]


@pytest.mark.parametrize("body", ["plain", "\ud800"])
def test_nan_survives(store, clock, body):
    """Both forms of a document carry it: a surrogate forces the second."""
    store.append([record(clock.now_ns(), attributes={"loss": math.nan}, body=body)])

    (found,) = store.query().items
    assert math.isnan(found.attributes["loss"])
    assert found.body == body


@pytest.fixture
def history(store, clock):
    """Four days, every hour; types, severities and pods in turn."""
    made = [
        record(
            clock.now_ns() - hour * DAY_NS // 24,
            event_type=("oom", "xid", "nccl_error")[hour % 3],
            severity=("critical", None)[hour % 2],
            source_kind=("log", "container")[hour % 2],
            resource={"pod_uid": f"p-{hour % 4}"},
            session_id=f"s-{hour % 5}",
        )
        for hour in range(96)
    ]
    store.append(made[::-1])
    return made


CASES = [
    ("all", {}, lambda _: True),
    ("one type", {"types": ["xid"]}, lambda r: r.event_type == "xid"),
    ("two types", {"types": ["xid", "oom"]}, lambda r: r.event_type in {"xid", "oom"}),
    ("a pod", {"streams": ["p-1"]}, lambda r: r.resource["pod_uid"] == "p-1"),
    ("a session", {"session_id": "s-3"}, lambda r: r.session_id == "s-3"),
    ("severity", {"severities": ["critical"]}, lambda r: r.severity == "critical"),
    ("source", {"source_kinds": ["container"]}, lambda r: r.source_kind == "container"),
    ("no pod at all", {"streams": []}, lambda _: False),
    (
        "several",
        {"types": ["oom"], "severities": ["critical"], "streams": ["p-0", "p-2"]},
        lambda r: r.event_type == "oom" and r.severity == "critical",
    ),
]


@pytest.mark.parametrize(("filters", "matches"), [pytest.param(*c, id=n) for n, *c in CASES])
def test_filters(store, history, filters, matches):
    expected = [r for r in history if matches(r)]

    assert store.query(**filters, limit=1000) == search.Page(expected, len(expected))
    assert store.query(**filters, limit=1000, newest_first=False).items == expected[::-1]


def test_time_is_half_open(store, history):
    start, end = history[50].timestamp_ns, history[10].timestamp_ns

    assert store.query(start_ns=start, end_ns=end, limit=1000).items == history[11:51]
    assert store.query(start_ns=start, end_ns=start) == search.Page([], 0)


def test_pages_follow_each_other(store, history):
    for newest_first, expected in ((True, history), (False, history[::-1])):
        pages = [
            store.query(offset=o, limit=7, newest_first=newest_first) for o in range(0, 105, 7)
        ]
        assert [r for page in pages for r in page.items] == expected
        assert {page.total for page in pages} == {96}


def test_a_page_is_bounded(store):
    with pytest.raises(Refused):
        store.query(offset=search.TOTAL_MAX + 1)


def test_get(store, history):
    assert store.get(history[70].record_id) == history[70]
    assert store.get("telemetry-" + "0" * 32) is None


def test_a_foreign_record_id_is_kept(store, clock):
    odd = record(clock.now_ns(), record_id="my own id \ud800")
    store.append([odd])
    assert store.get(odd.record_id) == odd


def test_extreme_times_share_one_place_and_are_found(store, clock):
    times = (-(2**70), 0, 7258118400 * 10**9, 2**63 - 1, 2**70)
    far = [record(t, record_id=record_id("far", n)) for n, t in enumerate(times)]
    near = record(clock.now_ns())
    store.append([*far, near])

    assert store.query().items == [far[4], far[3], far[2], near, far[1], far[0]]
    assert store.query(start_ns=1, end_ns=clock.now_ns() + 1).items == [near]
    assert store.query(end_ns=1).items == [far[1], far[0]]
    assert store.counts["other"] == len(far)
    assert all(store.get(r.record_id) == r for r in far)


def test_years_of_days_make_a_bounded_number_of_places(store, clock):
    store.append([record(clock.now_ns() + n * DAY_NS) for n in range(-700, 700, 50)])
    assert len(store._days) <= 1 + (day.BACK_DAYS_MAX + day.AHEAD_DAYS_MAX) // 50 + 1


def test_a_record_ahead_of_its_day_is_not_doubled_when_the_day_comes(store, clock):
    ahead = record(clock.now_ns() + 30 * DAY_NS)
    assert store.append([ahead]) == [ahead]
    clock.advance(29 * 86400)
    assert store.append([ahead, later := record(clock.now_ns())]) == [later]
    assert store.query().total == 2


def test_retain_forgets_days_that_ended(store, history, clock):
    floor_ns = clock.now_ns() - 2 * DAY_NS
    store.retain(floor_ns=floor_ns, bytes_max=2**40)

    kept = [r for r in history if r.timestamp_ns >= floor_ns]
    assert store.query(limit=1000).items == kept
    assert store.counts["days_expired"] == 2
    old = history[-1]
    assert store.append([old]) == [old]


def test_retain_forgets_the_oldest_above_a_size_but_never_the_newest(store, history, clock):
    store.retain(floor_ns=0, bytes_max=0)

    assert store.query(limit=1000).items == history[:1]
    assert store.counts["days_over_size"] == 4
    assert store.size_bytes() > 0


def test_the_place_of_other_days_is_bounded(store, clock, monkeypatch):
    monkeypatch.setattr(day, "OTHER_RECORDS_MAX", 3)
    store.append([record(n) for n in range(5)])
    store.retain(floor_ns=-1, bytes_max=2**40)

    assert [r.timestamp_ns for r in store.query().items] == [4, 3, 2]
    assert store.counts["other_dropped"] == 2
    store.retain(floor_ns=4, bytes_max=2**40)
    assert [r.timestamp_ns for r in store.query().items] == [4]


def test_a_value_that_cannot_be_stored_is_refused_whole(store, clock):
    good, bad = record(clock.now_ns()), record(clock.now_ns(), 1, attributes={"x": object()})
    with pytest.raises(Refused):
        store.append([good, bad])
    assert store.query() == search.Page([], 0)


def test_very_long_names_are_found(store, clock):
    long = record(clock.now_ns(), event_type="e" * 9000, resource={"pod_uid": "é" * 5000})
    store.append([long])
    assert store.query(types=["e" * 9000], streams=["é" * 5000]).items == [long]
    assert store.query(types=["e" * 9001]).items == []


def test_more_than_one_transaction(store, clock):
    many = [record(clock.now_ns(), n) for n in range(2500)]
    assert store.append(many) == many
    assert store.query(limit=1000).total == 2500
    # Records of one instant come in the order they arrived, newest first.
    assert store.query(limit=5).items == many[:-6:-1]


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
documents = st.dictionaries(
    st.text(st.characters()),
    st.recursive(plain, lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=5),
    max_size=4,
)


@given(st.text(st.characters()), documents)
def test_any_record_is_the_same_as_a_row_and_back(body, attributes):
    given_ = record(1, body=body, attributes=attributes, session_id=body)
    assert row.record(row.of(given_).doc) == given_
