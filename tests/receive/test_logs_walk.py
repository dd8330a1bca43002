"""The walk over a body gives what the general way gives, or nothing."""

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heliograph.kernels import log_body
from heliograph.receive import lines, logs
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
        *(
            {"pod_name": "llm-worker-of-a-long-name", "pod_id": "6f2a4c1e-0000", "host": name}
            for name in ("n1", "n2", "n22")
        ),
        {"labels": {"of": "x" * 70}, "pod_name": "a"},
        {"labels": {"of": "x" * 70}, "pod_name": "b", "host": "n1"},
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


@pytest.mark.skipif(not log_body.COMPILED, reason="no compiler")
def test_pods_that_begin_alike_are_told_apart(monkeypatch):
    """More of one beginning than the table has places for, in several bodies, and one cut short."""
    pods = log_body.Pods()
    monkeypatch.setattr(logs, "_PODS", pods)
    head = "p" * 80
    names = [f"{head}{n}" for n in range(40)]
    for _ in range(2):
        entries = [
            {
                "log": f"line of {name}",
                "date": 1767225599.5,
                "stream": stream,
                "kubernetes": {"pod_name": name, "host": name[-1], "pod_id": ""},
            }
            for name in names
            for stream in ("stdout", "stderr", "other")
        ]
        raw = json.dumps(entries).encode()
        found = walked(raw, LogLimits())
        assert found == general(raw, LogLimits())
        assert {line.pod_name for line in found.lines} == set(names)
        assert walked(raw[: raw.rindex(b"}}")], LogLimits()) is None
    assert len(pods) == len(names)


@pytest.mark.skipif(not log_body.COMPILED, reason="no compiler")
def test_pods_remembered_are_bounded(monkeypatch):
    pods = log_body.Pods()
    monkeypatch.setattr(logs, "_PODS", pods)
    long = "x" * log_body.POD_BYTES_MAX
    raw = json.dumps([{"log": "a", "kubernetes": {"pod_name": long}}]).encode()
    assert walked(raw, LogLimits()).lines[0].pod_name == long
    assert len(pods) == 0
    for start in range(0, 2 * log_body.PODS_MAX, log_body.PODS_MAX // 2):
        entries = [
            {"log": "a", "kubernetes": {"pod_name": f"{'of-a-long-name-' * 6}{start + n}"}}
            for n in range(log_body.PODS_MAX // 2 + 1)
        ]
        found = walked(json.dumps(entries).encode(), LogLimits())
        assert [line.pod_name for line in found.lines] == [
            one["kubernetes"]["pod_name"] for one in entries
        ]
        assert 0 < len(pods) <= log_body.PODS_MAX


@pytest.mark.skipif(not log_body.COMPILED, reason="no compiler")
def test_a_body_of_many_short_lines_is_walked():
    raw = json.dumps([{"log": "\n".join("ab" * 500)}, {"log": "c\n" * 3000}]).encode()
    found = walked(raw, LogLimits())
    assert len(found.lines) == 4000
    assert found == general(raw, LogLimits())
    assert walked(raw, LogLimits(lines=3999)) is None


LARGE = LineBlock.of(Line(n, *["p"] * 6, "x" * 1000 + str(n)) for n in range(1200))


@pytest.mark.parametrize(
    ("block", "mark"), [(LineBlock.of(LARGE[:3]), 3), (LARGE, 2)], ids=["small", "large"]
)
def test_a_block_is_packed_as_its_size_demands(block, mark):
    packed = encode_block(block)
    assert packed[0] == mark
    assert decode_block(packed) == block
    for damaged in (packed[:-1], packed[:1], bytes([mark]) + packed[3:]):
        with pytest.raises(ValueError):
            decode_block(damaged)


def test_small_frames_of_the_version_before_are_read():
    import cramjam

    block = LineBlock.of(LARGE[:3])
    same = bytes(cramjam.lz4.decompress_block(encode_block(block)[1:]))
    assert decode_block(b"\x02" + bytes(cramjam.zstd.compress(same, level=1))) == block


def test_names_of_sources_that_are_remembered_are_bounded(monkeypatch):
    monkeypatch.setattr(lines, "_NAMED_MAX", 3)
    monkeypatch.setattr(lines, "_NAMED", {})
    for n in range(10):
        block = LineBlock.of([Line(0, f"é{n}\ud800", "", "", "", "", "stdout", "text")])
        assert decode_block(encode_block(block)) == block
        assert len(lines._NAMED) <= 3
    known = len(lines._NAMED)
    block = LineBlock.of([Line(0, "x" * lines._NAMED_BYTES_MAX, "", "", "", "", "out", "text")])
    assert decode_block(encode_block(block)) == block
    assert len(lines._NAMED) == known


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
