"""Training rows in chunks: the same rows as if each were kept alone; and those of before."""

import itertools
import math
import random

import pytest
from sqlalchemy import event

from heliograph.core.training import TrainingRow, merged, said
from heliograph.store.state import (
    document,
    engines,
    revisions,
    training,
    training_adding,
    training_arranging,
    training_chunks,
)
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.store.state.training_chunks import NO_ITERATION, SPAN_NS_MAX

EVER = {"start_ns": -(2**62), "end_ns": 2**62, "limit": 10**6}


def write(state, work, *args):
    return state.write(lambda tx: work(tx, *args), lane=Lane.APPLIER).result(10)


def all_rows(state, pods):
    return state.read(lambda tx: training.rows(tx, pods, **EVER))


def of_any(rng, at_ns):
    """A row of few pods, sources, ranks, instants and fields, so that many meet."""
    source = rng.choice(["log", "wandb"])
    pod, rank = rng.choice(["p", "q\x00\ue000", "r" * 600]), rng.choice(["", "7"])
    if rng.random() < 0.1:
        return TrainingRow(pod, source, rank, at_ns, None, "training_start", "nemo", {})
    fields = {
        name: rng.choice([1.0, math.nan, math.inf, 2**70, 3])
        for name in ("lm_loss", "grad_norm", "tflops")
        if rng.random() < 0.6
    }
    if rng.random() < 0.2:
        fields["extra"] = {"a": rng.random()}
    framework = rng.choice(["unknown", "primus"])
    return TrainingRow(pod, source, rank, at_ns, rng.randrange(3), None, framework, fields)


def kept(rows):
    """What rows come to, by identity; a long name is its fold."""
    model = {}
    for row in rows:
        pod = training_arranging._key(row.pod_uid) if len(row.pod_uid) > 500 else row.pod_uid
        key = (pod, *row[1:5], said(row))
        there = model.get(key, row)
        model[key] = (
            merged(there, row)._replace(pod_uid=pod)
            if key in model
            else row._replace(pod_uid=pod)
        )
    return in_order(model.values())


def in_order(rows):
    """*rows* as they are read: of one place by what they say."""
    return sorted(
        rows, key=lambda row: (*training.order(row), row.fields.get("epoch", -1), said(row))
    )


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
        new += write(state, training_adding.add_rows, some)
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
        assert write(state, training_adding.add_rows, told[start : start + 100]) == 0
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


def logged(count):
    return [row._replace(source="wandb") for row in steps(count)]


def test_a_chunk_is_bounded_in_rows_and_in_time():
    def sizes(rows):
        made = training_chunks.chunks(training_chunks.places(rows), rows)
        return [len(training_chunks.heads_of(chunk.heads)) for chunk in made]

    most = training_chunks.ROWS_MAX
    assert sizes(steps(2 * most + 1)) == [most, most, 1]
    assert sizes(steps(5, every_ns=SPAN_NS_MAX // 2)) == [3, 2]
    assert sizes(steps(3, every_ns=SPAN_NS_MAX + 1)) == [1, 1, 1]


def test_rows_in_order_touch_no_chunk_that_is_there(state):
    """What makes them cheap: nothing is read back, and nothing written twice."""
    seen = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement.split()[0])

    write(state, training_adding.add_rows, steps(100))
    event.listen(state._writer, "before_cursor_execute", note)
    write(
        state,
        training_adding.add_rows,
        [row._replace(at_ns=row.at_ns + 100) for row in steps(100)],
    )
    write(state, training_adding.add_rows, steps(100))
    event.remove(state._writer, "before_cursor_execute", note)
    assert [word for word in seen if word != "BEGIN"] == [
        "WITH",
        "WITH",
        "INSERT",
        "WITH",
        "WITH",
    ]


def test_a_transaction_takes_what_it_can_do_in_its_time():
    """Many rows that came in order, few that did not; a stream that is too long goes in several."""
    rng = random.Random(1)
    most, few = (
        training_arranging.WORK_MAX,
        training_arranging.WORK_MAX // training_arranging.WORK_OF_SCATTERED,
    )
    ordered = steps(most + 10)
    scattered = [row._replace(pod_uid="q") for row in steps(few + 10)]
    rng.shuffle(scattered)
    many = [row._replace(pod_uid=f"r-{n}") for n, row in enumerate(steps(few + 5))]
    pieces = list(
        training_arranging.pieces(training_arranging.arranged([*ordered, *scattered, *many]))
    )

    whole = most // (training_chunks.ROWS_MAX + training_arranging.WORK_OF_CHUNK)
    whole *= training_chunks.ROWS_MAX
    assert [[len(part.rows()) for part in piece] for piece in pieces[:4]] == [
        [whole],
        [most + 10 - whole],
        [few],
        [10, *[1] * (few - 10)],
    ]
    told = [row for piece in pieces for part in piece for row in part.rows()]
    assert sorted(told, key=training.order) == sorted(
        [*ordered, *scattered, *many], key=training.order
    )


def test_many_streams_of_a_pod_are_looked_for_together(state):
    """One by one each would pass over the chunks of all others."""
    streams = 2 * training_adding.STREAMS_APART_MAX
    rows = [
        TrainingRow(
            "p", "log", str(rank), n * SPAN_NS_MAX, n, None, "nemo", {"lm_loss": n + rank}
        )
        for n in range(6)
        for rank in range(streams)
    ]
    for n in range(6):
        write(state, training_adding.add_rows, rows[n * streams : (n + 1) * streams])
    again = [row._replace(fields={"lm_loss": 0.5, "tflops": 1.0}) for row in rows[::3]]
    assert write(state, training_adding.add_rows, rows) == 0
    assert write(state, training_adding.add_rows, again) == len(again)
    assert write(state, training_adding.add_rows, again) == 0
    assert all_rows(state, ["p"]) == kept([*rows, *again])

    asked = training_adding._crowded(
        [("p", "log", str(n), n, n + 9, n + 9) for n in range(streams)]
    )
    assert asked == [("p", None, None, 0, streams + 8, streams + 8)]


def test_names_that_are_kept_alike_are_one_stream(state):
    """A pod called what a long one folds to: a transaction takes each stream once."""
    long = "r" * 600
    rows = [
        TrainingRow(pod, "log", "", n, n, None, "nemo", {"lm_loss": 1.0})
        for n, pod in enumerate([long, training_arranging._key(long)] * 4)
    ]
    (part,) = training_arranging.arranged(rows)
    assert len(part.rows()) == 8
    assert write(state, training_adding.add_rows, rows) == 8


def test_rows_that_change_many_chunks_go_in_many_transactions(state, monkeypatch):
    monkeypatch.setattr(training_adding, "CHANGED_MAX", 3)
    apart = [row._replace(at_ns=row.at_ns * 2 * SPAN_NS_MAX) for row in logged(8)]
    write(state, training_adding.add_rows, apart)
    more = [row._replace(fields={"tflops": 1.0}) for row in apart]
    new = logged(1)[0]._replace(at_ns=7)

    added, met = write(state, training_adding.add, training_arranging.arranged([*more, new]))
    assert added == []
    told = [write(state, training_adding.put, one) for one in training_adding.changes(met)]
    stream = ("p", "wandb", "")
    assert told == [([], []), ([], []), ([(stream, 1, 1)], [])]
    assert all_rows(state, ["p"]) == sorted(
        [new, *map(merged, apart, more)], key=training.order
    )


@pytest.mark.parametrize("values", [*itertools.permutations([0.0, -0.0, 0])])
def test_equal_numbers_that_are_not_the_same_merge_in_whatever_order(state, values):
    for value in values:
        row = TrainingRow(
            "p", "log", "", 1, 1, None, "x", {"lm_loss": value, "extra": {"n": value}}
        )
        write(state, training_adding.add_rows, [row])
    (there,) = all_rows(state, ["p"])
    assert repr(there.fields) == "{'extra': {'n': 0.0}, 'lm_loss': 0.0}"


def test_what_a_change_met_may_have_gone_meanwhile(state):
    """Between the two transactions of a merge the oldest rows are pruned: nothing is lost, and what
    is there is not put back as it was."""
    rows = logged(100)
    write(state, training_adding.add_rows, rows)
    more = [row._replace(fields={"tflops": 1.0}) for row in rows]
    (part,) = training_arranging.arranged(more)
    _, met = write(state, training_adding.add, [part])
    (change,) = training_adding.changes(met)
    assert write(state, training.prune, 10, 10) == 10
    added, again = write(state, training_adding.put, change)
    assert (added, again) == ([], [part])
    assert write(state, training_adding.add_rows, again[0].rows()) == 10
    expected = [*more[:10], *map(merged, rows[10:], more[10:])]
    assert all_rows(state, ["p"]) == expected


def test_what_comes_again_is_no_work_for_the_writer(state, monkeypatch):
    """As it was cut before it is only looked up; cut otherwise, it is compared by who asked."""
    rows = [
        row._replace(rank_group=rank, at_ns=row.at_ns + shift)
        for shift, rank in enumerate(["", "7", "x" * 600])
        for row in steps(150, every_ns=10)
    ]
    some = training_arranging.Gathering()
    some.take(rows)
    (piece,) = training_arranging.pieces(some.parts())
    assert sum(one.rows for one in write(state, training_adding.add, piece)[0]) == 450
    assert write(state, training_adding.add, piece) == (
        [(part.stream, 0, 0) for part in piece],
        [],
    )
    some.take(row for row in rows if row.iteration > 10)
    (piece,) = training_arranging.pieces(some.parts())
    added, met = write(state, training_adding.add, piece)
    assert added == []
    assert list(training_adding.changes(met)) == []
    monkeypatch.setattr(training_adding, "LOOKED_INTO_MAX", 0)
    later = [row._replace(at_ns=row.at_ns + 5) for row in rows]
    assert write(state, training_adding.add_rows, later) == 450
    assert len(all_rows(state, ["p"])) == 900


@pytest.mark.parametrize("seed", range(4))
def test_rows_gathered_frame_by_frame_are_those_arranged_together(seed):
    rng = random.Random(seed)
    rows = [of_any(rng, rng.randrange(90)) for _ in range(300)]
    # Some frames overtook others, and one came twice.
    frames = [rows[:90], rows[200:], rows[90:200], rows[200:]]
    if seed % 2:
        frames = [[row._replace(at_ns=at_ns) for at_ns, row in enumerate(rows)]] * 2
    some = training_arranging.Gathering()
    for frame in frames:
        some.take(frame)
    parts = some.parts()
    odd = some.odd()
    assert not len(some)
    assert all(any(value == 2**70 for value in row.fields.values()) for row in odd)
    held = [row for part in parts for row in part.rows()]
    expected = [row for frame in frames for row in frame]
    assert exact(kept([*held, *odd])) == exact(kept(expected))
    told = [
        [(part.stream, part.ordered, exact(part.rows()), part.work) for part in some]
        for some in (
            parts,
            training_arranging.arranged(held),
        )
    ]
    if seed % 2:
        assert told[0] == told[1]


def test_the_latest_values_are_found_behind_marks_and_late_chunks(state):
    late = steps(3)
    last = late[-1]._replace(at_ns=500, rank_group="7")
    mark = TrainingRow("p", "log", "", 900, None, "training_end", "nemo", {})
    write(state, training_adding.add_rows, [*late, mark])
    write(state, training_adding.add_rows, [last, last._replace(at_ns=400, iteration=9)])
    write(state, training_adding.add_rows, [last._replace(rank_group="8")])
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
                training_arranging._key(row.pod_uid),
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
