"""One suite over both record stores; what only files do is in `test_records_folder`."""

import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.core.clock import ManualClock
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


def test_a_foreign_record_id_is_kept(store, clock):
    odd = record(clock.now_ns(), record_id="my own id \ud800")
    assert store.append([odd]) == [odd]
    assert store.append([odd]) == []
    assert store.query().items == [odd]


@pytest.mark.parametrize("odd", ["telemetry-" + "AB" * 16, "telemetry-" + "ab " * 10 + "ab"])
def test_an_id_that_only_looks_like_another_is_another(store, clock, odd):
    plain = record(clock.now_ns(), record_id="telemetry-" + "ab" * 16)
    alike = record(clock.now_ns(), record_id=odd)
    assert store.append([plain, alike]) == [plain, alike]


def test_extreme_times_share_one_place_and_are_found(store, clock):
    times = (-(2**70), 0, 7258118400 * 10**9, 2**63 - 1, 2**70)
    far = [record(t, record_id=record_id("far", n)) for n, t in enumerate(times)]
    near = record(clock.now_ns())
    store.append([*far, near])

    assert store.query().items == [far[4], far[3], far[2], near, far[1], far[0]]
    assert store.query(start_ns=1, end_ns=clock.now_ns() + 1).items == [near]
    assert store.query(end_ns=1).items == [far[1], far[0]]
    assert store.counts["other"] == len(far)
    assert store.append([*far, near]) == []
    assert store.counts["other"] == len(far)


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
    assert (store.counts["other_expired"], store.counts["other_dropped"]) == (0, 2)
    store.retain(floor_ns=4, bytes_max=2**40)
    assert [r.timestamp_ns for r in store.query().items] == [4]
    assert (store.counts["other_expired"], store.counts["other_dropped"]) == (2, 2)


def test_a_value_that_cannot_be_stored_is_refused_whole(store, clock):
    good, bad = record(clock.now_ns()), record(clock.now_ns(), 1, attributes={"x": object()})
    with pytest.raises(Refused):
        store.append([good, bad])
    assert store.query() == search.Page([], 0)


def test_what_one_record_cannot_be_kept_as_is_nothing_to_those_beside_it(store, clock):
    """Whole numbers over 64 bits and lone surrogates are JSON, which has no bytes and no numbers as
    names; they come with others of their kind."""
    said = {"a": 2**70}, {"a": b"raw"}, {"a": {1: 2}}, {"a": "\ud800"}, {"a": 0}
    made = [record(clock.now_ns() - n, n, attributes=one) for n, one in enumerate(said)]
    assert store.append(made) == made
    assert store.query().items == made


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


START_NS = 1_767_225_600 * 10**9
streams = st.sampled_from(["p-1", "p-2", ""])
some_records = st.lists(
    st.builds(
        lambda at, n, pod, kind, severity: record(
            START_NS + at, n, resource={"pod_uid": pod}, event_type=kind, severity=severity
        ),
        st.integers(-3, 3)
        | st.integers(-DAY_NS, 0)
        | st.integers(-400, 400).map(lambda s: s * 10**9),
        st.integers(0, 3),
        streams,
        st.sampled_from(["oom", "xid"]),
        st.sampled_from(["error", None]),
    ),
    max_size=12,
)
asked = st.fixed_dictionaries(
    {
        "newest_first": st.booleans(),
        "offset": st.integers(0, 20),
        "limit": st.sampled_from([1, 4, 50]),
    },
    optional={
        "types": st.just(["xid"]),
        "streams": st.just(["p-1", "p-2"]),
        "severities": st.just(["error"]),
        "session_id": st.just("s-1"),
        "start_ns": st.sampled_from([START_NS, START_NS - 10**9, START_NS - DAY_NS // 2]),
        "end_ns": st.sampled_from([START_NS, START_NS + 2, START_NS + 100 * 10**9]),
    },
)


def matching(kept, newest_first, offset, limit, **filters):
    """What a search over the records *kept*, as they arrived, comes to."""
    said = {
        "types": lambda r: r.event_type,
        "streams": lambda r: r.resource["pod_uid"] or r.session_id,
        "severities": lambda r: r.severity or "",
    }
    found = [
        r
        for r in kept
        if all(of(r) in filters[name] for name, of in said.items() if name in filters)
        and filters.get("start_ns", 0) <= r.timestamp_ns < filters.get("end_ns", 2**63)
    ]
    placed = sorted(enumerate(found), key=lambda one: (one[1].timestamp_ns, one[0]))
    found = [r for _, r in (placed[::-1] if newest_first else placed)]
    return search.Page(found[offset : offset + limit], len(found))


def test_records_of_chunks_that_overlap_are_merged(store, clock):
    """Each of them has some of the first there are; the nearest end alone tells nothing."""
    pods = [
        [
            record(clock.now_ns() - far, far, resource={"pod_uid": f"p-{pod}"})
            for far in range(pod, 4000 + 900 * pod, 37 + 11 * pod)
        ]
        for pod in range(9)
    ]
    everything = {one.record_id: one for of_pod in pods for one in of_pod}
    store.append(list(everything.values()))
    expected = sorted(everything.values(), key=lambda one: -one.timestamp_ns)

    for limit in (1, 2, 3, 10, 50, 400):
        assert store.query(limit=limit).items == expected[:limit]
        oldest = store.query(limit=limit, newest_first=False).items
        assert oldest == expected[::-1][:limit]


@settings(max_examples=60)
@given(st.lists(some_records, max_size=4), st.lists(asked, min_size=4, max_size=4))
def test_any_search_finds_what_a_list_of_records_would(appends, searches):
    """Of the folder: in whatever pieces records came, and however often."""
    with tempfile.TemporaryDirectory() as folder:
        store = RecordFolder.open(Path(folder), ManualClock(START_NS))
        kept = {}
        for some in [*appends, *appends[:1]]:
            new = {r.record_id: r for r in reversed(some) if r.record_id not in kept}
            new = {r.record_id: new.pop(r.record_id) for r in some if r.record_id in new}
            assert store.append(some) == list(new.values())
            kept |= new
        for one in searches:
            assert store.query(**one) == matching(kept.values(), **one)
        store.close()


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
documents = st.dictionaries(
    st.text(st.characters()),
    st.recursive(plain, lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=5),
    max_size=4,
)


@given(st.text(st.characters()), documents)
def test_any_record_is_the_same_as_a_row_and_back(body, attributes):
    given_ = record(1, body=body, attributes=attributes, session_id=body)
    assert row.record(row.of(b"", given_).doc) == given_
