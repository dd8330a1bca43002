"""The short way past lines of noise comes to what going through all of them does."""

from array import array
from pathlib import Path
from types import SimpleNamespace

import pytest

from heliograph.alert.model import Context
from heliograph.alert.rules import pack
from heliograph.core.clock import ManualClock
from heliograph.receive.lines import Line, LineBlock, encode_lines
from heliograph.service import line_records
from heliograph.service.findings import Findings
from heliograph.service.line_reading import LineReading, Owned
from heliograph.service.log_patterns import InForce
from heliograph.service.meters import Meters
from heliograph.service.rule_book import Rules
from heliograph.service.rule_feed import RuleFeed
from heliograph.service.unfinished import Unfinished
from heliograph.store.log.catalogue import Frame
from heliograph.store.log.frame import Kind
from heliograph.training import shapes
from heliograph.training.site import Pattern, Site

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


SITE = Site.of({}, [Pattern("mine", "performance", r"mine (?P<lm_loss>\S+) of (?P<epoch>\d+)")])


class Book:
    def in_force(self):
        return InForce(0, SITE.parse, own=True)


def lines(texts):
    for n, text in enumerate(texts):
        uid, name = PODS[n % len(PODS)]
        yield Line(n * 10, uid, "ns", name, "node", "c", "stdout", text)


def reading(meters, keep_lines="findings", rules=None):
    owned = Owned(
        meters,
        pod_named=lambda _, name, at_ns: "p-9" if name == "known" and at_ns % 20 else "",
        workload_of={"p-1": "w", "p-9": ""}.get,
    )
    unfinished = Unfinished([], ManualClock(1))
    findings = Findings()
    return LineReading(
        owned, unfinished, Book(), meters, findings=findings, keep_lines=keep_lines,
        rules=rules or feed([]),
    )  # fmt: skip


def feed(of):
    """The rules *of* at work."""
    rules = Rules(1, {one.id: one for one in of})
    return RuleFeed(
        SimpleNamespace(rules=lambda: rules), SimpleNamespace(read=lambda _: []), ManualClock(1),
        resolve_after_ns=10**9, owner=lambda uid, *_: Context(pod_id=uid),
    )  # fmt: skip


def told(frames, monkeypatch, *, plainly):
    meters, rules = Meters(), feed(pack.rules())
    made = reading(meters, rules=rules)
    if not plainly:
        monkeypatch.setattr(made, "_is_plain", lambda *_: False)
    effects = [made.effects_of(frame) for frame in frames]
    counted = (meters.log_lines, meters.attributed, meters.unattributed, meters.pattern_matches)
    counts = [{key: count for key, count in one.items() if count} for one in counted]
    same = [(one.rows, one.records, sorted(one.kinds.items()), sorted(one.rules.items())) for one in effects]  # fmt: skip
    return repr((same, rules.posts(), made.tally.gaps(), made.tally._hits)), counts, effects


def frame(seq, texts):
    of = list(lines(texts))
    return Frame(seq, Kind.LINES, len(of), 5, encode_lines(of), None)


@pytest.mark.parametrize("more", [[], TRACE])
def test_the_short_way_comes_to_the_same(monkeypatch, more):
    frames = [frame(1, TEXTS * 10), frame(2, [*TEXTS, *more]), frame(3, TEXTS), frame(3, TEXTS)]
    short = told(frames, monkeypatch, plainly=True)
    assert short[:2] == told(frames, monkeypatch, plainly=False)[:2]
    assert short[2][0].rows
    assert short[2][0].records


@pytest.mark.parametrize("remembered", [1, 20_000])
def test_lines_that_are_read_by_plan_come_to_the_same(monkeypatch, remembered):
    monkeypatch.setattr(line_records, "ORIGINS_MAX", remembered)
    monkeypatch.setattr(shapes, "LINES_PER_LESSON", 1)
    scales = [65536.0] * 30 + [32768.0, 128.0, 4.0, 1.0]
    texts = []
    for n in range(100, 190):
        scale = scales[min((n - 100) // 2, len(scales) - 1)]
        texts += [
            f"iteration {n}/ 999 | lm loss: 2.{n} | loss scale: {scale} | number of nan iterations:   {n % 40 == 0:d} |",
            f"NCCL INFO Channel {n}/0 : 1[1] -> 0[0] via P2P",
            f"saving checkpoint at iteration     {n} to /ckpt in torch_dist format",
            f"[default3]: successfully saved checkpoint at iteration     {n} to /ckpt",
            f"NVRM: Xid (PCI:0000:03:00): {(63, 79)[n % 2]}, pid={n}, Row Remapper",
            f"mine 2.{n} of {n}",
            f"Epoch 1:  50%|#####     | {n}/999 [00:01<00:01,  9.50it/s, v_num=0, train_loss=0.{n}]",
            f"iteration {n} loss per token is odd",
        ]
    frames = [frame(n, texts[n * 80 : n * 80 + 80]) for n in range(1, 9)]
    short = told(frames, monkeypatch, plainly=True)
    assert short[:2] == told(frames, monkeypatch, plainly=False)[:2]
    kinds = {record.event_type for effects in short[2] for record in effects.records}
    assert kinds >= {"xid", "loss_scale_collapse", "checkpoint_save_start", "nan_loss"} - {
        "nan_loss"
    }
    assert "'mine': " in short[0]


@pytest.mark.parametrize("name", ["deepspeed", "hf_diverged", "lightning_tty", "ranks_memory"])
def test_sessions_come_to_the_same(monkeypatch, name):
    log = Path(__file__).parents[1] / "training" / "sessions" / f"{name}.log"
    texts = log.read_text("utf-8").splitlines()[:120]
    frames = [frame(n, texts[n * 20 : n * 20 + 20]) for n in range(6)]
    short = told(frames, monkeypatch, plainly=True)
    assert short[:2] == told(frames, monkeypatch, plainly=False)[:2]


class Looked(array):
    """A column that knows how often somebody went through it."""

    times = 0

    def __iter__(self):
        self.times += 1
        return super().__iter__()


def test_lines_of_many_pods_that_are_known_by_name_are_counted_in_one_pass():
    names = [("", f"p-{n}") for n in range(50)] + [("p-1", "told"), ("", "")]
    block = LineBlock.of(
        Line(n, uid, "ns", name, "", "c", "stdout", "x")
        for n, (uid, name) in enumerate(2 * names)
    )
    column, meters = Looked("I", block.source_of.tobytes()), Meters()
    block.source_of = column
    asked = []

    def pod_named(_, name, at_ns):
        asked.append((name, at_ns))
        return f"{name} of {at_ns}" if name == "p-7" else ""

    Owned(
        meters, pod_named=pod_named, workload_of={"p-7 of 7": "w", "p-1": "w"}.get
    ).count_block(block)
    assert column.times <= 1
    assert asked == [(f"p-{n % 52}", n) for n in range(104) if n % 52 < 50]
    assert dict(meters.attributed.items()) == {("lines", "name"): 1, ("lines", "pod_uid"): 2}
    assert dict(meters.unattributed.items()) == {
        ("lines", "unknown_pod"): 99, ("lines", "no_identity"): 2
    }  # fmt: skip


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


def test_a_line_that_ends_a_level_is_kept_whether_it_is_told_again_or_not():
    scales = [*[65536.0] * 60, 1.0]
    texts = [f"iteration {n}/ 999 | loss scale: {one} |" for n, one in enumerate(scales, 100)]
    made = reading(Meters(), keep_lines="all")
    ((_, *first), (_, *again)) = (
        [record.record_id for record in made.effects_of(frame(n, texts)).records[-2:]]
        for n in (1, 2)
    )
    assert first == again
