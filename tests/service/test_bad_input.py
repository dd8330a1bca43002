"""Malformed and hostile bodies of what streams in: remote write, logs. Each row is one request.

What is refused is told as a problem, and nothing of it is stored; what is good in a partly bad body
is stored; the service is as well afterwards as it was before (`shared_site` sees to that).
"""

import gzip
import json
import struct
import zlib

import pytest

from heliograph.wire import remote_write, snappy
from tests.protobuf import field, varint
from tests.service.running import NOW_MS, assert_problem, write_body

PATHS = ("/v1/prometheus", "/v1/prometheus/api/v1/write", "/api/v1/write")
MIB = 1024 * 1024


def pair(name, value):
    name, value = (t.encode() if isinstance(t, str) else t for t in (name, value))
    return field(1, field(1, name) + field(2, value))


def sample(ms=NOW_MS, value=1.0):
    return field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(ms))


def series(*pairs, samples=None):
    return field(1, b"".join(pair(*one) for one in pairs) + (samples or sample()))


def packed(*parts):
    return snappy.compress(b"".join(parts))


NAME = ("__name__", "canary_rw")
ONE = series(NAME)

# case, body, status, code
WRITES = [
    ("nothing at all", b"", 400, "corrupt_snappy"),
    ("a zero byte is an empty request", b"\0", 204, None),
    ("text", b"canary", 400, "corrupt_snappy"),
    ("json", b'{"canary": 1}', 400, "corrupt_snappy"),
    ("protobuf without snappy", ONE, 400, None),
    ("gzip instead of snappy", gzip.compress(ONE), 400, None),
    ("the framed format", b"\xff\x06\x00\x00sNaPpY\x01\x04\0\0\0\0\0\0", 400, "corrupt_snappy"),
    ("claims 4 GiB in seven bytes", b"\xff\xff\xff\xff\x0f\0\0", 400, "corrupt_snappy"),
    ("claims 2 GiB in a megabyte", b"\xff\xff\xff\xff\x07" + b"\0" * MIB, 400, "corrupt_snappy"),
    ("a length of six bytes", b"\xff\xff\xff\xff\xff\x01", 400, "corrupt_snappy"),
    ("a length without its end", b"\x80\x80", 400, "corrupt_snappy"),
    ("snappy cut in the middle", packed(ONE)[:-3], 400, "corrupt_snappy"),
    ("snappy with more behind it", packed(ONE) + b"canary", 400, "corrupt_snappy"),
    ("a copy from before the beginning", b"\x08\x01\xff\x01\xff", 400, "corrupt_snappy"),
    ("snappy in snappy", snappy.compress(packed(ONE)), 400, "malformed_protobuf"),
    ("field number 0", packed(b"\x02\x01a"), 400, "malformed_protobuf"),
    ("wire type 6", packed(b"\x0e"), 400, "malformed_protobuf"),
    ("a group", packed(b"\x0b\x0c"), 400, "malformed_protobuf"),
    ("200 groups in each other", packed(b"\x1b" * 200 + b"\x1c" * 200), 400, "malformed_protobuf"),
    ("a varint of 11 bytes", packed(b"\x0a" + b"\x80" * 10 + b"\x01"), 400, "malformed_protobuf"),
    ("a length past the end", packed(b"\x0a\x7fcanary"), 400, "malformed_protobuf"),
    ("a length of 2^63", packed(b"\x0a" + varint(2**63)), 400, "malformed_protobuf"),
    ("a series as a varint", packed(b"\x08\x01"), 400, "malformed_protobuf"),
    ("a label as a varint", packed(field(1, b"\x08\x01")), 400, "malformed_protobuf"),
    ("a value of four bytes", packed(field(1, pair(*NAME) + field(2, b"\x0d1234"))), 400, "malformed_protobuf"),
    ("a time of eight bytes", packed(field(1, pair(*NAME) + field(2, b"\x11canary12"))), 400, "malformed_protobuf"),
    ("a million empty series and one", packed(b"\x0a\0" * 1_000_001), 413, None),
    ("a series of 1,000,001 samples", packed(field(1, pair(*NAME) + b"\x12\0" * 1_000_001)), 413, None),
    ("129 MiB of zeros, honestly", snappy.compress(bytes(129 * MIB)), 413, "body_too_large"),
    ("no labels", packed(series()), 400, "partly_refused"),
    ("no name", packed(series(("job", "canary"))), 400, "partly_refused"),
    ("an empty name", packed(series(("__name__", ""), ("job", "canary"))), 400, "partly_refused"),
    ("a label twice", packed(series(NAME, ("a", "1"), ("a", "2"))), 400, "partly_refused"),
    ("a label twice, the same", packed(series(NAME, ("a", "1"), ("a", "1"))), 400, "partly_refused"),
    ("the name twice", packed(series(NAME, NAME)), 400, "partly_refused"),
    ("a label without a name", packed(series(NAME, ("", "1"))), 400, "partly_refused"),
    ("a value that is not UTF-8", packed(series(NAME, ("a", b"\xff\xfe"))), 400, "partly_refused"),
    ("a name that is not UTF-8", packed(series(NAME, (b"\xc3", "1"))), 400, "partly_refused"),
    ("half a surrogate pair", packed(series(NAME, ("a", b"\xed\xa0\x80"))), 400, "partly_refused"),
    ("an overlong NUL", packed(series(NAME, ("a", b"\xc0\x80"))), 400, "partly_refused"),
    ("65 labels", packed(series(NAME, *((f"l{i}", "1") for i in range(64)))), 400, "partly_refused"),
    ("100,000 labels", packed(series(NAME, *((f"l{i}", "1") for i in range(100_000)))), 400, "partly_refused"),
    ("a name of 257 bytes", packed(series(NAME, ("n" * 257, "1"))), 400, "partly_refused"),
    ("a value of 4097 bytes", packed(series(NAME, ("a", "v" * 4097))), 400, "partly_refused"),
    ("a value of 10 MiB", packed(series(NAME, ("a", "v" * 10 * MIB))), 400, "partly_refused"),
    ("the last time there is", packed(series(NAME, samples=sample(2**63 - 1))), 400, "partly_refused"),
    ("the first time there is", packed(series(NAME, samples=sample(-(2**63)))), 400, "partly_refused"),
    ("metadata alone", packed(field(3, b"\x08\x01" + field(2, b"up"))), 204, None),
    ("an unknown field", packed(field(77, b"whatever")), 204, None),
    ("a series without samples", packed(field(1, pair("__name__", "good_silent"))), 204, None),
    ("an empty value is no label", packed(series(("__name__", "good_empty"), ("a", ""))), 204, None),
    ("labels in any order", packed(series(("z", "1"), ("__name__", "good_order"))), 204, None),
    ("dots and spaces in a name", packed(series(("__name__", "good dots.and spaces"))), 204, None),
    ("a NUL in a value", packed(series(("__name__", "good_nul"), ("a", "x\0y"))), 204, None),
    ("64 labels", packed(series(("__name__", "good_64"), *((f"l{i}", "1") for i in range(63)))), 204, None),
    ("a value of 4096 bytes", packed(series(("__name__", "good_4096"), ("a", "v" * 4096))), 204, None),
    ("quotes, newlines, markup", packed(series(("__name__", "good_markup"), ("a", "\"'\n</script><b>{{7*7}}$(id)%s"))), 204, None),
    ("a time of 1970", packed(series(("__name__", "good_1970"), samples=sample(0))), 204, None),
    ("a time of 2100", packed(series(("__name__", "good_2100"), samples=sample(4_102_444_800_000))), 204, None),
    ("a denormal, -0.0 and 1e308", packed(series(("__name__", "good_floats"), samples=b"".join(sample(NOW_MS - i, v) for i, v in enumerate((5e-324, -0.0, 1e308))))), 204, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "code"), [pytest.param(*row, id=case) for case, *row in WRITES]
)
def test_remote_write(shared_site, body, status, code):
    answer = shared_site.ask("POST", "/v1/prometheus", body, remote_write.HEADERS)

    if status == 204:
        assert (answer.status, answer.body) == (204, b"")
    else:
        assert_problem(answer, status, code=code)


# case, headers, status
WRITE_HEADERS = [
    ("those of a sender", remote_write.HEADERS, 204),
    ("none", {}, 204),
    ("in other letters", {"content-type": "Application/X-Protobuf", "content-encoding": "SNAPPY"}, 204),
    ("with parameters", {"Content-Type": "application/x-protobuf; charset=utf-8"}, 204),
    ("remote write 1.0 by name", {"Content-Type": "application/x-protobuf;proto=prometheus.WriteRequest"}, 204),
    ("remote write 2.0", {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}, 415),
    ("json", {"Content-Type": "application/json"}, 415),
    ("text", {"Content-Type": "text/plain"}, 415),
    ("a form", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ("gzip", {"Content-Encoding": "gzip"}, 415),
    ("zstd", {"Content-Encoding": "zstd"}, 415),
    ("snappy twice", {"Content-Encoding": "snappy, snappy"}, 415),
    ("bytes beyond ASCII", {"Content-Encoding": "\xb2\xff"}, 415),
    ("a very long one", {"Content-Type": "a" * 60_000}, 415),
    ("an odd version", {"X-Prometheus-Remote-Write-Version": "99.9.9"}, 204),
    ("another site's page", {"Origin": "http://canary.example"}, 403),
    ("no site's page", {"Origin": "null"}, 403),
    ("an origin that is no URL", {"Origin": "http://[::1"}, 403),
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("headers", "status"), [pytest.param(*row, id=case) for case, *row in WRITE_HEADERS]
)
def test_remote_write_headers(shared_site, path, headers, status):
    body = write_body([({"__name__": "good_headers"}, [(NOW_MS, 1.0)])])

    answer = shared_site.ask("POST", path, body, headers)

    if status == 204:
        assert answer.status == 204, answer.body
    else:
        assert_problem(answer, status)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
)
def test_other_methods_are_refused_in_our_own_words(shared_site, path, method):
    answer = shared_site.ask(method, path)

    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    if method != "HEAD":
        assert_problem(answer, 405, code="method_not_allowed")


def test_the_good_part_of_a_partly_bad_write_is_stored(site):
    good = series(("__name__", "good"), ("n", "1")), series(("__name__", "good"), ("n", "2"))
    bad = [
        series(("job", "canary")),
        series(NAME, ("a", "1"), ("a", "2")),
        series(NAME, ("a", b"\xff")),
        series(NAME, ("a", "v" * 5000)),
    ]

    answer = site.ask(
        "POST",
        "/v1/prometheus",
        packed(bad[0], good[0], *bad[1:3], good[1], bad[3]),
        remote_write.HEADERS,
    )

    assert_problem(answer, 400, code="partly_refused")
    told = answer.json()
    assert [error["field"] for error in told["errors"]] == [
        "timeseries[0]", "timeseries[2]", "timeseries[3]", "timeseries[5]",
    ]  # fmt: skip
    assert (told["stored_samples"], told["refused_samples"], told["refused_series"]) == (
        2,
        4,
        4,
    )
    reasons = {"no_name": 1, "duplicate_label": 1, "invalid_utf8": 1, "label_value_bytes": 1}
    assert told["refused_by_reason"] == reasons
    assert site.points("good") == {
        (("__name__", "good"), ("n", number)): [[NOW_MS, 1.0]] for number in "12"
    }
    assert site.canaries() == []
    rejected = site.measured("heliograph_rejected_total")
    assert rejected == {
        f'{{protocol="remote_write",reason="{reason}"}}': 1 for reason in reasons
    }
    site.assert_sound()


def entry(**more):
    return {"log": "canary, unless it is kept", **more}


# A record is kept of lines that say something; this one always does.
FOUND = "saving checkpoint at iteration 10 to /x"
DEEP = b"[" * 100_000
UTF16 = json.dumps([entry()]).encode("utf-16")

# case, body, headers, accepted, reasons of the rejected; the answer is 200
LOGS = [
    ("an object", b'{"log": "good"}', {}, 1, []),
    ("a list", b'[{"log": "good"}, {"message": "good"}]', {}, 2, []),
    ("lines", b'{"log": "good"}\n{"log": "good"}\n', {}, 2, []),
    ("objects without anything between", b'{"log": "good"}{"log": "good"}', {}, 2, []),
    ("an empty list", b"[]", {}, 0, []),
    ("a byte order mark", b'\xef\xbb\xbf[{"log": "good"}]', {}, 1, []),
    ("gzip", gzip.compress(b'[{"log": "good"}]'), {"Content-Encoding": "gzip"}, 1, []),
    ("gzip in two members", gzip.compress(b'[{"log": ') + gzip.compress(b'"good"}]'), {"Content-Encoding": "gzip"}, 1, []),
    ("a null", b'[null, {"log": "good"}]', {}, 1, ["not_object"]),
    ("numbers, text, lists", b'[1, "canary", [], true, {"log": "good"}]', {}, 1, ["not_object"] * 4),
    ("no text", b'[{"logs": "canary"}, {"log": null}]', {}, 0, ["no_text"] * 2),
    ("text that is a number", b'[{"log": 5}, {"log": {"canary": 1}}, {"message": ["canary"]}]', {}, 0, ["no_text"] * 3),
    ("an entry cut in the middle", b'{"log": "good"}\n{"log": "canary', {}, 1, ["syntax"]),
    ("one line that is not JSON", b'{"log": "good"}\ncanary\n{"log": "good"}', {}, 2, ["syntax"]),
    ("an entry nested 100,000 deep", b'[{"log": "good"},' + DEEP + b"]" * 100_000 + b"]", {}, 1, ["too_deep"]),
    ("a text of two MiB", json.dumps([entry(log="c" * 2 * MIB), {"log": "good"}]).encode(), {}, 1, ["too_large"]),
    ("a key twice, of which the last counts", b'{"log": "canary", "log": "good"}', {}, 1, []),
    ("half a surrogate pair", b'[{"log": "good \\ud800"}]', {}, 1, []),
    ("bytes that are not UTF-8", b'[{"log": "good \xff\xfe"}]', {}, 1, []),
    ("NUL and escape", b'[{"log": "good \\u0000 \\u001b[31m"}]', {}, 1, []),
    ("a raw control character", b'[{"log": "good \x01"}]', {}, 1, []),
    ("NaN and infinity", b'[{"log": "good", "date": NaN, "x": Infinity}]', {}, 1, []),
    ("an integer of 5,000 digits", b'[{"log": "good", "date": ' + b"9" * 5000 + b"}]", {}, 1, []),
    ("a number of 1e999", b'[{"log": "good", "date": 1e999}]', {}, 1, []),
    ("every field of a wrong type", json.dumps([{"log": "good", "date": {}, "time": [], "stream": 1, "logtag": 2, "kubernetes": "x", "hostname": 4}]).encode(), {}, 1, []),
    ("every field of the pod of a wrong type", json.dumps([{"log": "good", "kubernetes": {"pod_name": 1, "namespace_name": [], "pod_id": {}, "host": True, "container_name": 1.5}}]).encode(), {}, 1, []),
    ("dates that are none", json.dumps([{"log": "good", "date": date} for date in (-1, 0, True, "yesterday", "2026-02-30T00:00:00Z", "", 1e300, -1e300, "9" * 200)]).encode(), {}, 9, []),
    ("a host of 10,000 characters", json.dumps([{"log": "good", "kubernetes": {"host": "h" * 10_000}}]).encode(), {}, 1, []),
    ("a pod of NULs and separators", json.dumps([{"log": "good", "logtag": "P", "kubernetes": {"pod_id": "a\0b\x1fc", "pod_name": "x/../y"}}]).encode(), {}, 1, []),
    ("injections", json.dumps([{"log": "good " + text} for text in ("'; drop table pods; --", "</script><script>alert(1)</script>", "${jndi:ldap://x}", "%s%n", "=cmd|' /C calc'!A0", "\r\nHTTP/1.1 200 OK")]).encode(), {}, 6, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "headers", "accepted", "reasons"),
    [pytest.param(*row, id=case) for case, *row in LOGS],
)
def test_logs(shared_site, body, headers, accepted, reasons):
    answer = shared_site.ask("POST", "/v1/logs", body, headers)

    assert answer.status == 200, answer.body[:500]
    told = answer.json()
    assert [one["reason"] for one in told["rejected"]] == reasons
    assert (told["received"], told["accepted"]) == (accepted + len(reasons), accepted)
    assert all(one["detail"] for one in told["rejected"])


def gzip_of(block, count):
    """gzip of *count* times *block*, without ever holding them all."""
    packing = zlib.compressobj(9, wbits=31)
    return b"".join(packing.compress(block) for _ in range(count)) + packing.flush()


GZIP = {"Content-Encoding": "gzip"}
# case, body, headers, status, code
LOGS_REFUSED = [
    ("nothing at all", b"", {}, 400, "json"),
    ("white space", b" \n ", {}, 400, "json"),
    ("text", b"canary", {}, 400, "json"),
    ("nothing but depth", DEEP, {}, 400, "json"),
    ("UTF-16", UTF16, {}, 400, "encoding"),
    ("UTF-16 without a mark", UTF16[2:], {}, 400, "encoding"),
    ("NULs", bytes(1000), {}, 400, "encoding"),
    ("gzip that was not announced", gzip.compress(b'[{"log": "canary"}]'), {}, 400, "gzip"),
    ("gzip in gzip", gzip.compress(gzip.compress(b'[{"log": "canary"}]')), GZIP, 400, "gzip"),
    ("gzip announced, text sent", b'[{"log": "canary"}]', GZIP, 400, "gzip"),
    ("gzip cut in the middle", gzip.compress(b'[{"log": "canary"}]')[:-9], GZIP, 400, "gzip"),
    ("gzip of 2,000 members", gzip.compress(b" ") * 2000, GZIP, 400, "gzip"),
    ("gzip of 256 MiB", gzip_of(bytes(MIB), 256), GZIP, 413, "too_large"),
    ("deflate", zlib.compress(b'[{"log": "canary"}]'), {"Content-Encoding": "deflate"}, 415, "unsupported_encoding"),
    ("zstd", b"\x28\xb5\x2f\xfdcanary", {"Content-Encoding": "zstd"}, 415, "unsupported_encoding"),
    ("br", b"canary", {"Content-Encoding": "br"}, 415, "unsupported_encoding"),
    ("gzip, gzip", gzip.compress(gzip.compress(b"[]")), {"Content-Encoding": "gzip, gzip"}, 415, "unsupported_encoding"),
    ("100,001 entries", b"[" + b'{"log":"canary"},' * 100_000 + b'{"log":"canary"}]', {}, 413, "too_many"),
    ("400,001 lines of one entry", json.dumps([{"log": "a\n" * 400_001}]).encode(), {}, 413, "too_many"),
    ("120 MiB of brackets", gzip_of(b"[" * MIB, 120), GZIP, 413, "too_many"),
    ("120 MiB of quotes", gzip_of(b'"' * MIB, 120), GZIP, 413, "too_many"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [pytest.param(*row, id=case) for case, *row in LOGS_REFUSED],
)
def test_logs_refused_whole(shared_site, body, headers, status, code):
    answer = shared_site.ask("POST", "/v1/logs", body, headers)

    field = "Content-Encoding" if status == 415 else "body"
    assert_problem(answer, status, code=code, field=field)


def test_good_entries_beside_bad_ones_become_records(site):
    answer = site.ask(
        "POST",
        "/v1/logs",
        b"\n".join(
            [b'{"log": "canary', b"null", json.dumps({"log": FOUND}).encode(), b'{"canary": 1}']
        ),
    )

    assert answer.status == 200
    assert (answer.json()["received"], answer.json()["accepted"]) == (4, 1)
    assert [record["event_type"] for record in site.records()] == ["checkpoint_save_start"]
    assert site.canaries() == []
    site.assert_sound()
