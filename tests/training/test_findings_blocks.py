"""Tracebacks and launchers' reports over lines: joined, apart by rank, bounded, the same again."""

from itertools import combinations

import msgspec
import pytest

from heliograph.training.findings import block as one_block
from heliograph.training.findings import blocks, joined
from heliograph.training.findings.block import Block
from heliograph.training.findings.blocks import Blocks
from heliograph.training.parse import parse_line
from tests.training.framed import CAUSE, SOURCE, cut, fed, over_a_restart, told, whole

OTHER = ("p2", "train", "pod-p2", "n1", "main", "stderr")
TRACE = [
    "Traceback (most recent call last):",
    '  File "train.py", line 8, in <module>',
    "    main()",
    "    ^^^^^^",
    '  File "train.py", line 3, in main',
    '    raise ValueError("no data")',
    "ValueError: no data",
]
HANDLED = [
    "",
    "During handling of the above exception, another exception occurred:",
    "",
    "Traceback (most recent call last):",
    '  File "run.py", line 1, in <module>',
    "KeyError: 'x'",
]
REPORT = [
    *TRACE[:3],
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ",
    "============================================================",
    "train.py FAILED",
    "------------------------------------------------------------",
    "Failures:",
    "[1]:",
    "  time      : 2026-01-01_10:00:01",
    "  host      : n2",
    "  rank      : 9 (local_rank: 1)",
    "  exitcode  : 1 (pid: 900)",
    "  error_file: <N/A>",
    "  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html",
    "------------------------------------------------------------",
    "Root Cause (first observed failure):",
    "[0]:",
    "  time      : 2026-01-01_10:00:00",
    "  host      : n1",
    "  rank      : 3 (local_rank: 3)",
    "  exitcode  : -11 (pid: 222)",
    "  error_file: /tmp/e.json",
    "  traceback : Signal 11 (SIGSEGV) received by PID 222",
    "============================================================",
]


def test_a_traceback_is_one_finding():
    (block,) = fed(Blocks(), ["before", *TRACE, "after"])
    one = joined.told(block)
    assert tuple(one.event) == (
        "traceback",
        "error",
        {"exception": "ValueError", "message": "no data", "lines": 7, "role": "root"},
    )
    assert one.body == "\n".join(TRACE)
    assert (block.at_ns, block.said) == (7, TRACE[-1])


def test_of_chained_exceptions_each_is_told_once():
    first, second = (joined.told(one) for one in fed(Blocks(), [*TRACE, *CAUSE]))
    assert (first.event, first.body) == (
        joined.told(*fed(Blocks(), TRACE)).event,
        "\n".join(TRACE),
    )
    assert tuple(second.event) == (
        "traceback",
        "error",
        {
            "exception": "RuntimeError", "message": "the job failed", "follows": "ValueError",
            "lines": 13, "role": "confirmation",
        },
    )  # fmt: skip
    assert second.body == "\n".join([*TRACE, *CAUSE])


RANKS = ("[rank3]: ", "[rank4]: ")
CHAIN = [*TRACE, *HANDLED, *CAUSE]
# Two ranks whose lines come by turns, and one who says something else.
MIXED = [line for mine in CHAIN for line in (RANKS[0] + mine, RANKS[1] + mine, "[rank9]: x")]


@pytest.mark.parametrize("lines", [CHAIN, MIXED], ids=["one rank", "two by turns"])
def test_a_chain_is_the_same_wherever_it_is_cut(lines):
    uncut = whole(Blocks(), cut(lines))
    exceptions = [event.attributes["exception"] for _, _, event, *_ in uncut]
    assert sorted(set(exceptions)) == ["KeyError", "RuntimeError", "ValueError"]
    assert len(exceptions) == 3 * len({rank for *_, rank, _ in uncut})
    for place in range(1, len(lines)):
        assert sorted(whole(Blocks(), cut(lines, place)), key=str) == sorted(uncut, key=str)


def test_a_chain_is_the_same_in_three_parts_and_over_a_restart():
    uncut = sorted(whole(Blocks(), cut(CHAIN)), key=str)
    for first, second in combinations(range(1, len(CHAIN)), 2):
        assert sorted(over_a_restart(CHAIN, first, second), key=str) == uncut


def test_lines_between_the_parts_of_a_chain_begin_it_anew():
    (first,), (second,) = (
        whole(held := Blocks(), cut(TRACE)),
        whole(held, [[], *cut(["step: 5", *CAUSE])]),
    )
    assert (first[2].attributes["exception"], "follows" in second[2].attributes) == (
        "ValueError",
        False,
    )


def test_frames_without_a_word_of_a_chain_need_not_be_looked_at():
    held = Blocks()
    assert not held.idle(b"Traceback (most recent call last):")
    fed(held, TRACE)
    assert held.idle(b"step: 5 loss: 1.5")
    assert not held.idle(b"During handling of the above exception, another exception occurred:")
    assert Blocks().idle(b"During handling of the above exception, another exception occurred:")


def test_what_has_ended_is_forgotten():
    held = Blocks()
    fed(held, TRACE, arrival_ns=0)
    fed(held, [], seq=2, arrival_ns=blocks.SILENT_NS_MAX)
    assert len(held) == 1
    fed(held, [], seq=3, arrival_ns=blocks.SILENT_NS_MAX + 1)
    assert len(held) == 0


def test_no_more_than_so_many_that_have_ended(monkeypatch):
    monkeypatch.setattr(blocks, "ENDED_MAX", 2)
    held = Blocks()
    for number in range(3):
        assert len(fed(held, TRACE, seq=number, source=(f"p{number}", *SOURCE[1:]))) == 1
    assert (len(held), held.counts["evicted"]) == (2, 1)


@pytest.mark.parametrize(
    "prefix",
    [
        "[rank3]: ",
        "[default3]:",
        "3: ",
        "(WorkerDict pid=7) ",
        "2026-01-01T10:00:00.1Z [rank3]: ",
        "trainer-3  | ",
    ],
)
def test_ranks_in_one_stream_stay_apart(prefix):
    other = prefix.replace("3", "4").replace("pid=7", "pid=8")
    mixed = [
        line
        for mine in TRACE
        for line in (prefix + mine, other + mine, "[rank9]: noise", "x: y")
    ]
    found = fed(Blocks(), mixed)
    assert [joined.told(one).body for one in found] == ["\n".join(TRACE)] * 2
    assert len({joined.told(one).label for one in found}) in {1, 2}


def test_times_before_lines_may_differ():
    lines = [f"2026-01-01 10:00:{n:02}.{n}  {text}" for n, text in enumerate(TRACE)]
    assert told(fed(Blocks(), lines)) == [("traceback", "ValueError", None)]


def test_a_logger_s_head_on_the_first_line_only():
    lines = ["2026-01-01 10:00:00 ERROR failed: " + TRACE[0], *TRACE[1:]]
    assert told(fed(Blocks(), lines)) == [("traceback", "ValueError", None)]


def test_one_entry_may_hold_it_all():
    assert told(fed(Blocks(), ["\n".join(TRACE)])) == [("traceback", "ValueError", None)]


def test_a_report_of_torchrun_names_the_root_cause():
    (block,) = fed(Blocks(), REPORT)
    one = joined.told(block)
    assert tuple(one.event) == (
        "process_failed",
        "critical",
        {
            "failed_at": "2026-01-01_10:00:00", "host": "n1", "rank": 3, "local_rank": 3,
            "exitcode": -11, "pid": 222, "signal": "SIGSEGV", "error_file": "/tmp/e.json",
            "message": "Signal 11 (SIGSEGV) received by PID 222", "ranks": [3, 9], "role": "root",
        },
    )  # fmt: skip
    assert one.rank == 3


def test_a_report_takes_what_its_lines_tell():
    held = Blocks()
    held.begin(1)
    taken = [
        held.line(SOURCE, text, text, pod_uid="", at_ns=0, arrival_ns=0, finding="").into
        for text in REPORT
    ]
    assert taken == ["traceback"] * 3 + ["report"] * (len(REPORT) - 3)


def test_an_exception_that_tells_more_is_confirmed():
    lines = [
        *TRACE[:-1],
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB",
    ]
    (block,) = fed(Blocks(), lines, finding="oom")
    assert joined.told(block).event.attributes["role"] == "confirmation"
    assert joined.told(block).event.attributes["finding"] == "oom"


@pytest.mark.parametrize("cut", range(1, len(REPORT)))
def test_what_a_request_cuts_goes_on_in_the_next(cut):
    """But for a traceback whose exception was named: it is finished with its request."""
    held = Blocks()
    found = [*fed(held, REPORT[:cut], seq=1), *fed(held, REPORT[cut:], seq=2)]
    assert [one for one in told(found) if one[0] == "process_failed"] == [
        ("process_failed", None, 3)
    ]
    assert len(held) == 0


def test_a_frame_read_again_gives_the_same():
    held = Blocks()
    fed(held, TRACE[:3], seq=1)
    first = fed(held, TRACE[3:], seq=2)
    assert told(first) == [("traceback", "ValueError", None)]
    assert fed(held, TRACE[3:], seq=2) == first


def test_what_is_kept_goes_on_after_a_restart():
    held = Blocks()
    fed(held, REPORT[:9], seq=1)
    kept = msgspec.msgpack.encode(held.held())
    again = Blocks(msgspec.msgpack.decode(kept, type=tuple[Block, ...]))
    assert fed(again, REPORT[9:], seq=2) == fed(held, REPORT[9:], seq=2)


def test_silence_ends_a_block():
    held = Blocks()
    assert fed(held, TRACE[:4], seq=1, arrival_ns=0) == []
    assert fed(held, ["x"], seq=2, source=OTHER, arrival_ns=blocks.SILENT_NS_MAX) == []
    (block,) = fed(held, ["x"], seq=3, source=OTHER, arrival_ns=blocks.SILENT_NS_MAX + 1)
    assert (block.count, joined.told(block)) == (4, None)
    assert len(held) == 0


def test_the_bounds(monkeypatch):
    monkeypatch.setattr(blocks, "OPEN_MAX", 2)
    held = Blocks()
    for number in range(3):
        source = (f"p{number}", *SOURCE[1:])
        found = fed(held, TRACE[:3], seq=number, source=source)
    assert (len(held), held.counts["evicted"], len(found)) == (2, 1, 1)

    deep = [
        TRACE[0],
        *(['  File "a.py", line 1, in f', "    f()"] * 2000),
        "RecursionError: deep",
    ]
    (block,) = fed(Blocks(), deep)
    said = joined.told(block).event.attributes
    assert len(joined.told(block).body) <= one_block.CHARS_MAX + 100
    assert (said["exception"], said["lines"]) == ("RecursionError", 4002)
    assert said["lines_dropped"] > 3000
    assert joined.told(block).body.endswith("\nRecursionError: deep")

    endless = [TRACE[0], *(["    f()"] * (one_block.LINES_MAX + 5))]
    assert fed(Blocks(), endless)


def test_a_beginning_alone_is_nothing():
    held = Blocks()
    fed(held, [TRACE[0]], arrival_ns=0)
    (block,) = fed(held, [], seq=2, arrival_ns=blocks.SILENT_NS_MAX + 1)
    assert joined.told(block) is None
    assert not Blocks().wants(SOURCE, "ValueError: x")


def test_another_traceback_ends_the_first():
    found = fed(Blocks(), [*TRACE[:3], *TRACE])
    assert [one.exception for one in found] == ["", "ValueError"]


def test_a_message_of_many_lines_that_is_cut_tells_the_same():
    lines = [
        *TRACE[:-1],
        "RuntimeError: CUDA error: unknown",
        "CUDA kernel errors might be late.",
        *CAUSE,
    ]
    uncut = whole(Blocks(), cut(lines))
    for place in range(1, len(lines)):
        found = whole(Blocks(), cut(lines, place))
        assert [(at_ns, said, event) for at_ns, said, event, *_ in found] == [
            (at_ns, said, event) for at_ns, said, event, *_ in uncut
        ]
        # What a message says in more lines is kept where it came with the first.
        assert uncut[0][3].startswith(found[0][3])
        assert uncut[1][3] == found[1][3]


@pytest.mark.parametrize(
    ("name", "severity", "role"),
    [
        ("ValueError", "error", "root"),
        ("my.errors.NoDataError", "error", "root"),
        ("StopIteration", "error", "root"),
        ("KeyboardInterrupt", "info", "confirmation"),
        ("SystemExit", "info", "confirmation"),
        ("ray.exceptions.RayTaskError(ValueError)", "error", "confirmation"),
    ],
)
def test_an_exception_is_the_same_alone_and_behind_its_frames(name, severity, role):
    line = f"{name}: no data"
    (alone,) = parse_line(line).events
    (block,) = fed(Blocks(), [*TRACE[:-1], line])
    for event in (alone, joined.told(block).event):
        assert (event.event_type, event.severity) == ("traceback", severity)
        assert (event.attributes["exception"], event.attributes["role"]) == (name, role)
