"""Tracebacks and launchers' reports over lines: joined, apart by rank, bounded, the same again."""

import msgspec
import pytest

from heliograph.training.findings import blocks, joined
from heliograph.training.findings.blocks import Block, Blocks

SECOND_NS = 10**9
SOURCE = ("p1", "train", "pod-p1", "n1", "main", "stderr")
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
CAUSE = [
    "",
    "The above exception was the direct cause of the following exception:",
    "",
    "Traceback (most recent call last):",
    '  File "run.py", line 1, in <module>',
    "RuntimeError: the job failed",
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


def fed(held, lines, *, seq=1, source=SOURCE, arrival_ns=SECOND_NS, finding=""):
    """What a frame of *lines* finishes, in order."""
    held.begin(seq)
    found = []
    for at_ns, text in enumerate(lines):
        if held.wants(source, text):
            taken = held.line(
                source,
                text,
                text,
                pod_uid="p1",
                at_ns=at_ns,
                arrival_ns=arrival_ns,
                finding=finding,
            )
            found.extend(taken.finished)
    return [*found, *held.end(arrival_ns)]


def told(found):
    return [
        (one.event.event_type, one.event.attributes.get("exception"), one.rank)
        for block in found
        if (one := joined.told(block)) is not None
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


def test_chained_exceptions_are_one_finding():
    (block,) = fed(Blocks(), [*TRACE, *CAUSE])
    assert joined.told(block).event.attributes["exception"] == "RuntimeError"
    assert joined.told(block).body == "\n".join([*TRACE, *CAUSE])


@pytest.mark.parametrize(
    "prefix",
    [
        "[rank3]: ",
        "[default3]:",
        "3: ",
        "(WorkerDict pid=7) ",
        "2026-01-01T10:00:00.1Z [rank3]: ",
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
    assert len(joined.told(block).body) <= blocks.CHARS_MAX + 100
    assert (said["exception"], said["lines"]) == ("RecursionError", 4002)
    assert said["lines_dropped"] > 3000
    assert joined.told(block).body.endswith("\nRecursionError: deep")

    endless = [TRACE[0], *(["    f()"] * (blocks.LINES_MAX + 5))]
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
