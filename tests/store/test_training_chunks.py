"""Training rows in chunks: the same rows as if each were kept alone; and those of before."""

import math
import random

import pytest
from sqlalchemy import event

from heliograph.core.training import TrainingRow, merged
from heliograph.store.state import document, engines, revisions, training, training_chunks
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.store.state.training_chunks import NO_ITERATION, SPAN_NS_MAX

EVER = {"start_ns": -(2**62), "end_ns": 2**62, "limit": 10**6}


@pytest.fixture
def state(state_url, tmp_path, clock):
    opened = State.open(state_url, tmp_path, clock)
    yield opened
    opened.close()


def write(state, work, *args):
    return state.write(lambda tx: work(tx, *args), lane=Lane.APPLIER).result(10)


def all_rows(state, pods):
    return state.read(lambda tx: training.rows(tx, pods, **EVER))


def of_any(rng, at_ns):
    """A row of few pods, ranks, instants and fields, so that many meet."""
    pod, rank = rng.choice(["p", "q\x00\ue000", "r" * 600]), rng.choice(["", "7"])
    if rng.random() < 0.1:
        return TrainingRow(pod, "log", rank, at_ns, None, "training_start", "nemo", {})
    fields = {
        name: rng.choice([1.0, math.nan, math.inf, 2**70, 3])
        for name in ("lm_loss", "grad_norm", "tflops")
        if rng.random() < 0.6
    }
    if rng.random() < 0.2:
        fields["extra"] = {"a": rng.random()}
    framework = rng.choice(["unknown", "primus"])
    return TrainingRow(pod, "log", rank, at_ns, rng.randrange(3), None, framework, fields)


def kept(rows):
    """What rows come to, by identity; a long name is its fold."""
    model = {}
    for row in rows:
        pod = training._key(row.pod_uid) if len(row.pod_uid) > 500 else row.pod_uid
        key = (pod, row.rank_group, row.at_ns, row.iteration)
        there = model.get(key, row)
        model[key] = (
            merged(there, row)._replace(pod_uid=pod)
            if key in model
            else row._replace(pod_uid=pod)
        )
    return sorted(model.values(), key=training.order)


def exact(rows):
    """Rows so that NaN is NaN and the order of fields does not matter."""
    return [
        row._replace(fields=document.encode(dict(sorted(row.fields.items())))) for row in rows
    ]


@pytest.mark.parametrize("seed", range(6))
def test_chunks_keep_what_single_rows_would(state, seed):
    rng = random.Random(seed)
    told, new = [], 0
    for _ in range(12):
        reach = rng.choice([5, 60, 3 * SPAN_NS_MAX])
        some = [of_any(rng, rng.randrange(reach)) for _ in range(rng.choice([1, 3, 90]))]
        told += some
        new += write(state, training.add_rows, some)
    expected = kept(told)
    pods = ["p", "q\x00\ue000", "r" * 600]
    assert exact(all_rows(state, pods)) == exact(expected)
    assert new == len(expected)
    assert [edge[3:6] for edge in state.read(lambda tx: training.edges(tx, pods))] == [
        (row.at_ns, row.iteration, row.marker) for row in expected
    ]
    # Again, in another order, changes nothing.
    rng.shuffle(told)
    for start in range(0, len(told), 100):
        assert write(state, training.add_rows, told[start : start + 100]) == 0
    assert exact(all_rows(state, pods)) == exact(expected)
    # And the oldest go first, a few at a time.
    before = sorted(row.at_ns for row in expected)[len(expected) // 2]
    gone = 0
    while some := write(state, training.prune, before, 7):
        assert some <= 7
        gone += some
    assert gone == sum(row.at_ns < before for row in expected)
    assert exact(all_rows(state, pods)) == exact(r for r in expected if r.at_ns >= before)


def steps(count, *, every_ns=1):
    return [
        TrainingRow("p", "log", "", n * every_ns, n, None, "nemo", {"lm_loss": n / 2})
        for n in range(count)
    ]


def test_a_chunk_is_bounded_in_rows_and_in_time():
    def sizes(rows):
        placed = {training_chunks.place(row): row for row in rows}
        return [len(training_chunks.heads_of(c.heads)) for c in training_chunks.chunks(placed)]

    most = training_chunks.ROWS_MAX
    assert sizes(steps(2 * most + 1)) == [most, most, 1]
    assert sizes(steps(5, every_ns=SPAN_NS_MAX // 2)) == [3, 2]
    assert sizes(steps(3, every_ns=SPAN_NS_MAX + 1)) == [1, 1, 1]


def test_rows_in_order_touch_no_chunk_that_is_there(state):
    """What makes them cheap: nothing is read back, and nothing written twice."""
    seen = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement.split()[0])

    write(state, training.add_rows, steps(100))
    event.listen(state._writer, "before_cursor_execute", note)
    write(state, training.add_rows, [row._replace(at_ns=row.at_ns + 100) for row in steps(100)])
    write(state, training.add_rows, steps(100))
    event.remove(state._writer, "before_cursor_execute", note)
    assert [word for word in seen if word != "BEGIN"] == [
        "WITH",
        "WITH",
        "INSERT",
        "WITH",
        "WITH",
    ]


def test_the_latest_values_are_found_behind_marks_and_late_chunks(state):
    late = steps(3)
    last = late[-1]._replace(at_ns=500, rank_group="7")
    mark = TrainingRow("p", "log", "", 900, None, "training_end", "nemo", {})
    write(state, training.add_rows, [*late, mark])
    write(state, training.add_rows, [last, last._replace(at_ns=400, iteration=9)])
    write(state, training.add_rows, [last._replace(rank_group="8")])
    assert state.read(lambda tx: training.latest(tx, ["p"])) == [
        last,
        last._replace(rank_group="8"),
    ]


def test_rows_of_an_earlier_version_are_moved(state_url, tmp_path, clock, monkeypatch):
    from alembic import command

    real = command.upgrade
    monkeypatch.setattr(command, "upgrade", lambda config, _: real(config, "0003"))
    if state_url is None:
        engine = engines.sqlite_writer(tmp_path / "state.db")
    else:
        engine = engines.postgresql_writer(engines.parse_url(state_url))
    mark = TrainingRow("q\x00", "log", "7", 5, None, "training_start", "nemo", {})
    rows = [*steps(150), mark, steps(1)[0]._replace(rank_group="3", fields={"a": math.nan})]
    with engine.begin() as tx:
        revisions.migrate(tx)
        mark_ = "%s" if tx.dialect.name == "postgresql" else "?"
        insert = f"INSERT INTO training_performance VALUES ({', '.join([mark_] * 8)})"
        for row in rows:
            iteration = NO_ITERATION if row.iteration is None else row.iteration
            stored = (
                training._key(row.pod_uid),
                row.at_ns,
                row.source,
                row.rank_group,
                iteration,
            )
            rest = (row.marker, row.framework, document.encode(row.fields))
            tx.exec_driver_sql(insert, (*stored, *rest))
    engine.dispose()
    monkeypatch.undo()

    monkeypatch.setattr("heliograph.store.state.training_chunks.ROWS_MAX", 40)
    opened = State.open(state_url, tmp_path, clock)
    assert exact(all_rows(opened, ["p", "q\x00"])) == exact(sorted(rows, key=training.order))
    opened.close()
