"""Who owned what, told over HTTP: devices change hands, samples and metadata come late or again."""

import json

import pytest

from heliograph.core.clock import ManualClock
from tests.service.stories import (
    END_MS,
    HOUR_MS,
    MINUTE_MS,
    T0_MS,
    at,
    explained,
    gpu,
    killed,
    machine,
    placements,
    posted,
    seal,
    settled,
    told,
    upkeep,
    wait_for,
    written,
)

SWAP_MS = T0_MS + HOUR_MS + 20_500  # in the middle of a minute
A = {
    "uid": "w-a",
    "name": "llm",
    "kind": "PyTorchJob",
    "namespace": "train",
    "parent_uid": "w-root",
}
B = {"uid": "w-b", "name": "vision", "kind": "Job", "namespace": "train"}
ROOT = {"uid": "w-root", "name": "sweep", "kind": "Sweep", "namespace": "train"}
UTIL = {"__name__": "util", "Hostname": "n1", "gpu": "0", "UUID": "GPU-0", "job": "dcgm"}


def pod(uid, workload, *, start=T0_MS, end=None, devices=(), name=None, node="n1"):
    return {
        "uid": uid, "name": name or f"pod-{uid}", "namespace": "train", "node": node,
        "workload_uid": workload, "start": at(start), "end": None if end is None else at(end),
        "devices": list(devices),
    }  # fmt: skip


def owner_of(pod_uid, workload, /, **labels):
    """Labels of a series of *pod_uid*."""
    parent = "w-root" if workload is A else workload["uid"]
    return {
        **labels, "__name__": f"workload_{labels.get('__name__', 'util')}",
        "pod_name": f"pod-{pod_uid}", "pod_uid": pod_uid, "pod_namespace": "train",
        "workload_name": workload["name"], "workload_uid": workload["uid"],
        "workload_kind": workload["kind"], "workload_root_uid": parent,
    }  # fmt: skip


def key(labels):
    return tuple(sorted(labels.items()))


@pytest.fixture
def clock():
    return ManualClock(END_MS * 10**6)


@pytest.fixture
def site(tmp_path, clock):
    with told(tmp_path / "data", clock) as asked:
        yield asked


DEVICES = [
    pytest.param([gpu(0, "GPU-0")], UTIL, id="NVIDIA, all labels"),
    pytest.param([gpu(0, "GPU-0")], {"__name__": "util", "uuid": "gpu-0"}, id="NVIDIA, uuid alone"),
    pytest.param([gpu(0)], {"__name__": "util", "instance": "n1:9400", "gpu": "0"}, id="NVIDIA, index"),
    pytest.param([gpu(0)], {"__name__": "util", "kubernetes_node": "n1", "gpu_id": "0"}, id="AMD, index"),
    pytest.param(
        [gpu(0, serial="S0", partition="1")],
        {"__name__": "util", "hostname": "n1", "serial_number": "S0", "gpu_partition_id": "1"},
        id="AMD, serial and partition",
    ),
    pytest.param(
        [{"type": "rdma", "id": "mlx5_0"}],
        {"__name__": "util", "instance": "n1:9100", "device": "mlx5_0", "port": "1"},
        id="RDMA",
    ),
    pytest.param(
        [{"type": "ib", "id": "mlx5_0"}],
        {"__name__": "util", "primus_lens_node_name": "n1", "device": "mlx5_0"},
        id="InfiniBand",
    ),
    pytest.param(
        [{"type": "asic", "id": "7"}], {"__name__": "util", "node": "n1", "asic": "7"}, id="ASIC"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("devices", "labels"), DEVICES)
@pytest.mark.parametrize("order", ["placed first", "placed last", "swap told last"])
def test_a_device_changes_hands(site, devices, labels, order):
    before = [(ms, float(ms - SWAP_MS)) for ms in (T0_MS, SWAP_MS - 1)]
    after = [(ms, float(ms - SWAP_MS)) for ms in (SWAP_MS, SWAP_MS + 1, END_MS - 1)]
    first = placements([pod("p1", "w-a", devices=devices)], [A, B, ROOT])
    then = placements(
        [
            pod("p1", "w-a", end=SWAP_MS, devices=devices),
            pod("p2", "w-b", start=SWAP_MS, devices=devices),
        ]
    )
    if order == "placed first":
        posted(site, "/v1/placements", first)
        posted(site, "/v1/placements", then)
        written(site, [(labels, after)])
        written(site, [(labels, before)])  # late
    elif order == "placed last":
        written(site, [(labels, after)])
        written(site, [(labels, before)])
        assert site.points("workload_util") == {}
        posted(site, "/v1/placements", first)
        posted(site, "/v1/placements", then)
    else:
        posted(site, "/v1/placements", first)
        written(site, [(labels, before + after)])
        assert list(site.points("workload_util")) == [key(owner_of("p1", A, **labels))]
        posted(site, "/v1/placements", then)

    expected = {
        key(owner_of("p1", A, **labels)): [list(one) for one in before],
        key(owner_of("p2", B, **labels)): [list(one) for one in after],
    }
    assert site.points("workload_util") == expected
    assert site.points("util") == {key(labels): [list(one) for one in before + after]}
    # As often as you like.
    posted(site, "/v1/placements", then)
    written(site, [(labels, before + after)])
    assert site.points("workload_util") == expected


def test_the_same_from_segments_after_a_restart_and_after_a_kill(tmp_path, clock):
    labels = UTIL
    samples = [(ms, float(ms - SWAP_MS)) for ms in range(T0_MS, END_MS, 17_000)]
    expected = {
        key(owner_of("p1", A, **labels)): [list(s) for s in samples if s[0] < SWAP_MS],
        key(owner_of("p2", B, **labels)): [list(s) for s in samples if s[0] >= SWAP_MS],
    }
    devices = [gpu(0, "GPU-0")]
    with told(tmp_path / "data", clock) as site:
        written(site, [(labels, samples[::2])])
        posted(
            site,
            "/v1/placements",
            placements([pod("p1", "w-a", devices=devices)], [A, B, ROOT]),
        )
        seal(site, clock)
        written(site, [(labels, samples[1::2])])
        swap = [
            pod("p1", "w-a", end=SWAP_MS, devices=devices),
            pod("p2", "w-b", start=SWAP_MS, devices=devices),
        ]
        posted(site, "/v1/placements", placements(swap))
        copy = killed(tmp_path / "data", tmp_path / "copy")
        assert site.points("workload_util") == expected
    for folder in (tmp_path / "data", copy):
        for _ in range(2):
            with told(folder, clock) as site:
                assert site.points("workload_util") == expected
                upkeep(site)
                assert site.points("workload_util") == expected


def minutes(samples, first_ms=0, last_ms=2**60, width_ms=MINUTE_MS):
    """{agg: points} of *samples* in [first_ms, last_ms), by window."""
    windows = {}
    for ms, value in samples:
        if first_ms <= ms < last_ms:
            windows.setdefault(ms - ms % width_ms, []).append(value)
    return {
        "mean": [[w, sum(v) / len(v)] for w, v in windows.items()],
        "sum": [[w, sum(v)] for w, v in windows.items()],
        "min": [[w, min(v)] for w, v in windows.items()],
        "max": [[w, max(v)] for w, v in windows.items()],
        "count": [[w, len(v)] for w, v in windows.items()],
        "last": [[w, v[-1]] for w, v in windows.items()],
    }


ONLY_ROLLUPS = {"samples": {"retention": {"raw": "1s", "1m": "30d", "1h": "400d"}}}
ONLY_HOURS = {"samples": {"retention": {"raw": "1s", "1m": "1s", "1h": "400d"}}}


@pytest.mark.parametrize(
    ("sections", "width"), [(ONLY_ROLLUPS, MINUTE_MS), (ONLY_HOURS, HOUR_MS)], ids=["1m", "1h"]
)
def test_roll_ups_are_cut_where_the_owner_changed(tmp_path, clock, sections, width):
    samples = [(ms, float(ms % 977)) for ms in range(T0_MS, END_MS - 6 * MINUTE_MS, 7_000)]
    devices = [gpu(0, "GPU-0")]
    swap = [
        pod("p1", "w-a", end=SWAP_MS, devices=devices),
        pod("p2", "w-b", start=SWAP_MS, devices=devices),
    ]
    span = {"start": T0_MS / 1000 - 7200, "end": END_MS / 1000, "step": f"{width // 1000}s"}

    def assert_right(site):
        for agg in ("mean", "sum", "min", "max", "count", "last"):
            assert site.points("workload_util", agg=agg, **span) == {
                key(owner_of("p1", A, **UTIL)): minutes(
                    samples, last_ms=SWAP_MS, width_ms=width
                )[agg],
                key(owner_of("p2", B, **UTIL)): minutes(
                    samples, first_ms=SWAP_MS, width_ms=width
                )[agg],
            }, agg
            assert site.points("util", agg=agg, **span) == {
                key(UTIL): minutes(samples, width_ms=width)[agg]
            }

    with told(tmp_path / "data", clock, **sections) as site:
        posted(site, "/v1/placements", placements(swap, [A, B, ROOT]))
        written(site, [(UTIL, samples[::2])])
        written(site, [(UTIL, samples[1::2])])
        assert_right(site)
        seal(site, clock)
        for hours in (0, 3, 30):
            clock.advance(hours * 3600)
            upkeep(site)
            assert_right(site)
        stats = site.site.core.segments.stats()
        assert "raw" not in stats.files
        assert site.points("util") == {}, "there are raw samples left"
        copy = killed(tmp_path / "data", tmp_path / "copy")
    for folder in (tmp_path / "data", copy):
        with told(folder, clock, **sections) as site:
            assert_right(site)


def test_a_corrected_start_moves_the_past_while_raw_samples_are_there(tmp_path):
    """The floor is in the middle of a window: rows are read before it, and raw is still there."""
    clock = ManualClock(END_MS * 10**6)
    samples = [(ms, 1.0) for ms in range(T0_MS, END_MS, 10_000)]
    devices = [gpu(0, "GPU-0")]
    early, late = T0_MS + 30 * MINUTE_MS + 5_000, T0_MS + 31 * MINUTE_MS + 25_000
    span = {"start": T0_MS / 1000, "end": END_MS / 1000, "step": "1m", "agg": "count"}

    def counted(site):
        return {dict(k)["pod_uid"]: v for k, v in site.points("workload_util", **span).items()}

    sections = {"samples": {"retention": {"raw": "110m", "1m": "30d", "1h": "400d"}}}
    with told(tmp_path / "data", clock, **sections) as site:
        swap = [
            pod("p1", "w-a", end=late, devices=devices),
            pod("p2", "w-b", start=late, devices=devices),
        ]
        posted(site, "/v1/placements", placements(swap, [A, B, ROOT]))
        written(site, [(UTIL, samples)])
        seal(site, clock)
        upkeep(site)
        settled(site)
        floor_ms = site.site.core.segments.raw_floor_ns // 10**6
        assert T0_MS + HOUR_MS < floor_ms < END_MS, "no rows are read"
        assert counted(site) == {
            "p1": minutes(samples, last_ms=late)["count"],
            "p2": minutes(samples, first_ms=late)["count"],
        }
        swap = [
            pod("p1", "w-a", end=early, devices=devices),
            pod("p2", "w-b", start=early, devices=devices),
        ]
        posted(site, "/v1/placements", placements(swap))
        upkeep(site)
        assert counted(site) == {
            "p1": minutes(samples, last_ms=early)["count"],
            "p2": minutes(samples, first_ms=early)["count"],
        }


def test_a_shared_device_is_nobodys(site):
    devices = [gpu(0, "GPU-0")]
    both = [pod("p1", "w-a", devices=devices), pod("p2", "w-b", start=SWAP_MS, devices=devices)]
    posted(site, "/v1/placements", placements(both, [A, B, ROOT]))
    written(site, [(UTIL, [(SWAP_MS - 1, 1.0), (SWAP_MS, 2.0)])])

    assert site.points("workload_util") == {
        key(owner_of("p1", A, **UTIL)): [[SWAP_MS - 1, 1.0]]
    }
    told_why = explained(site, UTIL, SWAP_MS)
    assert (told_why["attributed"], told_why["reason"]) == (False, "shared_device")
    assert told_why["workload_uid"] is None
    assert told_why["since"] == at(SWAP_MS)
    assert site.get("/v1/pods/cache", at=at(SWAP_MS)).json() == {}
    settled(site)
    assert site.measured("heliograph_unattributed_total") == {
        '{kind="samples",reason="shared_device"}': 1.0
    }
    assert site.measured("heliograph_attributed_total") == {'{kind="samples",by="device"}': 1.0}


def test_what_the_sender_claims_is_overwritten_and_the_rest_kept(site):
    claimed = {
        **UTIL, "pod_name": "liar", "pod_uid": "liar", "pod_namespace": "liar",
        "workload_name": "liar", "workload_uid": "liar", "workload_kind": "liar",
        "workload_root_uid": "liar", "zone": "z", "A": "first",
    }  # fmt: skip
    posted(
        site, "/v1/placements", placements([pod("p1", "w-a", devices=[gpu(0)])], [A, B, ROOT])
    )
    written(site, [(claimed, [(SWAP_MS, 1.0)])])

    span = {"start": SWAP_MS / 1000, "end": END_MS / 1000}
    (found,) = site.get("/v1/query/range", metric="workload_util", **span).json()["series"]
    assert found["labels"] == owner_of("p1", A, **claimed)
    assert list(found["labels"]) == sorted(found["labels"])
    assert found["labels"]["job"] == "dcgm"
    for text, count in [
        ('workload_root_uid="w-root"', 1), ('workload_uid!="liar"', 1), ('workload_uid="liar"', 0),
        ('workload_kind=~"PyTorch.*"', 1), ('pod_name!~"pod-.*"', 0), ('job="dcgm"', 1),
        ('absent=""', 1), ('absent!=""', 0), ('pod_uid=""', 0), ('zone=~"z|y"', 1), ('zone=~"y"', 0),
    ]:  # fmt: skip
        answer = site.get(
            "/v1/query/range", metric="workload_util", **span, **{"match[]": text}
        )
        assert len(answer.json()["series"]) == count, text
    names = site.get("/v1/query/metrics").json()["items"]
    assert names == ["util", "workload_util"]
    assert site.label_sets() == [found["labels"], claimed] or site.label_sets() == [
        claimed, found["labels"],
    ]  # fmt: skip


def test_a_pod_uid_is_an_identity_and_a_name_is_a_last_resort(site):
    again = pod("p2", "w-b", start=SWAP_MS, name="worker-0", node="n2")
    first = pod("p1", "w-a", end=SWAP_MS, name="worker-0")
    posted(site, "/v1/placements", placements([first, again], [A, B, ROOT]))
    by_uid = {"__name__": "cpu", "pod_uid": "p1", "pod": "worker-0", "namespace": "train"}
    by_name = {"__name__": "cpu", "pod": "worker-0", "namespace": "train"}
    exported = {
        "__name__": "cpu", "pod": "exporter-x", "namespace": "monitoring",
        "exported_pod": "worker-0", "exported_namespace": "train",
    }  # fmt: skip
    own = {"__name__": "cpu", "pod": "exporter-x", "namespace": "monitoring"}
    instants = [SWAP_MS - 1, SWAP_MS, SWAP_MS + 1]
    written(
        site,
        [(one, [(ms, 1.0) for ms in instants]) for one in (by_uid, by_name, exported, own)],
    )

    found = [
        (dict(labels)["pod_uid"], dict(labels).get("exported_pod", ""), len(points))
        for labels, points in site.points("workload_cpu").items()
    ]
    # What is told by uid and what is told by name is one series where it is one pod's.
    assert sorted(found) == [
        ("p1", "", 3), ("p1", "worker-0", 1), ("p2", "", 2), ("p2", "worker-0", 2),
    ]  # fmt: skip
    settled(site)
    assert site.measured("heliograph_attributed_total") == {
        '{kind="samples",by="pod_uid"}': 3.0,
        '{kind="samples",by="name"}': 6.0,
    }
    assert site.measured("heliograph_unattributed_total") == {
        '{kind="samples",reason="unknown_pod"}': 3.0
    }
    assert explained(site, by_name, SWAP_MS - 1)["pod_uid"] == "p1"
    assert explained(site, by_name, SWAP_MS)["pod_uid"] == "p2"
    assert explained(site, by_name, SWAP_MS)["by"] == "name"
    assert explained(site, by_name, T0_MS - 1)["reason"] == "not_running"


def test_reasons_have_names_and_are_counted(site):
    pods = [
        pod("p1", "w-a", start=SWAP_MS, devices=[gpu(0)]),
        pod("p9", None, devices=[gpu(9)]),
    ]
    posted(site, "/v1/placements", placements(pods, [A, ROOT]))
    series = {
        "no_identity": {"__name__": "m", "job": "x"},
        "unknown_node": {"__name__": "m", "node": "nowhere", "gpu": "0"},
        "unknown_device": {"__name__": "m", "node": "n1", "gpu": "5"},
        "not_held": {"__name__": "m", "node": "n1", "gpu": "0"},
        "unknown_pod": {"__name__": "m", "pod_uid": "nobody"},
        "not_running": {"__name__": "m", "pod": "pod-p1", "namespace": "train"},
        "no_workload": {"__name__": "m", "node": "n1", "gpu": "9"},
    }
    written(site, [(labels, [(SWAP_MS - 1, 1.0)]) for labels in series.values()])

    assert site.points("workload_m") == {}
    settled(site)
    counted = site.measured("heliograph_unattributed_total")
    assert counted == {f'{{kind="samples",reason="{one}"}}': 1.0 for one in series}
    for reason, labels in series.items():
        told_why = explained(site, labels, SWAP_MS - 1)
        assert told_why["reason"] == reason
        assert told_why["attributed"] is False
        assert [step["step"] for step in told_why["steps"]][:2] == ["node", "device"]


def test_the_caches_have_exactly_their_shapes(site):
    devices = [gpu(0, "GPU-0"), gpu(1, "GPU-1"), {"type": "rdma", "id": "mlx5_0"}]
    pods = [
        pod("p1", "w-a", end=SWAP_MS, devices=devices),
        pod("p2", "w-b", start=SWAP_MS, devices=devices[:1]),
    ]
    posted(site, "/v1/placements", placements(pods, [A, B, ROOT]))

    one, two = ["pod-p1", "p1"], ["pod-p2", "p2"]
    assert site.get("/v1/pods/cache").json() == {"n1": {"gpu_id": {"0": two}}}
    assert site.get("/v1/pods/cache", at=at(SWAP_MS - 1)).json() == {
        "n1": {"gpu_id": {"0": one, "1": one}, "device": {"mlx5_0": one}}
    }
    assert site.get("/v1/pods/cache", at=(T0_MS - 1) / 1000).json() == {}
    assert site.get("/v1/pods/workload/cache").json() == {"pod-p2": [["vision", "w-b"]]}
    assert site.get("/v1/pods/workload/cache", at=at(T0_MS)).json() == {
        "pod-p1": [["llm", "w-a"], ["sweep", "w-root"]]
    }
    answer = site.get("/v1/pods/cache", at="yesterday")
    assert (answer.status, answer.json()["errors"][0]["field"]) == (400, "at")


def test_container_events_are_enough_to_know_the_pod_and_a_placement_names_its_workload(site):
    started = {
        "type": "task_start", "source": "k8s", "node": "n1", "container_id": "c1",
        "data": {
            "id": "c1", "pod_name": "pod-p1", "pod_namespace": "train", "pod_uuid": "p1",
            "status": "Running", "created_at": T0_MS * 10**6,
            "devices": {"gpu": [{"name": "card0", "id": 0, "serial": "S0"}],
                        "infiniband": [{"name": "mlx5_0", "id": 0}]},
        },
    }  # fmt: skip
    labels = {"__name__": "util", "node": "n1", "gpu_id": "0", "serial_number": "S0"}
    link = {"__name__": "util", "node": "n1", "device": "mlx5_0"}
    written(site, [(one, [(T0_MS, 1.0), (SWAP_MS, 2.0)]) for one in (labels, link)])
    posted(site, "/v1/container-events", started)
    posted(site, "/v1/container-events", started)

    assert site.get("/v1/pods/cache").json() == {
        "n1": {"gpu_id": {"0": ["pod-p1", "p1"]}, "device": {"mlx5_0": ["pod-p1", "p1"]}}
    }
    assert explained(site, labels, SWAP_MS)["reason"] == "no_workload"
    assert site.points("workload_util") == {}
    named = {"uid": "p1", "name": "pod-p1", "namespace": "train", "workload_uid": "w-a"}
    posted(site, "/v1/placements", placements([named], [A, ROOT]))
    assert site.points("workload_util") == {
        key(owner_of("p1", A, **one)): [[T0_MS, 1.0], [SWAP_MS, 2.0]] for one in (labels, link)
    }
    stopped = json.loads(json.dumps(started))
    stopped["type"] = "task_exit"
    stopped["data"] |= {"status": "Exited", "exit_code": 137, "exit_time": SWAP_MS * 10**6}
    posted(site, "/v1/container-events", stopped)
    assert site.points("workload_util") == {
        key(owner_of("p1", A, **one)): [[T0_MS, 1.0]] for one in (labels, link)
    }
    assert site.get("/v1/pods/cache").json() == {}


def test_a_pod_that_comes_again_with_other_devices_had_the_earlier_ones_until_then(site):
    pods = [pod("p1", "w-a", devices=[gpu(0, "GPU-0"), gpu(1, "GPU-1")])]
    posted(site, "/v1/placements", placements(pods, [A, ROOT]))
    pods = [pod("p1", "w-a", start=SWAP_MS, devices=[gpu(1, "GPU-1"), gpu(2, "GPU-2")])]
    posted(site, "/v1/placements", placements(pods))
    posted(site, "/v1/placements", placements(pods))

    def owned(number):
        labels = {**UTIL, "gpu": str(number), "UUID": f"GPU-{number}"}
        return [explained(site, labels, ms)["attributed"] for ms in (SWAP_MS - 1, SWAP_MS)]

    assert [owned(0), owned(1), owned(2)] == [[True, False], [True, True], [False, True]]


def test_a_file_and_a_post_say_the_same(tmp_path, clock):
    devices = [gpu(0, "GPU-0")]
    document = placements(
        [
            pod("p1", "w-a", end=SWAP_MS, devices=devices),
            pod("p2", "w-b", start=SWAP_MS, devices=devices),
        ],
        [A, B, ROOT],
    )
    file = tmp_path / "placements.yaml"
    sections = {"workloads": {"placement_file": str(file), "refresh": "20ms"}}
    asked = [(path, {"at": at(ms)}) for path in ("/v1/pods/cache", "/v1/pods/workload/cache")
             for ms in (T0_MS - 1, T0_MS, SWAP_MS - 1, SWAP_MS, END_MS)]  # fmt: skip

    def answers(site):
        return [site.get(path, **query).json() for path, query in asked]

    with told(tmp_path / "posted", clock) as site:
        posted(site, "/v1/placements", document)
        by_post = answers(site)
    assert any(by_post)
    file.write_text(json.dumps(document))
    with told(tmp_path / "filed", clock, **sections) as site:
        assert answers(site) == by_post
        assert site.get("/readyz").json()["checks"][-1]["detail"] == "read"


def test_a_file_that_cannot_be_taken_is_told_until_it_is_mended(tmp_path, clock):
    file = tmp_path / "placements.json"
    good = placements([pod("p1", "w-a", devices=[gpu(0)])], [A, ROOT])
    file.write_text(json.dumps(good))
    sections = {"workloads": {"placement_file": str(file), "refresh": "20ms"}}

    def state(site):
        (check,) = [
            one
            for one in site.get("/readyz").json()["checks"]
            if one["name"] == "placement file"
        ]
        return check["state"], check["detail"]

    def becomes(site, wanted):
        wait_for(lambda: state(site)[0] == wanted, lambda: state(site))

    with told(tmp_path / "data", clock, **sections) as site:
        assert state(site) == ("ok", "read")
        cache = site.get("/v1/pods/cache").json()
        # Its end is before the start that is stored: seen only when it is taken.
        over = {"uid": "p1", "name": "pod-p1", "end": at(T0_MS - 1)}
        for wrong in (json.dumps(placements([over])), "{", json.dumps({"pods": [{"uid": 5}]})):
            file.write_text(wrong)
            becomes(site, "warn")
            machine.sleep(0.1)
            assert state(site)[0] == "warn", "forgotten at the next look"
            assert site.get("/v1/pods/cache").json() == cache
        file.unlink()
        becomes(site, "warn")
        good["pods"][0]["devices"] = [gpu(1)]
        file.write_text(json.dumps(good))
        becomes(site, "ok")
        assert site.get("/v1/pods/cache").json() == {"n1": {"gpu_id": {"1": ["pod-p1", "p1"]}}}
