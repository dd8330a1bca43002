import gzip
import json
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Refused
from heliograph.receive import json_body

LIMIT = 1000


def inflated(body, encoding, limit=LIMIT):
    return json_body.inflated(body, content_encoding=encoding, decoded_bytes_max=limit)


def refusal(call, *args, **kwargs):
    with pytest.raises(Refused) as caught:
        call(*args, **kwargs)
    return caught.value.status, caught.value.code, caught.value.field


@pytest.mark.parametrize("encoding", [None, "", "identity", " Identity "])
def test_without_an_encoding_the_body_is_itself(encoding):
    assert inflated(b"[]", encoding) == b"[]"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_gzip_is_undone(encoding):
    assert inflated(gzip.compress(b"[1]"), encoding) == b"[1]"


def test_several_members_are_one_body():
    assert inflated(gzip.compress(b"[1,") + gzip.compress(b"2]"), "gzip") == b"[1,2]"


def test_what_is_inside_is_not_looked_into_again():
    twice = gzip.compress(gzip.compress(b"[]"))
    assert inflated(twice, "gzip") == gzip.decompress(twice)


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT])
def test_up_to_the_ceiling_passes(size):
    assert len(inflated(gzip.compress(b"x" * size), "gzip")) == size
    assert len(inflated(b"x" * size, None)) == size


@pytest.mark.parametrize("size", [LIMIT + 1, 100_000_000])
def test_above_the_ceiling_is_413_without_decoding_the_rest(size):
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(
        packed.compress(bytes(min(10**6, size - at))) for at in range(0, size, 10**6)
    )
    assert refusal(inflated, bomb + packed.flush(), "gzip") == (413, "too_large", "body")
    assert refusal(inflated, b"x" * (LIMIT + 1), None) == (413, "too_large", "body")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "deflate", "snappy"])
def test_an_encoding_that_is_not_spoken_is_415(encoding):
    assert refusal(inflated, b"[]", encoding) == (
        415,
        "unsupported_encoding",
        "Content-Encoding",
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="not gzip at all"),
        pytest.param(gzip.compress(b"[]")[:-1], id="truncated by a byte"),
        pytest.param(gzip.compress(b"[]")[:12], id="truncated early"),
        pytest.param(gzip.compress(b"[]")[:-8] + bytes(8), id="wrong checksum"),
        pytest.param(gzip.compress(b"[]") + b"x", id="junk behind"),
        pytest.param(
            gzip.compress(b"") * (json_body.GZIP_MEMBERS_MAX + 1), id="too many members"
        ),
    ],
)
def test_damaged_gzip_is_400(body):
    assert refusal(inflated, body, "gzip") == (400, "gzip", "body")


@given(st.binary(max_size=5000), st.integers(1, 5000))
def test_gzip_round_trip_or_413(body, limit):
    if len(body) <= limit:
        assert inflated(gzip.compress(body), "gzip", limit) == body
    else:
        assert refusal(inflated, gzip.compress(body), "gzip", limit)[0] == 413


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"[]", (b"[]", 0), id="ascii"),
        pytest.param("ä".encode(), ("ä".encode(), 0), id="utf-8"),
        pytest.param(b"\xef\xbb\xbf[]", (b"[]", 0), id="byte order mark"),
        pytest.param(b"a\xff\xfeb", ("a\ufffd\ufffdb".encode(), 2), id="bad bytes"),
        pytest.param(
            "\ufffd".encode() + b"\xff", ("\ufffd\ufffd".encode(), 1), id="one was there"
        ),
        pytest.param(b"x\xe2\x82", ("x\ufffd".encode(), 1), id="cut character"),
    ],
)
def test_as_utf8(raw, expected):
    assert json_body.as_utf8(raw) == expected


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
)
def test_utf16_is_refused(encoding):
    assert refusal(json_body.as_utf8, "[]".encode(encoding)) == (400, "encoding", "body")


class Thing(msgspec.Struct):
    name: str
    parts: list[int] = []


THING = msgspec.json.Decoder(Thing)


def test_document():
    assert json_body.document(b'{"name":"a","parts":[1]}', THING) == Thing("a", [1])


@pytest.mark.parametrize(
    ("raw", "code", "field"),
    [
        (b"", "json", "body"),
        (b"{", "json", "body"),
        (b'{"name":"\xff"}', "json", "body"),
        (b"[]", "invalid", "body"),
        (b"{}", "invalid", "body"),
        (b'{"name":"a","parts":[1,"x"]}', "invalid", "parts[1]"),
        (b'{"name":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep", "body"),
    ],
)
def test_document_names_the_field(raw, code, field):
    assert refusal(json_body.document, raw, THING) == (400, code, field)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", []),
        (b" \n\r\n ", []),
        (b"[]", []),
        (b'[1, "a,b]" ,{"x":[1,2]},[3]]', [b"1", b'"a,b]"', b'{"x":[1,2]}', b"[3]"]),
        (b'[{"a":"\\"]"},2]', [b'{"a":"\\"]"}', b"2"]),
        (b'{"a":1}\n{"b":2}\r\n\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}{"b":2} {"c":3}', [b'{"a":1}', b'{"b":2}', b'{"c":3}']),
        (b'{"a":1},{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\n[{"b":2},{"c":3}]', [b'{"a":1}', b'{"b":2}', b'{"c":3}']),
        (b'[{"a":1}][{"b":2}]', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":\n{"b":2}', [b'{"a":', b'{"b":2}']),
        (b'[{"a":1},{"b":', [b'{"a":1}', b'{"b":']),
        (b"hello, world\n{}", [b"hello, world", b"{}"]),
        (b"[1,,2,]", [b"1", b"2"]),
        (b']}{"a":1}', [b"]}", b'{"a":1}']),
    ],
)
def test_elements(raw, expected):
    assert list(json_body.elements(raw)) == expected


@pytest.mark.parametrize(
    "raw", [b"[" * 10**6, b'["' + b'\\"' * 10**6, b'["\\', b'"' * 10**6, b"}" * 10**6]
)
def test_elements_neither_recurses_nor_is_quadratic(raw):
    assert sum(1 for _ in json_body.elements(raw)) <= 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.lists(JSON, max_size=6))
def test_elements_of_an_array_are_its_items(values):
    raw = json.dumps(values, ensure_ascii=False).encode("utf-8", "replace")
    expected = [json.dumps(v, ensure_ascii=False).encode("utf-8", "replace") for v in values]
    assert list(json_body.elements(raw)) == expected


@given(
    st.lists(st.dictionaries(st.text(max_size=3), JSON, max_size=3), max_size=6),
    st.sampled_from(["", "\n", "\r\n"]),
)
def test_elements_of_a_stream_are_its_objects(values, between):
    raw = between.join(json.dumps(value) for value in values).encode()
    assert [json.loads(part) for part in json_body.elements(raw)] == values


@pytest.mark.parametrize("raw", [b"[" + b",".join([b"1"] * 6) + b"]", b"[1]\n" * 4])
def test_elements_gives_up_when_there_is_too_much_to_look_at(raw, monkeypatch):
    assert len(list(json_body.elements(raw))) >= 4
    monkeypatch.setattr(json_body, "TOKENS_MAX", 6)
    assert refusal(lambda: list(json_body.elements(raw))) == (413, "too_many", "body")


ANY = msgspec.json.Decoder()


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        pytest.param(b'"a"', "a", id="plain"),
        pytest.param('"é"'.encode(), "é", id="UTF-8"),
        pytest.param(b'"a\xffb"', "a\ufffdb", id="a byte that is not UTF-8"),
        pytest.param(b'"\xed\xa0\x80"', "\ufffd" * 3, id="a surrogate in UTF-8"),
        pytest.param(rb'"\ud83d\ude00"', "\U0001f600", id="a pair"),
        pytest.param(rb'"\uD83D\uDE00"', "\U0001f600", id="a pair in capitals"),
        pytest.param(rb'"\ud800"', "\ufffd", id="a high half"),
        pytest.param(rb'"\uDFFF!"', "\ufffd!", id="a low half"),
        pytest.param(rb'"\ude00\ud83d"', "\ufffd\ufffd", id="a pair the wrong way round"),
        pytest.param(rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600", id="a half before a pair"),
        pytest.param(rb'"\ud83d\n\u0041"', "\ufffd\nA", id="a half before other escapes"),
        pytest.param(rb'"\\ud800"', r"\ud800", id="no escape at all"),
        pytest.param(rb'"\\\ud800"', "\\\ufffd", id="a half after a backslash"),
        pytest.param(rb'{"\ud800": 1}', {"\ufffd": 1}, id="in a key"),
    ],
)
def test_text_that_was_cut_is_read_as_go_reads_it(raw, wanted):
    mended, found = json_body.legible(raw, ANY)
    assert found == json.loads(mended) == wanted
    assert json_body.mended(mended) == mended


@given(
    st.text(st.characters(min_codepoint=0xD7FE, max_codepoint=0xE001) | st.sampled_from("a\\"))
)
def test_half_pairs_are_mended_and_nothing_else(text):
    raw = json.dumps(text).encode()
    found = json_body.legible(raw, ANY)[1]
    assert found == json.loads(raw).encode("utf-16", "surrogatepass").decode(
        "utf-16", "replace"
    )


BIG = "9" * 5000


@pytest.mark.parametrize(
    ("text", "field"),
    [
        pytest.param('{"labels": {"v": 1e999}}', "labels.v", id="a fraction in a label"),
        pytest.param(f'{{"a": 1, "b": {BIG}}}', "b", id="a whole number"),
        pytest.param(f'{{"a": [1, {{"b.c": -{BIG}}}]}}', "a[1].b.c", id="deeper"),
        pytest.param("[[], [0, -1e999]]", "[1][1]", id="of lists"),
        pytest.param(f'{{"{"k" * 200}": 1e999}}', "k" * 100, id="a long key"),
        pytest.param('{"a": 1e999', "[...]", id="and no JSON"),
    ],
)
def test_a_number_beyond_what_we_hold_is_named(text, field):
    assert refusal(json_body.document, text.encode(), ANY)[2] == field
    below = field if field.startswith("[") else f".{field}"
    assert (
        refusal(json_body.document, text.encode(), ANY, "alerts[3]")[2] == f"alerts[3]{below}"
    )


def test_what_is_no_json_is_told_of_the_part_that_it_is():
    assert refusal(json_body.legible, b"{", ANY) == (400, "json", "body")
    assert refusal(json_body.legible, b"{", ANY, "alerts[3]") == (400, "json", "alerts[3]")
    deep = b"[" * 5000 + b"]" * 5000
    assert refusal(json_body.legible, deep, ANY, "alerts[3]") == (400, "too_deep", "alerts[3]")
