"""Both kernels of plain lines make the same rows and records of the same lines, and leave the others."""

import hashlib
import math
from array import array
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.record import Record, record_id
from heliograph.core.training import TrainingRow
from heliograph.kernels import plain_lines
from heliograph.service.line_records import Origin, making
from heliograph.training.events import Event
from heliograph.training.parse import Parsed, none
from tests.twins import plain

KERNELS = {"plain": plain("plain_lines")} | (
    {"compiled": plain_lines} if plain_lines.COMPILED else {}
)
PODS = ["p1", "", None, "p2"]
ORIGINS = [
    Origin.of(("p1", "ns", "a", "n1", "c", "stdout"), "p1"),
    Origin.of(("", "", "", "n2", "c", "stderr"), ""),
    None,
    Origin.of(("", "ns", "b", "", "", ""), "p2"),
]
SCALES = {("p1", ""): SimpleNamespace(scale=65536.0)}
T0 = 10**18


def said(step=1, scale=None, *, kind="performance", rule="piped", told=(), label=""):
    fields = {"current_iteration": step, "loss_scale": scale, "lm_loss": 2.0}
    return Parsed(
        kind, "primus", {k: v for k, v in fields.items() if v is not None}, told, rule, label
    )


def event(*told, rank=None, label=""):
    return Parsed("event", "unknown", {"rank": rank} if rank else {}, told, "event_x", label)


XID = Event("xid", "error", {"pci": "0000:03:00", "code": 63, "rank": 7})
LINES = [
    said(3), said(None), said(4, 1.0), said(5, 65536.0), said(6, 2.0), said(7, math.nan), said(8, label="7"),
    said(9, 1.0, label="7"), said(10, rule="bar"), said(12, rule="piped_epoch"), said(11, told=(Event("nan_loss", "critical", {}),)),
    event(XID), event(XID, rank="3", label="rank 3"), event(Event("oom", "critical", {"gpu": 0, "device": ""})),
    event(Event("checkpoint_save_end", "info", {"framework": "x"}), XID), event(), none(None),
]  # fmt: skip
TEXTS = ["step 1", "", "é 79", "\ud800 lone", "x" * 70]


class Read(list):
    """What lines say, of whose plans each line has one of its own, made of that line or of another."""

    def __init__(self, lines, templates):
        super().__init__(lines)
        self.plan_of = memoryview(array("I", range(1, len(lines) + 1)))
        self.plans = [SimpleNamespace(template=one) for one in templates]


def block(texts, sources):
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    ends = [sum(map(len, raw[: n + 1])) for n in range(len(raw))]
    return SimpleNamespace(
        blob=b"".join(raw),
        ends=memoryview(array("I", ends)),
        source_of=memoryview(array("I", sources)),
        at_ns=memoryview(array("q", [T0 - 7 * n if n % 2 else -n for n in range(len(raw))])),
    )


def taken(kernel, read, codes, made_of, scales, *, bodies):
    """Rows, records, which lines were left, and of which sources and events it was asked."""
    places = [n for n in range(len(read)) if n % 7 != 6]
    rows, records, left, asked, at = [], [], [], [], 0

    def origin(source):
        asked.append(source)
        return ORIGINS[source]

    def tells(of, label, one, at_ns):
        asked.append((of, label, one, at_ns))
        return one is XID

    plain = kernel.PlainLines(
        read, memoryview(array("I", places)), bytes([0, *codes]), made_of, PODS, origin,
        tells, making(bodies=bodies), T0,
    )  # fmt: skip
    while (at := plain.take(rows, records, at, scales)) < len(places):
        left.append(places[at])
        at += 1
    return rows, records, left, asked


def row_of(line, source, at_ns, scales):
    """The row of a line, "" where there is none, None where it is left."""
    pod, scale = PODS[source], line.fields.get("loss_scale")
    was = scales.get((pod, line.label))
    if not pod:
        return pod
    odd = line.kind != "performance" or line.rule in {"bar", "piped_epoch"} or line.events
    if odd or (scale is not None and scale != (was.scale if was else 1.0)):
        return None
    step = line.fields.get("current_iteration")
    return TrainingRow(pod, "log", line.label, at_ns, step, None, "primus", line.fields)


def records_of(line, template, source, at_ns, text, asked, *, bodies):
    """The records of a line by their definition, None where it is left; of which events is *asked* whether
    they are told, where that is a list."""
    origin = ORIGINS[source]
    types = [one.event_type for one in line.events]
    if origin is None or line.kind == "performance" or types != [e[0] for e in template.events]:
        return None
    found = []
    for number, one in enumerate(line.events):
        if asked is not None:
            asked.append((origin, line.label, one, at_ns))
            if one is not XID:
                continue
        rank = one.attributes.get("rank", line.fields.get("rank"))
        device = next(
            (one.attributes[n] for n in plain_lines.DEVICES if n in one.attributes), ""
        )
        more = {"rank": rank, "speaker": line.label, "device": str(device)}
        resource = {**origin.resource, **{k: v for k, v in more.items() if v not in (None, "")}}
        name, namespace, pod, node, container, stream = origin.source
        whose = name or f"{node}/{namespace}/{pod}"
        found.append(Record(
            record_id("log", whose, container, stream, at_ns, text, one.event_type, number),
            at_ns, T0, origin.session_id, "log", one.event_type, severity=one.severity,
            body=text if bodies else None, resource=resource,
            attributes={**one.attributes, "framework": line.framework},
        ))  # fmt: skip
    return found


@given(
    st.lists(
        st.tuples(
            st.sampled_from(LINES), st.sampled_from([0, 1, 1, 2, 2, 3]), st.integers(0, 3),
            st.sampled_from(TEXTS), st.one_of(st.none(), st.sampled_from(LINES)),
        ),
        max_size=30,
    ),
    st.sampled_from([{}, SCALES]),
    st.booleans(),
)  # fmt: skip
def test_both_kernels_take_the_same(given, scales, bodies):
    lines, codes, sources, texts, others = ([one[n] for one in given] for n in range(5))
    templates = [other or line for line, other in zip(lines, others, strict=True)]
    read, made_of = Read(lines, templates), block(texts, sources)
    rows, records, left, asked, known = [], [], [], [], set()
    for place, (line, code, source, text, _) in enumerate(given):
        if place % 7 == 6:
            continue
        at_ns = made_of.at_ns[place]
        if code > 1:
            asked += [] if source in known else [source]
            known.add(source)
            some = asked if code == 3 else None
            found = records_of(line, templates[place], source, at_ns, text, some, bodies=bodies)
            records += found or []
        else:
            found = row_of(line, source, at_ns, scales) if code else None
            rows += [found] if found else []
        left += [place] if found is None else []
    for kernel in KERNELS.values():
        told = taken(kernel, read, codes, made_of, scales, bodies=bodies)
        assert told == (rows, records, left, asked)
        assert all(type(row) is TrainingRow for row in told[0])
        assert all(type(one) is Record for one in told[1])
        # In the order that a store writes them in.
        for one, other in zip(told[1], records, strict=True):
            assert list(one.resource) == list(other.resource)
            assert list(one.attributes) == list(other.attributes)


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_id_is_of_the_parts_of_its_identity(kernel):
    made = KERNELS[kernel].record_id(b"3:log", -12, "é".encode(), b"3:oom1:0")
    whole = hashlib.sha256("3:log3:-122:é3:oom1:0".encode()).hexdigest()
    assert made == f"telemetry-{whole[:32]}"
    for at_ns in (0, 9, 10, 2**63 - 1, -(2**63)):
        assert KERNELS[kernel].record_id(b"", at_ns, b"", b"") == record_id(at_ns, "")


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_does_not_fit_is_refused(kernel):
    def made(
        places=(0,), plan_of=(1,), sources=(0,), ends=(6,), plain=b"\0\1", line=None, **more
    ):
        read = Read([line or said()], [line or said()])
        read.plan_of = memoryview(array("I", plan_of))
        given = block(["step 1"], sources)
        given.ends = memoryview(array("I", ends))
        return KERNELS[kernel].PlainLines(
            read, memoryview(array("I", places)), plain, given, PODS, ORIGINS.__getitem__,
            None, making(bodies=True)._replace(**more), T0,
        )  # fmt: skip

    with pytest.raises(ValueError, match="one length"):
        made(sources=(0, 0))
    with pytest.raises(ValueError, match="one length"):
        made(ends=())
    with pytest.raises(ValueError, match="eight parts"):
        made(row=Parsed)
    with pytest.raises(ValueError, match="thirteen"):
        made(record=TrainingRow)
    for codes in (b"\0", b"\1\1", b"\0\1\1"):
        with pytest.raises(ValueError, match="each plan"):
            made(plain=codes)
    for more in ({"places": (1,)}, {"plan_of": (2,)}, {"sources": (4,)}):
        with pytest.raises(IndexError):
            made(**more).take([], [], 0, {})


ORIGIN = (None, "p1", b"3:log", "p1", {})


@pytest.mark.skipif("compiled" not in KERNELS, reason="no compiler")
@pytest.mark.parametrize(
    ("line", "origin"),
    [
        (event(XID)._replace(events=[XID]), ORIGIN),
        (event(XID), (None, "p1", 7, "p1", {})),
        (event(XID), (None, "p1", b"3:log", "p1", 7)),
        (event(XID), ("p1", b"3:log")),
        (event(("oom",)), ORIGIN),
    ],
)
def test_the_compiled_kernel_looks_into_nothing_of_another_type(line, origin):
    read = Read([line], [event(*line.events)])
    plain = plain_lines.PlainLines(
        read, memoryview(array("I", [0])), b"\0\2", block(["x"], [0]), PODS, lambda _: origin,
        None, making(bodies=True), T0,
    )  # fmt: skip
    with pytest.raises(TypeError):
        plain.take([], [], 0, {})
    with pytest.raises(IndexError):
        plain.take([], [], -1, {})
