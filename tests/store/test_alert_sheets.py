"""What many new episodes say stands on sheets, and is read as if it stood in their rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack
from msgspec.structs import replace
from sqlalchemy import text as sql

from heliograph.alert.changes import Changes
from heliograph.kernels import alert_rows
from heliograph.store.state import alert_events, alert_kinds, alert_sheets, alerts, text
from heliograph.store.state.alert_sheets import SHEET, SHEET_MIN, SIZE_BYTES_MAX
from heliograph.store.state.lanes import Lane
from tests.store.test_alerts import alert
from tests.twins import plain

PLAIN = plain("alert_rows")


@pytest.fixture
def write(state):
    return lambda work, *args: state.write(lambda tx: work(tx, *args), lane=Lane.ALERTS).result(
        20
    )


@pytest.fixture
def read(state):
    return lambda work, *args, **more: state.read(lambda tx: work(tx, *args, **more))


def sheets(tx):
    """How many episodes each sheet has, and how many rows refer to one."""
    counts = tx.execute(sql("SELECT episodes FROM alert_sheets ORDER BY n")).scalars().all()
    said = tx.execute(sql("SELECT enriched FROM alert_events")).scalars()
    return list(counts), sum(map(alert_sheets.is_reference, said))


def some(count, **more):
    return [alert(n, ends_ns=n + 10, raw=b'{"n":%d}' % n, **more) for n in range(count)]


def test_many_are_read_as_they_were_written(write, read):
    made = some(SHEET + SHEET_MIN)
    odd = [alert(900, raw=b""), alert(901, enriched=b""), alert(902, raw=b"x" * SIZE_BYTES_MAX)]
    write(alerts.write, Changes(alerts=[*odd, *made]))

    assert read(sheets) == ([SHEET, SHEET_MIN], len(made))
    everything = [*made, *odd]
    by_id = {one.id: one for one in everything}
    found = read(alert_events.many, list(by_id), documents=True)
    assert {one.id: one for one in found} == by_id
    bare = [replace(one, raw=b"", enriched=b"") for one in everything]
    assert sorted(read(alert_events.many, list(by_id)), key=str) == sorted(bare, key=str)
    assert read(alert_events.one, made[7].id) == made[7]
    kept = read(alerts.load).alerts
    assert sorted(kept, key=str) == sorted(bare, key=str)


def test_many_of_one_instant_are_read_as_they_were_written(write, read):
    made = [replace(one, created_ns=7, updated_ns=8, ends_ns=None) for one in some(3 * SHEET)]
    for _ in range(2):
        write(alerts.write, Changes(alerts=made))

    found = read(alert_events.many, [one.id for one in made], documents=True)
    assert sorted(found, key=str) == sorted(made, key=str)


def test_few_stay_in_their_rows(write, read):
    write(alerts.write, Changes(alerts=some(SHEET_MIN - 1)))

    assert read(sheets) == ([], 0)


def test_what_is_said_later_stands_beside_the_sheet(write, read):
    made = some(SHEET_MIN)
    write(alerts.write, Changes(alerts=made))
    later = [
        replace(made[0], annotations=(("a", "b"),), raw=b"", enriched=b"", count=2),
        replace(made[1], severity="info", raw=b"[1]", enriched=b"", count=2),
        replace(made[2], raw=b"", enriched=b"[2]", count=2),
        replace(made[3], raw=b"[3]", enriched=b"[3]", count=2),
    ]
    write(alerts.write, Changes(alerts=later))

    assert [read(alert_events.one, one.id) for one in made[:5]] == [
        replace(later[0], raw=made[0].raw, enriched=made[0].enriched),
        replace(later[1], enriched=made[1].enriched),
        replace(later[2], raw=made[2].raw),
        later[3],
        made[4],
    ]
    # Again, and nothing of it is lost.
    write(alerts.write, Changes(alerts=[replace(later[1], raw=b"", count=3)]))
    assert read(alert_events.one, made[1].id) == replace(
        later[1], enriched=made[1].enriched, count=3
    )


def test_a_sheet_goes_with_its_last_row(write, read):
    made = [replace(one, updated_ns=one.ends_ns) for one in some(SHEET + SHEET_MIN)]
    write(alerts.write, Changes(alerts=made))
    assert write(alerts.archive, made[SHEET].ends_ns, SHEET - 1) == SHEET - 1
    assert read(sheets) == ([1, SHEET_MIN], SHEET_MIN + 1)
    assert write(alerts.archive, made[SHEET].ends_ns, SHEET) == 1

    assert read(sheets) == ([SHEET_MIN], SHEET_MIN)
    assert read(alert_events.one, made[-1].id) == made[-1]


TEXTS = st.sampled_from(["", "a", "é" * 20, "k" * 128, "k" * 129, "z" * 70_000, "\0", "\ud800"])
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), max_size=17).map(tuple)
NUMBERS = [
    -(2**63),
    -(2**31) - 1,
    -32_769,
    -129,
    -33,
    -32,
    -1,
    0,
    127,
    128,
    256,
    2**16,
    2**32,
    2**62,
]


@given(st.data())
def test_rows_are_what_their_twin_says(data):
    made = [
        replace(
            alert(n, workload_id=data.draw(TEXTS), pod_name=data.draw(TEXTS)),
            labels=data.draw(st.one_of(PAIRS, st.just((("alertname", "A"),)))),
            annotations=data.draw(PAIRS),
            severity=data.draw(TEXTS),
            generator_url=data.draw(TEXTS),
            timed_out=data.draw(st.booleans()),
            episode=data.draw(st.sampled_from(NUMBERS)),
            seq=data.draw(st.sampled_from(NUMBERS)),
            entities=tuple(data.draw(st.lists(TEXTS, max_size=2))),
        )
        for n in range(2)
    ]
    kernels, kinds = (alert_rows, PLAIN), [{}, {}]
    says = [data.draw(st.sampled_from([[b"", b""], [b"a", b"b"]])), [b"", b""], [b"e", b"f"]]
    rows = [
        kernel.rows(made, *says, alert_kinds.stored_kind, text.key, into)
        for kernel, into in zip(kernels, kinds, strict=True)
    ]
    documents = [kernel.documents(made, alert_events._document) for kernel in kernels]
    size = data.draw(st.sampled_from([1, 2, 50]))
    laid = [
        kernel.sheets(made, alert_events._document, msgpack.encode, size, 20_000)
        for kernel in kernels
    ]

    assert rows[0] == rows[1]
    assert kinds[0] == kinds[1]
    assert documents[0] == documents[1]
    assert laid[0] == laid[1]


def test_what_all_rows_have_is_said_once():
    made = [replace(one, created_ns=7, updated_ns=8, ends_ns=9, count=2) for one in some(3)]
    nothing = [b""] * 3
    columns = [made, nothing, nothing, [b"a", b"b", b"c"]]
    values, shared = alert_rows.rows(*columns, alert_kinds.stored_kind, text.key, {})
    assert (len(values), shared) == (33, ("metric", 1, 7, 8, 2, b"", b""))
    made[2] = replace(made[2], count=3)
    values, shared = alert_rows.rows(*columns, alert_kinds.stored_kind, text.key, {})
    assert (len(values), shared) == (54, ())
    assert values[-8:] == [b"c", "metric", 1, 7, 8, 3, b"", b""]


def test_every_size_of_what_is_bytes_is_packed():
    raw = [b"r" * size for size in (1, 255, 256, 65_535, 65_536)]
    made = [replace(one, raw=text) for one, text in zip(some(5), raw, strict=True)]
    wanted = PLAIN.sheets(made, alert_events._document, msgpack.encode, 50, 100_000)

    assert alert_rows.sheets(made, alert_events._document, None, 50, 100_000) == wanted
    assert alert_rows.sheets(made, alert_events._document, None, 50, 65_536) is None


def test_what_comes_on_a_sheet_takes_the_place_of_what_a_row_says(write, read):
    made = some(SHEET_MIN)
    for one in made:
        write(alerts.write, Changes(alerts=[replace(one, raw=b"[1]", enriched=b"[1]")]))
    write(alerts.write, Changes(alerts=made))

    assert [read(alert_events.one, one.id) for one in made] == made
