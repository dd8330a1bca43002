"""The kernel that puts records together: compiled and plain, the same of any records."""

from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.record import Record, record_id
from heliograph.kernels import record_groups
from heliograph.store.records import chunks, row
from heliograph.store.state import document
from tests.twins import plain

PLAIN = plain("record_groups")
KERNELS = [PLAIN, *([record_groups] if record_groups.COMPILED else [])]

HEX = "0123456789abcdef" * 2
IDS = st.one_of(
    st.integers(0, 5).map(record_id),
    st.sampled_from(
        [
            *("telemetry-" + one for one in (HEX, HEX.upper(), HEX[:-1], HEX[:-2] + " 0", "")),
            *("telemetry-" + HEX[:-1] + one for one in "g/:@`"),
            *("Telemetry-" + HEX, "x", "", "telemetry-" + "é" * 32, "\ud800"),
        ]
    ),
)
RESOURCES = st.one_of(
    st.fixed_dictionaries({"pod_uid": st.sampled_from(["p", "q", "", None, 7])}),
    st.just({}),
    st.just(MappingProxyType({"pod_uid": "m"})),
)
TIMES = st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63), 2**63, -(2**70)])


def made(record_id, at_ns, session, source, type_, severity, resource):
    return Record(
        *(record_id, at_ns, 0, session, source, type_),
        severity=severity,
        resource=resource,
    )


RECORDS = st.lists(
    st.builds(
        made,
        IDS,
        TIMES,
        st.sampled_from(["s", "t"]),
        st.sampled_from(["log", "cuda"]),
        st.sampled_from(["oom", "xid"]),
        st.sampled_from([None, "", "error"]),
        RESOURCES,
    ),
    max_size=20,
)


def hashed(record_id):
    return record_id.encode("utf-8", "surrogatepass")


@given(RECORDS)
def test_the_twins_give_the_same(records):
    def told(kernel):
        found = kernel.by_id(records, hashed)
        return (
            [(id_, id(one)) for id_, one in found.items()],
            [
                (names, ats, places, list(map(id, held)))
                for names, ats, places, held in kernel.alike(found.values())
            ],
            [kernel.names_of(one) for one in records],
            [kernel.digits_of(one.record_id) for one in records],
        )

    assert len({repr(told(kernel)) for kernel in KERNELS}) == 1


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_records_alike_are_together_in_their_order(kernel):
    pod = {"pod_uid": "p"}
    one, two, three, four = (
        Record(record_id(n), at_ns, 0, "s", "log", "oom", resource=resource)
        for n, (at_ns, resource) in enumerate([(5, pod), (3, {}), (4, pod), (4, pod)])
    )
    found = kernel.by_id([one, two, three, one, four], hashed)
    assert list(found) == [row.id_of(each.record_id) for each in (one, two, three, four)]
    assert [tuple(each) for each in kernel.alike(found.values())] == [
        (("p", "s", "oom", "", "log"), [4, 4, 5], [2, 3, 0], [three, four, one]),
        (("s", "s", "oom", "", "log"), [3], [1], [two]),
    ]


@given(RECORDS, st.booleans())
def test_documents_made_before_are_the_same_chunks(records, together):
    by_id = row.by_id(
        each._replace(timestamp_ns=each.timestamp_ns % 9, resource=dict(each.resource))
        for each in records
    )
    docs = [document.packed(one) for one in by_id.values()]
    assert chunks.piece(by_id, docs, together=together) == chunks.piece(
        by_id, together=together
    )


def test_one_that_messagepack_cannot_carry_has_its_chunk_apart_as_before():
    records = [
        Record(record_id(n), n, 0, "s", "log", "oom", body="\ud800" if n == 3 else "x")
        for n in range(6)
    ]
    by_id = row.by_id(records)
    docs = [document.packed(one) for one in by_id.values()]
    assert docs[3] is None
    piece = chunks.piece(by_id, docs)
    assert piece == chunks.piece(by_id)
    assert [one.many for one in piece.chunks] == [1] * 6
