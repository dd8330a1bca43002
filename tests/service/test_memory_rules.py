"""The alert rule that the page on memory recommends, on events of several ranks."""

import re
from pathlib import Path

import pytest
import yaml

from tests.service.alert_site import listed
from tests.service.live import until
from tests.service.running import NOW_NS, running

PAGE = Path(__file__).parents[2] / "docs" / "memory.md"


@pytest.fixture
def site(tmp_path):
    with running(tmp_path / "data") as site:
        yield site
        site.assert_sound()


def full(rank):
    return {
        "schema_version": 3, "session_id": "s-1", "timestamp_ns": NOW_NS - 10**9 + rank,
        "event_type": "critical", "collector": "heliograph.memory.cuda", "sampling_interval_ms": 1000,
        "pid": 1, "host": f"gpu-{rank // 4}", "job_id": None, "rank": rank, "local_rank": rank % 4,
        "world_size": 8, "device_id": rank % 4, "allocator_allocated_bytes": 1,
        "allocator_reserved_bytes": 1, "allocator_active_bytes": None,
        "allocator_inactive_bytes": None, "allocator_change_bytes": 0, "device_used_bytes": 1,
        "device_free_bytes": None, "device_total_bytes": None, "context": "memory 97% full",
        "metadata": {"alert": "device_memory"},
    }  # fmt: skip


def test_each_rank_that_is_full_is_an_alert_that_says_which(site):
    (text,) = re.findall(r"```yaml\n(name: .*?)```", PAGE.read_text(), re.DOTALL)
    rule = yaml.safe_load(text)
    answer = site.post("/v1/alert-rules", rule)
    assert answer.status == 201, answer.body

    assert site.post("/v1/records", [full(rank) for rank in range(8)]).status == 200
    alerts = until(
        lambda: len(found := listed(site, alert_name=rule["name"])) == 8 and found,
        "eight alerts",
    )

    assert sorted(alert["labels"]["rank"] for alert in alerts) == list("01234567")
    last = next(one for one in alerts if one["labels"]["rank"] == "7")
    assert last["annotations"]["summary"] == "rank 7, device 3 on gpu-1 is nearly full"
