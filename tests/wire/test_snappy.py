"""Snappy blocks: what is honest decodes, what lies is refused before anything is allocated."""

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Refused
from heliograph.wire import snappy

MIB = 1024 * 1024


def refusal(body, *, decoded_bytes_max=MIB):
    with pytest.raises(Refused) as caught:
        snappy.decompress(body, decoded_bytes_max=decoded_bytes_max)
    return caught.value.status, caught.value.code, caught.value.detail


@given(st.binary(max_size=2000))
def test_what_was_compressed_comes_back(raw):
    body = snappy.compress(raw)

    assert snappy.declared_length(body) == len(raw)
    assert snappy.decompress(body, decoded_bytes_max=len(raw)) == raw


def test_the_densest_body_of_all_is_honest():
    raw = bytes(MIB)

    assert snappy.decompress(snappy.compress(raw), decoded_bytes_max=MIB) == raw


def test_hand_made_densest_elements_are_honest():
    # A literal of one byte, then copies of 64 bytes from offset 1, three bytes each.
    body = b"\x81\x80\x01" + b"\x00a" + b"\xfe\x01\x00" * 256

    assert snappy.decompress(body, decoded_bytes_max=MIB) == b"a" * (64 * 256 + 1)


REFUSED = [
    ("an empty body", b"", 400, "the body is empty"),
    ("a length that never ends", b"\xff" * 6, 400, "no length"),
    ("a length over 32 bits", b"\xff\xff\xff\xff\x1f" + bytes(9), 400, "no length"),
    ("a length alone", b"\x05", 400, "cannot hold"),
    ("the framed format", b"\xff\x06\x00\x00sNaPpY\x01\x05\x00\x00abcd", 400, "framed"),
    ("a claim of 4 GiB", b"\xff\xff\xff\xff\x0f\x00", 400, "cannot hold"),
    ("a copy before the beginning", b"\x05\x01\x05", 400, "corrupt"),
    ("a literal cut short", b"\x05\x10ab", 400, "corrupt"),
    ("something else", b"not snappy!", 400, "corrupt"),
    ("more than was claimed", b"\x01\x04ab", 400, "corrupt"),
]


@pytest.mark.parametrize(
    ("body", "status", "word"), [pytest.param(*row, id=case) for case, *row in REFUSED]
)
def test_refused(body, status, word):
    found, code, detail = refusal(body)

    assert (found, code) == (status, "corrupt_snappy")
    assert word in detail


@pytest.mark.parametrize("over", [0, 1])
def test_the_limit_itself_passes_and_one_more_is_413(over):
    body = snappy.compress(bytes(1000 + over))
    if not over:
        assert len(snappy.decompress(body, decoded_bytes_max=1000)) == 1000
        return

    assert refusal(body, decoded_bytes_max=1000) == (
        413,
        "body_too_large",
        "1001 bytes decoded, limit 1000",
    )


def test_a_claim_of_4_gib_allocates_nothing():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for body in (b"\xff\xff\xff\xff\x0f\x00", b"\xff\xff\xff\xff\x0f" + bytes(100_000)):
        refusal(body, decoded_bytes_max=2**32)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_any_bytes_decode_or_are_refused(body, most):
    try:
        raw = snappy.decompress(body, decoded_bytes_max=most)
    except Refused:
        return
    assert len(raw) == snappy.declared_length(body) <= most
