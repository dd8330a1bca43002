"""The walk over a body gives what the general way gives, or nothing."""

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heliograph.kernels import log_body
from heliograph.receive import logs
from heliograph.receive.lines import Line, LineBlock, decode_block, encode_block
from heliograph.receive.logs import LogLimits

ARRIVAL = 1_767_225_600 * 10**9
LIMITS = LogLimits(entries=6, lines=12, entry_chars=40, rejected=5)


def general(raw, limits):
    from heliograph.core.errors import Refused

    try:
        return logs.general(raw, ARRIVAL, "10.0.0.9", limits)
    except Refused as refused:
        return refused.code


def walked(raw, limits):
    found = logs._walked(raw, ARRIVAL, "10.0.0.9", limits)
    return None if found is None else logs._batch(found, 0)


TEXTS = st.text(
    st.sampled_from(["a", " ", "\n", "\r", "\t", '"', "\\", "é", "\u2028", "\xa0", "😀", "0"]),
    max_size=12,
)
DATES = st.sampled_from(
    [
        1767225599.5,
        1767225599,
        0,
        -1.5,
        1e300,
        "2025-12-02T09:12:08Z",
        "",
        "x",
        None,
        True,
        1e-9,
    ]
)
PODS = st.sampled_from(
    [
        {"pod_name": "llm-0", "namespace_name": "train", "pod_id": "p-1", "host": "n1"},
        {
            "pod_name": "llm-é",
            "labels": {"a": [1, 2.5e3, {}, []], "b": None},
            "container_name": "c",
        },
        {"pod_name": 7},
        {},
        None,
        "x",
    ]
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "date": DATES,
        "time": DATES,
        "stream": st.sampled_from(["stdout", "stderr", "", "ö", None]),
        "logtag": st.sampled_from(["F", "P", ""]),
        "log": TEXTS,
        "message": TEXTS,
        "kubernetes": PODS,
        "hostname": st.just("h"),
        "other": st.sampled_from([[], [1, "a"], {"a": {"b": False}}, -0.5, "\\u00e9", "é\n"]),
    },
)
SHAPES = {
    "array": lambda parts: "[" + ",".join(parts) + "]",
    "spaced": lambda parts: " [ " + " ,\n".join(parts) + " ] \n",
    "lines": lambda parts: "\n".join(parts) + "\n",
    "crlf": "\r\n".join,
    "stream": "".join,
    "commas": ",".join,
    "open": lambda parts: "[" + ",".join(parts),
}


@given(
    st.lists(ENTRIES, min_size=1, max_size=8),
    st.sampled_from(sorted(SHAPES)),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_what_is_walked_is_what_is_read(entries, shape, escaped, indent):
    parts = [json.dumps(one, ensure_ascii=escaped, indent=indent) for one in entries]
    raw = SHAPES[shape](parts).encode()
    found = walked(raw, LIMITS)
    assert found is None or found == general(raw, LIMITS)


WHOLE = (
    b'[{"date":1767225599.123456,"stream":"stdout","logtag":"F","log":"a\\tb \\u00e9\\ud83d\\ude00\\n",'
    b'"kubernetes":{"pod_name":"llm-0","pod_id":"p-1","labels":{"a":"b"}}},{"log":"c\\r\\nd\\n\\n"}]'
)


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.sampled_from("=+-"))
@example(0, 0x7B, "=")
def test_a_changed_byte_is_read_alike(at, byte, how):
    """Bodies that are damaged in one place: the walk takes them only where they say the same."""
    tail = WHOLE[at + 1 :] if how != "+" else WHOLE[at:]
    raw = WHOLE[:at] + (b"" if how == "-" else bytes([byte])) + tail
    try:
        raw.decode()
    except UnicodeDecodeError:
        return
    found = walked(raw, LogLimits())
    assert found is None or found == general(raw, LogLimits())


@pytest.mark.skipif(not log_body.COMPILED, reason="no compiler")
def test_the_usual_bodies_are_walked():
    found = walked(WHOLE, LogLimits())
    pod = ("p-1", "", "llm-0", "", "")
    assert found.lines == (
        Line(1767225599123456000, *pod, "stdout", "a\tb é😀"),
        Line(ARRIVAL, "", "", "", "", "", "", "c", False, False),
        Line(ARRIVAL, "", "", "", "", "", "", "d", False, False),
    )
    assert (found.received, found.counts.blank, found.counts.time_missing) == (2, 1, 1)
    assert found == general(WHOLE, LogLimits())


@pytest.mark.skipif(not log_body.COMPILED, reason="no compiler")
@pytest.mark.parametrize(
    "seconds",
    ["1767225599.0000005", "1767225599.9999995", "0.000001", "99999999999.5", "12.34e1"],
)
def test_fractions_of_seconds_are_rounded_as_python_rounds_them(seconds):
    raw = b'[{"date": %b, "log": "a"}]' % seconds.encode()
    assert walked(raw, LogLimits()) == general(raw, LogLimits())


@given(st.floats(0, 1e11, allow_nan=False, exclude_min=True))
def test_any_fraction_of_seconds_is_the_same_instant(seconds):
    raw = b'{"date": %b, "log": "a"}' % repr(seconds).encode()
    found = walked(raw, LogLimits())
    assert found is None or found == general(raw, LogLimits())


def test_frames_of_an_earlier_version_are_read():
    import cramjam

    lines = [
        Line(5, "p", "ns", "pod", "n", "c", "stdout", "text", True, False),
        Line(6, *[""] * 7),
    ]
    old = bytes(cramjam.zstd.compress(msgspec.msgpack.encode(lines)))
    assert decode_block(old) == lines


def test_a_block_is_a_sequence_of_lines():
    lines = [Line(n, "p", "", "", "", "", "stdout", f"é{n}", n == 2) for n in range(3)]
    block = decode_block(encode_block(LineBlock.of(lines)))
    assert block == lines
    assert (block[-1], block[1:], len(block)) == (lines[2], lines[1:], 3)
    assert (block.text(1), block.all_whole, LineBlock.of(lines[:2]).all_whole) == (
        "é1",
        False,
        True,
    )
    with pytest.raises(IndexError):
        block[3]
