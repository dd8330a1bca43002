"""What many new episodes say stands on sheets, and is read as if it stood in their rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
    kinds = [{}, {}]
    says = [[b"a", b"b"], [b"c", b"d"], [b"e", b"f"]]
    rows, documents = [
        [
            kernel.rows(made, *says, alert_kinds.stored_kind, text.key, into)
            for kernel, into in zip((alert_rows, PLAIN), kinds, strict=True)
        ],
        [kernel.documents(made, alert_events._document) for kernel in (alert_rows, PLAIN)],
    ]

    assert rows[0] == rows[1]
    assert kinds[0] == kinds[1]
    assert documents[0] == documents[1]
    assert rows[0][0][-3:] == (b"a", b"c", b"e")


def test_what_comes_on_a_sheet_takes_the_place_of_what_a_row_says(write, read):
    made = some(SHEET_MIN)
    for one in made:
        write(alerts.write, Changes(alerts=[replace(one, raw=b"[1]", enriched=b"[1]")]))
    write(alerts.write, Changes(alerts=made))

    assert [read(alert_events.one, one.id) for one in made] == made
