"""Who ran where, told to a running service by a file that changes, or over HTTP: the same answers."""

import pytest
import yaml

from heliograph.core import instant
from heliograph.core.clock import SystemClock
from tests.service.live import CLOCK, until
from tests.service.running import running

GPUS = ("GPU-aaaa", "GPU-bbbb")
SWAP_AGO_MS = 60_000


def document(begin_ms, gpu_of):
    """Two pods of one workload, each with the GPU that *gpu_of* names, since *begin_ms*."""
    pods = [
        {
            "uid": f"p-{n}",
            "name": f"pod-{n}",
            "namespace": "train",
            "node": "n1",
            "workload_uid": "w-1",
            "start": instant.text_of(begin_ms * 10**6),
            "devices": [{"type": "gpu", "id": str(gpu), "uuid": GPUS[gpu]}],
        }
        for n, gpu in enumerate(gpu_of)
    ]
    return {"workloads": [{"uid": "w-1", "name": "llm", "kind": "Job"}], "pods": pods}


class ByFile:
    """Placements as a file, replaced whole as a ConfigMap is."""

    def __init__(self, folder):
        self.path = folder / "placements.yaml"
        self.sections = {
            "workloads": {"placement_file": str(self.path), "refresh": "50ms"},
        }

    def place(self, site, text):
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.path)


class ByPost:
    """Placements posted to the API."""

    def __init__(self, folder):
        self.sections = {}

    def place(self, site, text):
        answer = site.ask(
            "POST", "/v1/placements", text.encode(), {"Content-Type": "application/yaml"}
        )
        assert answer.status in (200, 201), answer.body


def pods_of(site, gpu, start_ms, end_ms):
    """{pod: [ms, …]} of the attributed samples of *gpu*."""
    found = site.get(
        "/v1/query/range",
        metric="workload_util",
        start=start_ms / 1000,
        end=end_ms / 1000,
        **{"match[]": f'UUID="{GPUS[gpu]}"'},
    ).json()
    return {
        one["labels"]["pod_name"]: [ms - start_ms for ms, _ in one["points"]]
        for one in found["series"]
    }


def util(site, gpu, *at_ms):
    labels = {"__name__": "util", "Hostname": "n1", "gpu": str(gpu), "UUID": GPUS[gpu]}
    assert site.write([(labels, [(ms, 1.0) for ms in at_ms])]).status == 204


@pytest.mark.parametrize("way", [ByFile, ByPost])
def test_a_swap_divides_samples_by_their_own_time(tmp_path, way):
    told = way(tmp_path)
    swap_ms = CLOCK.now_ns() // 10**6 - SWAP_AGO_MS
    begin_ms = swap_ms - 3_600_000
    first = yaml.safe_dump(document(begin_ms, (0, 1)))
    swapped = yaml.safe_dump(document(swap_ms, (1, 0)))
    if way is ByFile:
        told.place(None, first)

    with running(tmp_path / "data", clock=SystemClock(), **told.sections) as site:
        if way is ByPost:
            told.place(site, first)
        span = (swap_ms - 1000, swap_ms + 1000)
        util(site, 0, swap_ms - 200)
        assert pods_of(site, 0, *span) == {"pod-0": [800]}

        told.place(site, swapped)
        until(lambda: swap_known(site, swap_ms), "the swap")
        # Late ones of before, the last instant of before, the first of after, and one after it.
        util(site, 0, swap_ms - 100, swap_ms - 1, swap_ms, swap_ms + 100)
        util(site, 1, swap_ms - 300, swap_ms + 300)
        assert pods_of(site, 0, *span) == {"pod-0": [800, 900, 999], "pod-1": [1000, 1100]}
        assert pods_of(site, 1, *span) == {"pod-1": [700], "pod-0": [1300]}

        told.place(site, swapped)
        assert pods_of(site, 0, *span) == {"pod-0": [800, 900, 999], "pod-1": [1000, 1100]}
    # What was told is kept: another life has it without being told.
    with running(tmp_path / "data", clock=SystemClock()) as site:
        assert pods_of(site, 1, *span) == {"pod-1": [700], "pod-0": [1300]}


def swap_known(site, swap_ms):
    labels = '{"__name__":"util","Hostname":"n1","gpu":"0","UUID":"GPU-aaaa"}'
    found = site.get("/v1/attribution", labels=labels, at=swap_ms / 1000).json()
    return "pod-1" in str(found)


BROKEN = [
    ("not YAML", "pods: [", "yaml"),
    ("an unknown key", "pods: [{uid: p-0, nmae: x}]", "nmae"),
    ("a wrong device", "pods: [{uid: p-0, name: x, devices: [{type: tpu, id: '0'}]}]", "type"),
]


@pytest.mark.parametrize(
    ("text", "word"), [pytest.param(text, word, id=name) for name, text, word in BROKEN]
)
def test_a_broken_file_changes_nothing_and_is_told_in_readyz(tmp_path, text, word):
    told = ByFile(tmp_path)
    now_ms = CLOCK.now_ns() // 10**6
    span = (now_ms - 1000, now_ms + 1000)
    good = yaml.safe_dump(document(now_ms - 3_600_000, (0, 1)))
    told.place(None, good)
    with running(tmp_path / "data", clock=SystemClock(), **told.sections) as site:
        util(site, 0, now_ms)
        told.place(site, text)

        def said():
            ready = site.get("/readyz")
            assert ready.status == 200
            return [
                check
                for check in ready.json()["checks"]
                if check["name"] == "placement file" and check["state"] == "warn"
            ]

        [check] = until(said, "the fault in /readyz")
        assert word in check["detail"].lower(), check
        assert str(told.path) in check["detail"]
        assert pods_of(site, 0, *span) == {"pod-0": [1000]}

        told.place(site, good)
        until(lambda: not said(), "the fault to go")
        told.path.unlink()
        until(said, "the missing file in /readyz")
        assert pods_of(site, 0, *span) == {"pod-0": [1000]}
