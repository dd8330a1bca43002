import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Refused
from heliograph.receive import logs
from heliograph.receive.lines import LINE_BYTES_MAX, Line
from heliograph.receive.logs import LogCounts, LogLimits

S = 10**9
ARRIVAL = 1_767_225_600 * S
POD = {
    "pod_name": "llm-0",
    "namespace_name": "train",
    "pod_id": "p-1",
    "host": "n1",
    "container_name": "main",
    "labels": {"training.kubeflow.org/job-name": "llm"},
}


def decode(body, encoding=None, **limits):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return logs.decode(
        raw,
        content_encoding=encoding,
        arrival_ns=ARRIVAL,
        sender="10.0.0.9",
        limits=LogLimits(**limits),
    )


def entry(text="hello\n", date=ARRIVAL / S - 1, **more):
    return {
        "date": date,
        "stream": "stdout",
        "logtag": "F",
        "log": text,
        "kubernetes": POD,
    } | more


def line(text="hello", at_ns=ARRIVAL - S, *, partial=False, at_known=True, stream="stdout"):
    return Line(at_ns, "p-1", "train", "llm-0", "n1", "main", stream, text, partial, at_known)


def texts(batch):
    return [each.text for each in batch.lines]


def test_an_entry_becomes_a_line():
    batch = decode([entry()])
    assert batch == logs.LogBatch(
        lines=(line(),),
        received=1,
        rejected=(),
        rejected_total=0,
        latencies=(("n1", (1.0,)),),
        counts=LogCounts(),
    )
    assert batch.accepted == 1


def bodies():
    one, two = entry("one\n"), entry("two\n")
    a, b = json.dumps(one), json.dumps(two)
    return {
        "array": f"[{a},{b}]",
        "array, pretty": json.dumps([one, two], indent=2),
        "json_lines": f"{a}\n{b}\n",
        "json_lines, crlf": f"{a}\r\n\r\n{b}\r\n",
        "json_stream": f"{a}{b}",
        "separated by commas": f"{a},{b}",
        "arrays in lines": f"[{a}]\n[{b}]",
        "byte order mark": f"\ufeff[{a},{b}]",
        "space around": f" \n[{a},{b}]\n\n",
        "escaped": json.dumps([one, two]).replace("one", "\\u006fne"),
    }


@pytest.mark.parametrize("form", bodies())
@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_every_form_of_body_is_read(form, encoding):
    raw = bodies()[form].encode()
    batch = decode(gzip.compress(raw) if encoding else raw, encoding)
    assert (texts(batch), batch.received, batch.rejected) == (["one", "two"], 2, ())


def test_a_single_object_is_read_pretty_or_not():
    assert texts(decode(entry())) == ["hello"]
    assert texts(decode(json.dumps(entry(), indent=2).encode())) == ["hello"]
    odd = json.dumps(entry(x=float("nan")), indent=2).encode()
    assert texts(decode(odd)) == ["hello"]


TEXTS = [
    # what                            entry                                          lines
    ("log",                           {"log": "a\n"},                                ["a"]),
    ("message",                       {"message": "a"},                              ["a"]),
    ("message wins",                  {"log": "a", "message": "b"},                  ["b"]),
    ("an empty message does not",     {"log": "a", "message": ""},                   ["a"]),
    ("null message",                  {"log": "a", "message": None},                 ["a"]),
    ("journald",                      {"MESSAGE": "a"},                              ["a"]),
    ("log before journald",           {"MESSAGE": "a", "log": "b"},                  ["b"]),
    ("one newline is stripped",       {"log": "a\r\n"},                              ["a"]),
    ("inner spaces stay",             {"log": "  a  \n"},                            ["  a  "]),
    ("physical lines",                {"log": "Traceback:\n  File x\nE: y\n"},       ["Traceback:", "  File x", "E: y"]),
    ("blank ones are dropped",        {"log": "a\n\n \nb"},                          ["a", "b"]),
    ("empty text",                    {"log": ""},                                   []),
    ("a progress bar is one line",    {"log": "1%\r2%\r3%\n"},                       ["1%\r2%\r3%"]),
    ("escape bytes stay",             {"log": "\x1b[32mok\x1b[0m\n"},                ["\x1b[32mok\x1b[0m"]),
    ("text that is JSON stays",       {"log": '{"a":"b"}\n'},                        ['{"a":"b"}']),
    ("message wins though log is 5",  {"log": 5, "message": "b"},                    ["b"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given_", "expected"), [pytest.param(e, x, id=i) for i, e, x in TEXTS]
)
def test_the_text_of_an_entry(given_, expected):
    batch = decode([given_])
    assert (texts(batch), batch.accepted) == (expected, 1)


def test_blank_lines_are_counted():
    assert decode([entry("a\n\n \nb\n"), entry("")]).counts == LogCounts(blank=3)


# Each body has, after what is odd in it, one good entry; it must come through.
GOOD = json.dumps(entry("good\n")).encode()
ODD_ENTRIES = [
    # what                        raw JSON of the odd entry                        reason, or None when it is read
    ("null",                      b"null",                                         "not_object"),
    ("a number",                  b"5",                                            "not_object"),
    ("a string",                  b'"text"',                                       "not_object"),
    ("true",                      b"true",                                         "not_object"),
    ("an array",                  b"[]",                                           "not_object"),
    ("a nested array",            b'[[{"log":"x"}]]',                              "not_object"),
    ("an event array",            b'[1554141513.5,{"log":"x"}]',                   "not_object"),
    ("an empty object",           b"{}",                                           "no_text"),
    ("no text",                   b'{"stream":"stdout"}',                          "no_text"),
    ("null text",                 b'{"log":null}',                                 "no_text"),
    ("number as text",            b'{"log":5}',                                    "no_text"),
    ("object as text",            b'{"message":{"a":1}}',                          "no_text"),
    ("journald bytes",            b'{"MESSAGE":[104,105]}',                        "no_text"),
    ("true as text",              b'{"log":true}',                                 "no_text"),
    ("bare word",                 b"nonsense",                                     "syntax"),
    ("no value",                  b'{"log":}',                                     "syntax"),
    ("single quotes",             b"{'log':'x'}",                                  "syntax"),
    ("trailing comma",            b'{"log":"x",}',                                 "syntax"),
    ("unquoted key",              b'{log:"x"}',                                    "syntax"),
    ("bad escape",                b'{"log":"\\q"}',                                "syntax"),
    ("undefined",                 b'{"log":undefined}',                            "syntax"),
    ("leading zero",              b'{"log":"x","date":01}',                        "syntax"),
    ("hexadecimal",               b'{"log":"x","date":0x1}',                       "syntax"),
    ("deep array",                b'{"log":"x","y":' + b"[" * 99999 + b"]" * 99999 + b"}", "too_deep"),
    ("deep object",               b'{"log":"x","y":' + b'{"a":' * 99999 + b"1" + b"}" * 100000, "too_deep"),
    ("NaN date",                  b'{"log":"x","date":NaN}',                       None),
    ("infinite date",             b'{"log":"x","date":-Infinity}',                 None),
    ("NaN elsewhere",             b'{"log":"x","loss":NaN}',                       None),
    ("huge integer",              b'{"log":"x","date":' + b"9" * 6000 + b"}",      None),
    ("huge integer elsewhere",    b'{"log":"x","n":' + b"9" * 6000 + b"}",         None),
    ("huge float",                b'{"log":"x","date":1e999}',                     None),
    ("lone surrogate",            b'{"log":"\\ud83d x"}',                          None),
    ("surrogates reversed",       b'{"log":"\\ude00\\ud83d x"}',                   None),
    ("lone surrogate elsewhere",  b'{"log":"x","y":"\\ud83d"}',                    None),
    ("escaped NUL",               b'{"log":"\\u0000x"}',                           None),
    ("raw control characters",    b'{"log":"a\tb\x01"}',                           None),
    ("bad UTF-8",                 b'{"log":"\xff\xfe x"}',                         None),
    ("overlong UTF-8",            b'{"log":"\xc0\x80 x"}',                         None),
    ("surrogate in UTF-8",        b'{"log":"\xed\xa0\x80 x"}',                     None),
    ("bad UTF-8 elsewhere",       b'{"log":"x","y":"\xff"}',                       None),
    ("duplicate keys",            b'{"log":"y","log":"x"}',                        None),
    ("date is an object",         b'{"log":"x","date":{}}',                        None),
    ("date is true",              b'{"log":"x","date":true}',                      None),
    ("date is text",              b'{"log":"x","date":"soon"}',                    None),
    ("time is an object",         b'{"log":"x","time":{"a":1}}',                   None),
    ("stream is a number",        b'{"log":"x","stream":1}',                       None),
    ("logtag is a list",          b'{"log":"x","logtag":["P"]}',                   None),
    ("kubernetes is text",        b'{"log":"x","kubernetes":"no"}',                None),
    ("kubernetes is null",        b'{"log":"x","kubernetes":null}',                None),
    ("kubernetes is a list",      b'{"log":"x","kubernetes":[1]}',                 None),
    ("pod name is a number",      b'{"log":"x","kubernetes":{"pod_name":5}}',      None),
    ("labels are a number",       b'{"log":"x","kubernetes":{"labels":5}}',        None),
    ("key is empty",              b'{"":1,"log":"x"}',                             None),
]  # fmt: skip


ODD_IN_FORMS = [
    pytest.param(raw, reason, form, id=f"{what}, {form}")
    for what, raw, reason in ODD_ENTRIES
    for form in ("array", "lines")
    # A line that is an array stands for its items, so it is no odd entry.
    if form == "array" or not raw.startswith(b"[")
]


@pytest.mark.parametrize(("odd", "reason", "form"), ODD_IN_FORMS)
def test_one_odd_entry_never_costs_the_batch(odd, reason, form):
    raw = b"[" + odd + b"," + GOOD + b"]" if form == "array" else odd + b"\n" + GOOD + b"\n"
    batch = decode(raw)
    assert batch.received == 2
    assert texts(batch)[-1] == "good"
    assert [(part.index, part.reason) for part in batch.rejected] == (
        [(0, reason)] if reason else []
    )
    assert len(batch.lines) == 2 - bool(reason)
    for part in batch.rejected:
        assert part.detail.encode()
    for each in batch.lines:
        assert each.text.encode()


def test_what_was_mended_is_counted():
    assert decode(b'[{"log":"\xff\xfe"}]').counts == LogCounts(time_missing=1, invalid_utf8=2)
    batch = decode(b'[{"log":"a\\ud83d\\ude00\\ud83d"}]')
    assert texts(batch) == ["a😀\ufffd"]
    assert batch.counts == LogCounts(time_missing=1, invalid_utf8=1)


REFUSED = [
    ("empty",                   b"",                          400, "json"),
    ("blank",                   b" \n ",                      400, "json"),
    ("prose",                   b"hello, world",              400, "json"),
    ("html",                    b"<html></html>",             400, "json"),
    ("protobuf",                b"\x0a\x12\x08\xff",          400, "json"),
    ("a depth bomb",            b"[" * 1_000_000,             400, "json"),
    ("a depth bomb of objects", b'{"a":' * 1_000_000,         400, "json"),
    ("cut in its first entry",  b'[{"log": "x',               400, "json"),
    ("UTF-16",                  "[]".encode("utf-16"),        400, "encoding"),
    ("UTF-16 without a mark",   "[]".encode("utf-16-le"),     400, "encoding"),
    ("gzip unannounced",        gzip.compress(b"[]"),         400, "gzip"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "status", "code"), [pytest.param(*row, id=what) for what, *row in REFUSED]
)
def test_what_is_no_json_at_all_is_refused(raw, status, code):
    with pytest.raises(Refused) as caught:
        decode(raw)
    assert (caught.value.status, caught.value.code, caught.value.field) == (
        status,
        code,
        "body",
    )


def test_an_empty_array_is_no_entries():
    assert (decode(b"[]").received, decode(b" [ ] ").received) == (0, 0)


def test_a_truncated_array_costs_the_entry_that_is_cut():
    batch = decode(b"[" + GOOD + b"," + GOOD[:50])
    assert (texts(batch), batch.received) == (["good"], 2)
    assert [(part.index, part.reason) for part in batch.rejected] == [(1, "syntax")]


def test_each_bad_line_is_rejected_by_itself():
    batch = decode(b'{"log":"a\n' + GOOD + b'\nnot, json\n{"log":}\n' + GOOD)
    assert (texts(batch), batch.received, batch.rejected_total) == (["good", "good"], 5, 3)
    assert [part.index for part in batch.rejected] == [0, 2, 3]


TIMES = [
    # what                             fields                                                        instant       known
    ("date",                           {"date": 1764666728.5},                                       1764666728500000000, True),
    ("date in ms",                     {"date": 1764666728500},                                      1764666728500000000, True),
    ("date in ISO 8601",               {"date": "2025-12-02T09:12:08.5Z"},                           1764666728500000000, True),
    ("date before time",               {"date": 1764666728.5, "time": "2019-04-01T17:58:33Z"},       1764666728500000000, True),
    ("time where date is missing",     {"date": None, "time": "2019-04-01T17:58:33.598656444Z"},     1554141513598656444, True),
    ("time where date is invalid",     {"date": "x", "time": "2019-04-01T17:58:33.598656444Z"},      1554141513598656444, True),
    ("neither",                        {"date": None},                                               ARRIVAL,             False),
    ("both invalid",                   {"date": -1, "time": "x"},                                    ARRIVAL,             False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "at_ns", "known"), [pytest.param(*row, id=what) for what, *row in TIMES]
)
def test_the_time_of_an_entry(fields, at_ns, known):
    batch = decode([entry(**fields)])
    assert batch.lines == (line(at_ns=at_ns, at_known=known),)
    assert batch.counts.time_missing == (not known)
    assert bool(batch.latencies) == known


def test_latency_is_by_node_and_never_negative():
    batch = decode(
        [
            entry(date=ARRIVAL / S - 2),
            entry(date=ARRIVAL / S + 5),
            {"date": ARRIVAL / S - 3, "message": "journal line", "hostname": "n"},
        ]
    )
    assert batch.latencies == (("n1", (2.0, 0.0)), ("10.0.0.9", (3.0,)))
    assert batch.counts == LogCounts(future=1)
    assert batch.lines[2] == Line(ARRIVAL - 3 * S, "", "", "", "n", "", "", "journal line")


def test_partial_lines_are_joined_within_the_batch():
    first = ARRIVAL // S - 9
    batch = decode(
        [
            entry("a", logtag="P", date=first),
            entry("other\n", stream="stderr"),
            entry("b", logtag="P"),
            entry("c", logtag="F"),
            entry("d", logtag="P"),
        ]
    )
    assert batch.lines == (
        line("other", stream="stderr"),
        line("abc", first * S),
        line("d", partial=True),
    )


def test_an_empty_piece_ends_a_partial_line():
    assert decode([entry("a", logtag="P"), entry("", logtag="F")]).lines == (line("a"),)


def test_same_name_other_uid_is_another_pod():
    other = POD | {"pod_id": "p-2"}
    batch = decode([entry("a", logtag="P"), entry("b", kubernetes=other)])
    assert [(each.pod_uid, each.text, each.partial) for each in batch.lines] == [
        ("p-2", "b", False),
        ("p-1", "a", True),
    ]


def test_a_long_line_is_cut_and_counted():
    batch = decode([entry("x" * LINE_BYTES_MAX), entry("y" * LINE_BYTES_MAX + "z\n")])
    assert texts(batch) == ["x" * LINE_BYTES_MAX, "y" * LINE_BYTES_MAX]
    assert batch.counts == LogCounts(cut=1)


def test_an_entry_that_is_too_large_is_rejected_alone():
    batch = decode([entry("x" * 11), entry("y" * 10)], entry_chars=10)
    assert (texts(batch), batch.rejected_total) == (["y" * 10], 1)
    assert (batch.rejected[0].index, batch.rejected[0].reason) == (0, "too_large")


@pytest.mark.parametrize(
    ("raw", "limits"),
    [
        pytest.param(b'[{"log":"a"},{"log":"b"},{"log":"c"}]', {"entries": 2}, id="array"),
        pytest.param(b'{"log":"a"}\n{"log":"b"}\n{"log":"c"}', {"entries": 2}, id="lines"),
        pytest.param(b"[1,2,3]", {"entries": 2}, id="not even objects"),
        pytest.param(b"[" + b"{}," * 100 + b"{}]", {"entries": 2}, id="tiny objects"),
        pytest.param(b"1\n" * 3, {"entries": 2}, id="junk lines"),
        pytest.param(b'[{"log":"a\\nb\\nc"}]', {"lines": 2}, id="physical lines"),
        pytest.param(b'[{"log":"a"}]', {"decoded_bytes": 12}, id="bytes"),
    ],
)
def test_over_a_limit_is_413(raw, limits):
    with pytest.raises(Refused) as caught:
        decode(raw, **limits)
    assert (caught.value.status, caught.value.field) == (413, "body")


def test_at_the_limit_is_read():
    raw = b'[{"log":"a"},{"log":"b"}]'
    assert len(decode(raw, entries=2, lines=2, decoded_bytes=len(raw)).lines) == 2


def test_the_list_of_rejected_is_bounded_and_its_count_is_not():
    batch = decode([None] * 30 + [entry()], rejected=3)
    assert ([part.index for part in batch.rejected], batch.rejected_total) == ([0, 1, 2], 30)
    assert (batch.received, batch.accepted) == (31, 1)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_unknown_encodings_are_415(encoding):
    with pytest.raises(Refused) as caught:
        decode(b"[]", encoding)
    assert caught.value.status == 415


def read_or_refused(raw, encoding=None):
    try:
        batch = decode(raw, encoding, decoded_bytes=100_000, entries=1000)
    except Refused as refused:
        status = refused.status
    else:
        status = 200
        whole_batch(batch)
    assert status in {200, 400, 413, 415}


def whole_batch(batch):
    assert 0 <= batch.accepted <= batch.received <= 1000
    for each in batch.lines:
        assert each.text.encode().strip()
        assert "\n" not in each.text


@given(st.binary(max_size=400))
def test_any_bytes_are_a_batch_or_refused(raw):
    read_or_refused(raw)
    read_or_refused(raw, "gzip")
    read_or_refused(gzip.compress(raw), "gzip")


@given(st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b",", b'"log"', b":", b'"a\\', b'"', b"\n", b"1", b"null", b"NaN", GOOD]), max_size=20).map(b"".join))  # fmt: skip
def test_any_jumble_of_json_is_a_batch_or_refused(raw):
    read_or_refused(raw)


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=40), max_size=20), st.booleans())  # fmt: skip
def test_no_line_is_lost_or_doubled(sent, as_lines):
    entries = [entry(text) for text in sent]
    raw = "\n".join(map(json.dumps, entries)) if as_lines and entries else json.dumps(entries)
    batch = decode(raw.encode())
    bare = [text.removesuffix("\r") for text in sent]
    kept = [text for text in bare if text and not text.isspace()]
    assert texts(batch) == kept
    assert batch.counts.blank == len(sent) - len(kept)


def test_real_fluent_bit_records(shared_data):
    folder = shared_data / "upstream/fluent+fluent-bit/tests/runtime/data/kubernetes/out"
    files = sorted(folder.rglob("*.out"))
    assert len(files) >= 60
    for file in files:
        at_s, record = json.loads(file.read_text())
        text = record.get("message") or record.get("log") or record.get("MESSAGE")
        for body in ([{"date": at_s, **record}], {"date": at_s, **record}):
            batch = decode(body)
            if text is None:
                assert [part.reason for part in batch.rejected] == ["no_text"], file.name
                continue
            assert texts(batch) == text.removesuffix("\n").split("\n"), file.name
            one = batch.lines[0]
            assert one.at_ns == round(at_s * 1e6) * 1000
            pod = record["kubernetes"]
            assert (one.pod_name, one.namespace) == (pod["pod_name"], pod["namespace_name"])
            assert one.pod_uid == pod.get("pod_id", "")


def test_real_container_files_as_lines(shared_data):
    folder = shared_data / "upstream/fluent+fluent-bit/tests/runtime/data/kubernetes/log"
    seen = 0
    for file in sorted(folder.rglob("*.log")):
        batch = decode(file.read_bytes())
        assert batch.rejected == (), file.name
        assert all(each.at_known and each.at_ns % S for each in batch.lines), file.name
        seen += len(batch.lines)
    assert seen >= 60


def test_the_shared_vectors(shared_data):
    cases = json.loads((shared_data / "lens_vectors/log_ingest.json").read_text())["cases"]
    for case in cases:
        if case["kind"] == "entry":
            observed = case["observed"].get("latency_label_node")
            raw = json.dumps(case["entry"]).encode()
            batch = logs.decode(
                raw,
                content_encoding=None,
                arrival_ns=ARRIVAL,
                sender=case.get("client_ip", "sender"),
                limits=LogLimits(),
            )
            assert batch.accepted == 1
            if observed:
                assert batch.latencies[0][0] == observed
        if case["kind"] == "http":
            assert decode(case["body"]).accepted == len(case["body"] and [case["body"]])


def test_lone_newlines_by_the_million_are_bounded():
    with pytest.raises(Refused) as caught:
        decode([entry("\n" * 500_000)])
    assert caught.value.status == 413
