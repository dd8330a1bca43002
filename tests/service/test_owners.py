"""How many pods are known at most: only those that are new count."""

import pytest

from heliograph.core.clock import ManualClock
from heliograph.core.errors import Unavailable
from heliograph.core.owner import Pod
from heliograph.core.placement import PlacedPod, Placements
from heliograph.service.owners import Owners
from heliograph.store.state.state import State


@pytest.fixture
def owners(tmp_path):
    clock = ManualClock(10**18)
    state = State.open(None, tmp_path, clock)
    yield Owners(state, clock, pods_max=10)
    state.close()


def placed(numbers, node):
    told = frozenset({"name", "namespace", "node"})
    return Placements(
        (),
        tuple(PlacedPod(Pod(f"p{n}", f"p{n}", "ns", node), (), 1, None, told) for n in numbers),
    )


@pytest.mark.parametrize(
    ("known", "sent", "taken"),
    [
        (6, 7, True),
        (6, 10, True),
        (6, 11, False),
        (10, 10, True),
        (10, 11, False),
        (0, 11, False),
    ],
)
def test_pods_that_are_known_may_always_change(owners, known, sent, taken):
    owners.place(placed(range(known), "n1"))
    if taken:
        owners.place(placed(range(sent), "n2"))
    else:
        with pytest.raises(Unavailable):
            owners.place(placed(range(sent), "n2"))
    pods = owners.directory().pods.values()
    assert len(pods) == (sent if taken else known)
    assert {pod.node for pod in pods} <= {"n2" if taken else "n1"}
