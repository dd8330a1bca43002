"""A container's name in the record of its event: whatever it is, the event is not lost to it."""

import pytest

from heliograph.receive import container_events
from heliograph.service.endpoints import ownership

EVENT = {"type": "oom_killed", "source": "k8s", "node": "n1", "container_id": "c1"}


@pytest.mark.parametrize(
    ("name", "kept"), [("main", "main"), ("x" * 20_000_000, "x" * 253), (7, ""), (None, "")]
)
def test_a_name_is_kept_as_far_as_names_go(name, kept):
    event = container_events.decode_event({**EVENT, "data": {"name": name}}, arrived_ns=1)
    assert ownership._record(event, 1).resource.get("container_name", "") == kept
