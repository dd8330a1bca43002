"""Loss scales over rows: a collapse is told once, finding its place and bf16 are none."""

from heliograph.training.findings import watch
from heliograph.training.findings.numbers import of_fields
from heliograph.training.findings.watch import Scale, Watch

STREAM = ("p1", "")
NAN, INF = float("nan"), float("inf")


def ran(scales, held=None, start=0, stream=STREAM, seq=1):
    """Iterations at which a collapse is told; *scales* are (scale, iterations)."""
    held = Watch() if held is None else held
    held.begin(seq)
    told, iteration = [], start
    for scale, count in scales:
        for _ in range(count):
            iteration += 1
            fields = {"loss_scale": scale, "current_iteration": iteration}
            event = held.row(stream, fields)
            if event is not None:
                told.append(
                    (iteration, event.attributes["loss_scale"], event.attributes["from"])
                )
    return told


def halving(start, end):
    return [(start / 2**n, 1) for n in range(1, 64) if start / 2**n >= end]


def test_a_collapse_is_told_once():
    assert ran([(65536.0, 20), *halving(65536.0, 1.0), (1.0, 50)]) == [(30, 64.0, 65536.0)]
    assert ran([(64.0, 20), *halving(64.0, 1.0)]) == [(26, 1.0, 64.0)]


def test_a_scale_that_finds_its_place_is_none():
    assert (
        ran([*halving(2.0**32, 65536.0), (65536.0, 100), (32768.0, 100), (65536.0, 100)]) == []
    )


def test_bf16_has_none():
    held = Watch()
    assert ran([(1.0, 100)], held) == []
    assert (held.get(STREAM), held.touched) == (None, set())


def test_it_is_told_again_after_a_recovery():
    fall = [*halving(4096.0, 1.0)]
    story = [(4096.0, 20), *fall, (1.0, 20), (4096.0, 20), *fall]
    assert [one[1:] for one in ran(story)] == [(4.0, 4096.0), (4.0, 4096.0)]


def test_late_rows_change_nothing():
    held = Watch()
    ran([(4096.0, 20), (2048.0, 20)], held)
    before = held.get(STREAM)
    assert ran([(1.0, 5)], held, seq=2) == []
    assert held.get(STREAM) == before


def test_a_frame_read_again_gives_the_same():
    held = Watch()
    ran([(4096.0, 20)], held)
    held.begin(2)
    row = {"loss_scale": 1.0, "current_iteration": 21}
    first = held.row(STREAM, row)
    assert first is not None
    held.begin(2)
    assert held.row(STREAM, row) == first
    held.begin(3)
    assert held.row(STREAM, {**row, "current_iteration": 22}) is None


def test_the_bound(monkeypatch):
    monkeypatch.setattr(watch, "STREAMS_MAX", 2)
    held = Watch([Scale("a", "", 2.0, 1), Scale("b", "", 2.0, 1)])
    ran([(4.0, 1)], held, stream=("c", ""))
    assert (held.counts["evicted"], held.get(("a", ""))) == (1, None)
    assert held.touched == {("a", ""), ("c", "")}


def test_values_of_a_line():
    def said(fields):
        return [(e.event_type, e.severity, e.attributes) for e in of_fields(fields)]

    root = {"role": "root"}
    assert said({"lm_loss": 2.0, "grad_norm": INF, "nan_iterations": 0}) == []
    assert said({"lm_loss": NAN, "grad_norm": NAN, "current_iteration": 7}) == [
        ("nan_loss", "critical", {"field": "lm_loss", "value": "nan", "iteration": 7, **root})
    ]
    assert said({"total_loss": -INF})[0][2] == {"field": "total_loss", "value": "-inf", **root}
    assert said({"nan_iterations": 2})[0][2]["nan_iterations"] == 2
    assert said({"grad_norm": NAN})[0][1:] == (
        "error",
        {"field": "grad_norm", "value": "nan", **root},
    )
    assert said({"extra": {"val_loss": NAN, "x": NAN}})[0][2]["field"] == "val_loss"
    assert said({"extra": {"x": NAN}}) == said({}) == []
