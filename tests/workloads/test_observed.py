"""Container events over what is stored: who got which devices, as the node saw it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.owner import Device, Hold, Pod
from heliograph.core.placement import ContainerEvent
from heliograph.workloads import observed
from heliograph.workloads.change import EMPTY, Change, Stored, updated

A, B = Device("gpu", "0", serial="S0"), Device("gpu", "1", serial="S1")


def event(kind, at_ns, devices=(), *, uid="p", created=None, exited=None, status="running"):
    return ContainerEvent(
        type=kind,
        source="k8s",
        node="n1",
        container_id="c",
        pod_uid=uid,
        pod_name="name",
        namespace="ns",
        status=status,
        at_ns=at_ns,
        created_ns=created,
        exited_ns=exited,
        exit_code=None,
        oom_killed=False,
        devices=tuple(devices),
        raw={},
    )


def told(*events, stored=EMPTY, now_ns=1000):
    return updated(stored, observed.apply(stored, events, now_ns=now_ns))


STORIES = [
    # case                                    events                                                              holds                                   pod's end
    ("a start opens",
     [event("task_start", 50, [A])],                                                                              [(A, 50, None)],                        None),
    ("a snapshot opens at the creation",
     [event("snapshot", 90, [A], created=50)],                                                                    [(A, 50, None)],                        None),
    ("a start told twice opens once",
     [event("create", 50, [A]), event("task_start", 50, [A]), event("snapshot", 90, [A], created=50)],            [(A, 50, None)],                        None),
    ("a start told late moves the opening",
     [event("update", 90, [A]), event("task_start", 50, [A])],                                                    [(A, 50, None)],                        None),
    ("a stop ends hold and pod",
     [event("task_start", 50, [A]), event("task_stop", 80, [A], exited=80)],                                      [(A, 50, 80)],                          80),
    ("a delete after the stop changes nothing",
     [event("task_start", 50, [A]), event("task_stop", 80, [A], exited=80), event("delete", 99, [A])],            [(A, 50, 80)],                          80),
    ("a stop after the delete tells the exit",
     [event("task_start", 50, [A]), event("delete", 99, [A]), event("task_stop", 80, [A], exited=80)],            [(A, 50, 80)],                          80),
    ("a sidecar's end changes nothing",
     [event("task_start", 50, [A]), event("task_stop", 80, [], exited=80)],                                       [(A, 50, None)],                        None),
    ("the other container keeps its devices",
     [event("task_start", 50, [A]), event("task_start", 60, [B]), event("dead", 80, [A], exited=80)],             [(A, 50, 80), (B, 60, None)],           None),
    ("the pod ends with its last hold",
     [event("task_start", 50, [A]), event("task_start", 60, [B]), event("dead", 80, [A], exited=80),
      event("dead", 90, [B], exited=90)],                                                                         [(A, 50, 80), (B, 60, 90)],             90),
    ("a container that starts again opens again",
     [event("task_start", 50, [A]), event("task_stop", 80, [A], exited=80), event("task_start", 85, [A])],        [(A, 50, 80), (A, 85, None)],           None),
    ("the late removal of the one before leaves it",
     [event("task_start", 50, [A]), event("task_stop", 80, [A], exited=80), event("task_start", 85, [A]),
      event("delete", 99, [A], created=50)],                                                                      [(A, 50, 80), (A, 85, None)],           None),
    ("a stale snapshot does not open again",
     [event("task_start", 50, [A]), event("task_stop", 80, [A], exited=80),
      event("snapshot", 95, [A], created=50)],                                                                    [(A, 50, 80)],                          80),
    ("a snapshot of one that exited ends it",
     [event("task_start", 50, [A]), event("snapshot", 95, [A], created=50, exited=80, status="Exited")],          [(A, 50, 80)],                          80),
    ("an event that says neither",
     [event("task_start", 50, [A]), event("task_paused", 60, [A])],                                               [(A, 50, None)],                        None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("events", "holds", "end_ns"), [pytest.param(*row, id=case) for case, *row in STORIES]
)
def test_stories(events, holds, end_ns):
    stored = told(*events)

    assert [(h.device, h.start_ns, h.end_ns) for h in stored.holds["p"]] == holds
    assert stored.pods["p"] == Pod("p", "name", "ns", "n1", None, 50, end_ns)
    # In one batch or one by one, it is the same.
    one_by_one = EMPTY
    for each in events:
        one_by_one = told(each, stored=one_by_one)
    assert one_by_one == stored


def test_what_a_placement_said_of_the_pod_stays():
    pod = Pod("p", "its-name", "its-ns", "n1", "w", 40, None)
    device = Device("gpu", "0", uuid="GPU-a")
    stored = Stored({}, {"p": pod}, {"p": (Hold("p", "n1", device, 40, None),)})

    stored = told(event("task_start", 50, [A]), stored=stored)

    assert stored.pods["p"] == pod
    assert stored.holds["p"] == (Hold("p", "n1", device._replace(serial="S0"), 40, None),)


def test_an_ib_device_of_the_agent_is_the_rdma_device_of_the_placement():
    rdma = Device("rdma", "mlx5_0")
    pod = Pod("p", "name", "ns", "n1", "w", 40, None)
    stored = Stored({}, {"p": pod}, {"p": (Hold("p", "n1", rdma, 40, None),)})

    change = observed.apply(
        stored, [event("task_start", 50, [Device("ib", "mlx5_0")])], now_ns=60
    )

    assert change == Change()


def test_docker_and_the_end_of_an_unknown_pod_change_nothing():
    docker = event("start", 50, [A], uid="")._replace(source="docker")

    assert observed.apply(EMPTY, [docker, event("delete", 60, [A])], now_ns=70) == Change()


def test_late_events_make_the_past_dirty():
    change = observed.apply(EMPTY, [event("task_start", 50, [A])], now_ns=200)

    assert change.dirty == ((50, 200),)


kinds = st.sampled_from(["task_start", "snapshot", "task_stop", "delete", "update"])
events_of = st.builds(
    event,
    kinds,
    st.integers(1, 99),
    st.sets(st.sampled_from([A, B])).map(sorted),
    uid=st.sampled_from(["p", "q"]),
    created=st.none() | st.integers(1, 50),
    exited=st.none() | st.integers(51, 99),
)


@given(st.lists(events_of, max_size=8))
def test_any_events_keep_holds_disjoint_and_repeating_the_last_changes_nothing(events):
    stored = told(*events)

    for holds in stored.holds.values():
        for device in (A, B):
            mine = [hold for hold in holds if hold.device == device]
            for before, after in itertools.pairwise(mine):
                assert before.end_ns is not None
                assert before.end_ns < after.start_ns
    if events:
        assert observed.apply(stored, events[-1:], now_ns=1000).empty
