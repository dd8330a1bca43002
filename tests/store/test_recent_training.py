"""Training rows from their end, on every engine."""

from itertools import islice

from heliograph.core.training import TrainingRow
from heliograph.store.state import recent_training, training_adding
from heliograph.store.state.lanes import Lane

MINUTE_NS = 60 * 10**9


def row(pod, at_ns, marker=None):
    fields = {} if marker else {"lm_loss": float(at_ns)}
    return TrainingRow(pod, "log", "", at_ns, at_ns % 1000, marker, "", fields)


def keep(state, *rows):
    state.write(lambda tx: training_adding.add_rows(tx, rows), lane=Lane.APPLIER).result(10)


def back(state, pod, start_ns, end_ns):
    def read(tx):
        found = recent_training.rows_back(tx, pod, start_ns=start_ns, end_ns=end_ns)
        return [one.at_ns for one in found]

    return state.read(read)


def test_what_a_pod_said_last_comes_first(state):
    keep(state, *(row("p", n) for n in range(1, 6)))
    keep(state, row("p", 6, "training_end"), row("q", 7))
    for at_ns in (8, 9):
        keep(state, row("p", at_ns))

    assert back(state, "p", 0, 100) == [9, 8, 5, 4, 3, 2, 1]
    assert back(state, "p", 3, 9) == [8, 5, 4, 3]
    assert back(state, "p", 10, 100) == back(state, "other", 0, 100) == []
    [first] = state.read(
        lambda tx: list(islice(recent_training.rows_back(tx, "p", start_ns=0, end_ns=9), 1))
    )
    assert first == row("p", 8)


def test_a_look_back_is_bounded(state, monkeypatch):
    for n in range(1, 4):
        keep(state, *(row("p", 100 * n + m) for m in range(5)))
    monkeypatch.setattr(recent_training, "ROWS_MAX", 6)
    assert len(back(state, "p", 0, 1000)) == 10
    monkeypatch.setattr(recent_training, "CHUNKS_MAX", 1)
    assert len(back(state, "p", 0, 1000)) == 5


def test_pods_that_said_anything_of_late(state):
    keep(state, row("a", MINUTE_NS), row("b", 3 * MINUTE_NS), row("c", 2 * MINUTE_NS))
    keep(state, row("a", 4 * MINUTE_NS))

    def since(at_ns):
        return state.read(lambda tx: recent_training.pods_since(tx, at_ns))

    assert since(0) == ["a", "b", "c"]
    assert since(3 * MINUTE_NS) == ["a", "b"]
    assert since(5 * MINUTE_NS) == []
