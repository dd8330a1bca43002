"""The short way past lines of noise comes to what going through all of them does."""

import pytest

from heliograph.core.clock import ManualClock
from heliograph.receive.lines import Line, encode_lines
from heliograph.service.findings import Findings
from heliograph.service.line_reading import LineReading, Owned
from heliograph.service.log_patterns import InForce
from heliograph.service.meters import Meters
from heliograph.service.unfinished import Unfinished
from heliograph.store.log.catalogue import Frame
from heliograph.store.log.frame import Kind
from heliograph.training.parse import parse_line

TEXTS = [
    "iteration 3/ 99 | lm loss: 2.5 | loss scale: 1.0 |",
    "NCCL INFO Channel 01/0 : 1[1] -> 0[0] via P2P",
    "saving checkpoint at iteration       7 to /ckpt in torch_dist format",
    "NVRM: Xid (PCI:0000:03:00): 79, pid=12, GPU has fallen off the bus",
    "iteration 4 loss per token is odd",
    "nothing at all",
]
TRACE = [
    "Traceback (most recent call last):",
    '  File "a.py", line 3, in <module>',
    "ValueError: no",
]
PODS = [("p-1", "named"), ("", "known"), ("", "unknown"), ("", ""), ("p-2", "")]


class Book:
    def in_force(self):
        return InForce(0, parse_line, own=False)


def lines(texts):
    for n, text in enumerate(texts):
        uid, name = PODS[n % len(PODS)]
        yield Line(n * 10, uid, "ns", name, "node", "c", "stdout", text)


def reading(meters, keep_lines="findings"):
    owned = Owned(
        meters,
        pod_named=lambda _, name, at_ns: "p-9" if name == "known" and at_ns % 20 else "",
        workload_of={"p-1": "w", "p-9": ""}.get,
    )
    unfinished = Unfinished([], ManualClock(1))
    findings = Findings()
    return LineReading(
        owned, unfinished, Book(), meters, findings=findings, keep_lines=keep_lines, rules=None
    )


def told(frames, monkeypatch, *, plainly):
    meters = Meters()
    made = reading(meters)
    if not plainly:
        monkeypatch.setattr(made, "_is_plain", lambda *_: False)
    effects = [made.effects_of(frame) for frame in frames]
    counted = (meters.log_lines, meters.attributed, meters.unattributed, meters.pattern_matches)
    return effects, [one.items() for one in counted], made.tally.gaps()


def frame(seq, texts):
    of = list(lines(texts))
    return Frame(seq, Kind.LINES, len(of), 5, encode_lines(of), None)


@pytest.mark.parametrize("more", [[], TRACE])
def test_the_short_way_comes_to_the_same(monkeypatch, more):
    frames = [frame(1, TEXTS * 10), frame(2, [*TEXTS, *more]), frame(3, TEXTS), frame(3, TEXTS)]
    short = told(frames, monkeypatch, plainly=True)
    assert short == told(frames, monkeypatch, plainly=False)
    assert short[0][0].rows
    assert short[0][0].records


def test_a_line_in_pieces_takes_the_long_way():
    first, second = (
        Line(1, "p-1", "", "", "", "", "", text)
        for text in ("iteration 3/ 9 ", "| lm loss: 2.5 |")
    )
    import msgspec

    pieces = [[msgspec.structs.replace(first, partial=True)], [second]]
    made = reading(Meters())
    frames = [
        Frame(n, Kind.LINES, 1, 5, encode_lines(p), None) for n, p in enumerate(pieces, 1)
    ]
    assert made.effects_of(frames[0]).rows == []
    for _ in range(2):
        (row,) = made.effects_of(frames[1]).rows
        assert (row.iteration, row.fields["lm_loss"]) == (3, 2.5)
