"""Placement documents over time: what closes, what moves, what stays, what becomes dirty."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import Refused
from heliograph.core.owner import Device, Hold, Pod, Workload
from heliograph.core.placement import PlacedPod, PlacedWorkload, Placements
from heliograph.workloads import placed
from heliograph.workloads.change import EMPTY, Change, updated

A, B, C = (Device("gpu", str(i)) for i in range(3))


def document(devices=None, *, uid="p", workload="w", **said):
    """A document of one pod; what is not given here is not in it."""
    given_keys = {"uid", "name", "workload_uid", *said}
    given_keys |= {"devices"} if devices is not None else set()
    pod = Pod(uid, f"name-{uid}", said.get("namespace", ""), said.get("node", "n1"), workload)
    return Placements(
        (),
        (
            PlacedPod(
                pod,
                tuple(devices or ()),
                said.get("start"),
                said.get("end"),
                frozenset(given_keys | {"node"}),
            ),
        ),
    )


def told(*steps, stored=EMPTY):
    """The state after *steps* of (now, document), and the last change."""
    change = Change()
    for now_ns, step in steps:
        change = placed.apply(stored, step, now_ns=now_ns)
        stored = updated(stored, change)
    return stored, change


def held(stored, uid="p"):
    """`{id: [(start, end), …]}` of a pod."""
    spans = {}
    for hold in stored.holds[uid]:
        spans.setdefault(hold.device.id, []).append((hold.start_ns, hold.end_ns))
    return spans


STORIES = [
    # case                                 steps: now, devices, keys                       held                                      dirty
    ("a first appearance begins now",
     [(100, [A], {})],                                                                     {"0": [(100, None)]},                     ()),
    ("late metadata goes back",
     [(100, [A], {"start": 40})],                                                          {"0": [(40, None)]},                      ((40, 100),)),
    ("one over before we heard of it",
     [(100, [A], {"start": 40, "end": 60})],                                               {"0": [(40, 60)]},                        ((40, 60),)),
    ("other devices from now on",
     [(100, [A], {"start": 50}), (200, [B], {"start": 50})],                               {"0": [(50, 200)], "1": [(200, None)]},   ()),
    ("other devices from a later start on",
     [(100, [A], {"start": 50}), (200, [B], {"start": 150})],                              {"0": [(50, 150)], "1": [(150, None)]},   ((150, 200),)),
    ("other devices and an earlier start",
     [(100, [A], {"start": 50}), (200, [B], {"start": 20})],                               {"0": [(50, 200)], "1": [(200, None)]},   ((20, 50),)),
    ("a device in both is held through",
     [(100, [A, B], {}), (200, [B, C], {})],                                               {"0": [(100, 200)], "1": [(100, None)], "2": [(200, None)]}, ()),
    ("and back again",
     [(100, [A], {"start": 50}), (200, [B], {"start": 50}), (300, [A], {"start": 50})],    {"0": [(50, 200), (300, None)], "1": [(200, 300)]}, ()),
    ("a later correction of the devices",
     [(100, [A], {"start": 50}), (200, [B], {"start": 150}), (300, [C], {"start": 150})],  {"0": [(50, 150)], "2": [(150, None)]},   ((150, 300),)),
    ("no devices any more",
     [(100, [A], {}), (200, [], {})],                                                      {"0": [(100, 200)]},                      ()),
    ("devices unsaid are kept",
     [(100, [A], {}), (200, None, {})],                                                    {"0": [(100, None)]},                     ()),
    ("devices told late count from the start",
     [(100, None, {"start": 50}), (200, [A], {"start": 50})],                              {"0": [(50, None)]},                      ((50, 200),)),
    ("an end closes",
     [(100, [A], {}), (200, [A], {"end": 180})],                                           {"0": [(100, 180)]},                      ((180, 200),)),
    ("an end ahead closes then",
     [(100, [A], {}), (200, None, {"end": 280})],                                          {"0": [(100, 280)]},                      ()),
    ("an end corrected to later",
     [(100, [A], {"end": 150}), (200, [A], {"end": 170})],                                 {"0": [(100, 170)]},                      ((150, 170),)),
    ("an end taken back",
     [(100, [A], {"end": 150}), (200, [A], {"end": None})],                                {"0": [(100, None)]},                     ((150, 200),)),
    ("an end unsaid stays",
     [(100, [A], {"end": 150}), (200, [A], {})],                                           {"0": [(100, 150)]},                      ()),
    ("an earlier start moves the interval",
     [(100, [A], {"start": 50}), (200, [A], {"start": 30})],                               {"0": [(30, None)]},                      ((30, 50),)),
    ("a later start moves the interval",
     [(100, [A], {"start": 50}), (200, [A], {"start": 70})],                               {"0": [(70, None)]},                      ((50, 70),)),
    ("the time of a swap moves back",
     [(100, [A], {"start": 50}), (200, [B], {"start": 150}), (300, [B], {"start": 120})],  {"0": [(50, 120)], "1": [(120, None)]},   ((120, 150),)),
    ("the time of a swap moves on",
     [(100, [A], {"start": 50}), (200, [B], {"start": 150}), (300, [B], {"start": 170})],  {"0": [(50, 170)], "1": [(170, None)]},   ((150, 170),)),
    ("the start before a swap moves",
     [(100, [A], {"start": 50}), (200, [B], {"start": 150}), (300, [B], {"start": 20})],   {"0": [(20, 150)], "1": [(150, None)]},   ((20, 50),)),
    ("one that is over had other devices",
     [(100, [A], {"start": 50, "end": 90}), (200, [B], {"start": 50, "end": 90})],         {"1": [(50, 90)]},                        ((50, 90),)),
    ("one that is over runs again elsewhere",
     [(100, [A], {"start": 50, "end": 90}), (200, [B], {"end": None})],                    {"0": [(50, 90)], "1": [(200, None)]},    ((90, 200),)),
    ("a start after the end is another run",
     [(100, [A], {"start": 50, "end": 90}), (200, [A], {"start": 120})],                   {"0": [(50, 90), (120, None)]},           ((90, 200),)),
    ("an end before the devices came",
     [(100, [A], {"start": 50}), (200, [B], {}), (300, [B], {"end": 150})],                {"1": [(50, 150)]},                       ((50, 300),)),
    ("a clock set back",
     [(100, [A], {}), (40, [B], {})],                                                      {"1": [(100, None)]},                     ()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "spans", "dirty"), [pytest.param(*row, id=case) for case, *row in STORIES]
)
def test_stories(steps, spans, dirty):
    documents = [(now_ns, document(devices, **said)) for now_ns, devices, said in steps]

    stored, change = told(*documents)

    assert held(stored) == spans
    assert change.dirty == dirty
    # Reloading the same file changes nothing, then or later.
    last = documents[-1][1]
    for now_ns in (documents[-1][0], 10_000):
        assert placed.apply(stored, last, now_ns=now_ns) == Change()


def test_another_node_closes_the_earlier_holds():
    stored, _ = told((100, document([A], node="n1")), (200, document([A], node="n2")))

    assert stored.holds["p"] == (
        Hold("p", "n1", A, 100, 200),
        Hold("p", "n2", A, 200, None),
    )
    assert stored.pods["p"].node == "n2"


def test_the_pod_keeps_its_own_start_through_a_swap():
    stored, _ = told((100, document([A], start=50)), (200, document([B], start=150)))

    assert (stored.pods["p"].start_ns, stored.pods["p"].end_ns) == (50, None)


def test_an_identifier_told_later_is_of_the_same_device():
    known = A._replace(uuid="GPU-a")

    stored, _ = told((100, document([A])), (200, document([known])))
    assert stored.holds["p"] == (Hold("p", "n1", known, 100, None),)

    # And one that is left out later is not forgotten.
    assert placed.apply(stored, document([A]), now_ns=300) == Change()


def test_another_card_in_the_same_slot_is_another_device():
    old, new = A._replace(uuid="GPU-a"), A._replace(uuid="GPU-b")

    stored, _ = told((100, document([old])), (200, document([new])))

    assert stored.holds["p"] == (
        Hold("p", "n1", old, 100, 200),
        Hold("p", "n1", new, 200, None),
    )


def test_an_end_that_is_not_later_than_the_start_is_refused_by_name():
    stored, _ = told((100, document([A])))

    with pytest.raises(Refused, match=r"pods\[0\].end: not later"):
        placed.apply(stored, document([A], end=100), now_ns=200)


def workloads(*placed_workloads):
    return Placements(
        tuple(PlacedWorkload(w, frozenset(keys)) for w, keys in placed_workloads), ()
    )


def test_a_workload_told_late_makes_the_past_of_its_pods_dirty():
    job = Workload("w", "llm", "Job", parent_uid="top")
    stored, _ = told((100, document([A], start=50)))

    stored, change = told((200, workloads((job, job._fields))), stored=stored)
    assert change == Change((job,), (), {}, ((50, 200),))

    stored, change = told(
        (300, workloads((Workload("top", "top"), ("uid", "name")))), stored=stored
    )
    assert change.dirty == ((50, 300),)

    running = workloads((Workload("w", "llm", status="Running"), ("uid", "name", "status")))
    stored, change = told((400, running), stored=stored)
    assert change == Change((job._replace(status="Running"),), (), {}, ())


def test_a_pod_of_another_workload_is_dirty_over_its_whole_span():
    stored, _ = told((100, document([A], start=50)))

    stored, change = told((200, document([A], workload="w2", start=50)), stored=stored)

    assert (stored.pods["p"].workload_uid, change.dirty) == ("w2", ((50, 200),))


gpus = st.sets(st.sampled_from([A, B, C]))
pods = st.sampled_from(["p", "q", "r"])


@given(st.lists(st.tuples(pods, gpus), min_size=1, max_size=12), st.booleans())
def test_who_holds_what_is_what_was_last_said(statements, explicit):
    """Against the plain model: at each instant, the last statement before it."""
    stored = EMPTY
    for step, (uid, devices) in enumerate(statements):
        now_ns = 10 * (step + 1)
        said = {"start": now_ns - 4} if explicit else {}
        statement = document(sorted(devices), uid=uid, **said)
        stored, _ = told((now_ns, statement), stored=stored)
        assert placed.apply(stored, statement, now_ns=now_ns + 1).empty

    for at_ns in range(0, 10 * len(statements) + 20, 3):
        for uid in {uid for uid, _ in statements}:
            model = set()
            for step, (of, devices) in enumerate(statements):
                if of == uid and 10 * (step + 1) - (4 if explicit else 0) <= at_ns:
                    model = devices
            found = {
                hold.device
                for hold in stored.holds.get(uid, ())
                if hold.start_ns <= at_ns and (hold.end_ns is None or at_ns < hold.end_ns)
            }
            # Devices that are the same again, said with a later start, may have moved it.
            if not explicit or not _said_again(uid, statements):
                assert found == model


def _said_again(uid, statements):
    mine = [devices for of, devices in statements if of == uid]
    return any(a == b for a, b in itertools.pairwise(mine))


@given(
    st.lists(
        st.tuples(
            pods,
            st.none() | gpus,
            st.none() | st.integers(0, 250),
            st.none() | st.integers(20, 300),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_any_history_keeps_its_laws(statements):
    """Holds of a device are disjoint, within the pod's end, and repeating changes nothing."""
    stored = EMPTY
    for step, (uid, devices, start, end, says_end) in enumerate(statements):
        now_ns = 40 * (step + 1)
        said = {} if start is None else {"start": start}
        said |= {"end": end} if says_end and not (start and end and end <= start) else {}
        statement = document(None if devices is None else sorted(devices), uid=uid, **said)
        try:
            change = placed.apply(stored, statement, now_ns=now_ns)
        except Refused:
            continue
        stored = updated(stored, change)
        assert placed.apply(stored, statement, now_ns=now_ns + 5).empty
        for pod_uid, holds in stored.holds.items():
            pod = stored.pods[pod_uid]
            assert list(holds) == sorted(holds, key=lambda hold: hold.start_ns)
            for device in {hold.device for hold in holds}:
                mine = [hold for hold in holds if hold.device == device]
                for before, after in itertools.pairwise(mine):
                    assert before.end_ns is not None
                    assert before.end_ns < after.start_ns
            for hold in holds:
                assert hold.end_ns is None or hold.start_ns < hold.end_ns
                assert hold.start_ns >= pod.start_ns
                if pod.end_ns is not None:
                    assert hold.end_ns is not None
                    assert hold.end_ns <= pod.end_ns
