"""Real Prometheus and vmagent scrape a real exporter and write to a real service."""

import json

import pytest

from tests.peers import answers, free_port
from tests.service.live import Exporter, Served, fetch, metric_of, until

NODE = "gpu-node-01"
SCRAPE_MS = 250
UUIDS = ("GPU-aaaa", "GPU-bbbb")
OWNER = {
    "pod_name": "llm-worker-0",
    "pod_uid": "p-1",
    "pod_namespace": "train",
    "workload_name": "llm",
    "workload_uid": "w-1",
    "workload_kind": "PyTorchJob",
    "workload_root_uid": "w-1",
}
PLACEMENTS = {
    "workloads": [{"uid": "w-1", "name": "llm", "kind": "PyTorchJob", "namespace": "train"}],
    "pods": [
        {
            "uid": "p-1",
            "name": "llm-worker-0",
            "namespace": "train",
            "node": NODE,
            "workload_uid": "w-1",
            "start": "2026-01-01T00:00:00Z",
            "devices": [{"type": "gpu", "id": "0", "uuid": UUIDS[0]}],
        }
    ],
}


class Gpus:
    """Pages of a node's GPUs; the second may be taken out."""

    def __init__(self):
        self.gone = False

    def __call__(self, scrape, open_metrics):
        out = ["# TYPE DCGM_FI_DEV_GPU_UTIL gauge"]
        for gpu, uuid in enumerate(UUIDS[: 1 if self.gone else 2]):
            labels = f'gpu="{gpu}",UUID="{uuid}",device="nvidia{gpu}",Hostname="{NODE}"'
            out.append(f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} {scrape + gpu / 4}")
        out += ["# TYPE odd gauge", 'odd{kind="nan"} NaN', 'odd{kind="inf"} +Inf']
        out += ['odd{kind="minus"} -Inf', 'odd{kind="zero"} -0']
        ticks = "ticks" if open_metrics else "ticks_total"
        exemplar = f' # {{trace_id="t{scrape}"}} 1.0' if open_metrics else ""
        out += [f"# TYPE {ticks} counter", f"ticks_total {scrape}{exemplar}"]
        out += ["# TYPE wait_seconds histogram"]
        out += [f'wait_seconds_bucket{{le="{le}"}} {scrape}' for le in ("0.5", "+Inf")]
        out += [f"wait_seconds_sum {scrape * 0.1}", f"wait_seconds_count {scrape}"]
        return "\n".join([*out, "# EOF", ""] if open_metrics else [*out, ""])


@pytest.fixture
def gpus():
    return Gpus()


@pytest.fixture
def exporter(gpus):
    opened = Exporter(gpus)
    yield opened
    opened.close()


def scraping(exporter):
    return {
        "global": {"scrape_interval": f"{SCRAPE_MS}ms", "scrape_timeout": f"{SCRAPE_MS}ms"},
        "scrape_configs": [
            {"job_name": "dcgm", "static_configs": [{"targets": [exporter.address]}]}
        ],
    }


def prometheus(start, tmp_path, exporter, service):
    """Prometheus, sending, and how to ask what it lost."""
    config = tmp_path / "prometheus.yml"
    queue = {"min_backoff": "50ms", "max_backoff": "200ms", "batch_send_deadline": "200ms"}
    write = {
        "url": f"{service.url}/api/v1/write",
        "queue_config": queue,
        "send_exemplars": True,
    }
    config.write_text(json.dumps({**scraping(exporter), "remote_write": [write]}))
    url = f"http://127.0.0.1:{free_port()}"
    program = start(
        "prometheus",
        f"--config.file={config}",
        f"--web.listen-address={url.removeprefix('http://')}",
        f"--storage.tsdb.path={tmp_path / 'prometheus'}",
        "--enable-feature=exemplar-storage",
    )
    program.wait_for(answers(f"{url}/-/ready"))

    def lost():
        page = fetch(f"{url}/metrics")[2].decode()
        sent = metric_of(page, "prometheus_remote_storage_samples_total")
        assert sum(sent.values()) > 0
        kinds = ("samples_failed", "samples_dropped", "exemplars_failed", "metadata_failed")
        return {
            kind: sum(metric_of(page, f"prometheus_remote_storage_{kind}_total").values())
            for kind in kinds
        }

    return program, lost


def vmagent(start, tmp_path, exporter, service):
    """vmagent, sending, and how to ask what it lost."""
    config = tmp_path / "vmagent.yml"
    config.write_text(json.dumps(scraping(exporter)))
    url = f"http://127.0.0.1:{free_port()}"
    program = start(
        "vmagent",
        f"-promscrape.config={config}",
        f"-httpListenAddr={url.removeprefix('http://')}",
        f"-remoteWrite.url={service.url}/v1/prometheus",
        f"-remoteWrite.tmpDataPath={tmp_path / 'vmagent'}",
        "-remoteWrite.flushInterval=200ms",
    )
    program.wait_for(answers(f"{url}/health"))

    def lost():
        page = fetch(f"{url}/metrics")[2].decode()
        assert sum(metric_of(page, "vmagent_remotewrite_requests_total").values()) > 0
        kinds = ("packets_dropped", "relabel_metrics_dropped")
        return {
            kind: sum(metric_of(page, f"vmagent_remotewrite_{kind}_total").values())
            for kind in kinds
        }

    return program, lost


def values(service, metric, *match):
    """The raw values of the one series of *metric*."""
    series = service.raw(metric, *match)
    return [value for _, value in series[0]["points"]] if series else []


@pytest.mark.parametrize("sender", [prometheus, vmagent])
def test_what_a_real_sender_scrapes_is_kept_attributed_and_ended(
    start, tmp_path, gpus, exporter, sender
):
    placements = tmp_path / "placements.yaml"
    placements.write_text(json.dumps(PLACEMENTS))
    service = Served(start, tmp_path, workloads={"placement_file": str(placements)})
    program, lost = sender(start, tmp_path, exporter, service)

    until(lambda: len(values(service, "ticks_total")) >= 6, "six scrapes")
    assert_kept(service)
    assert_attributed(service)
    gpus.gone = True
    assert_ended(service)
    service.assert_never_failed()
    assert set(lost().values()) == {0.0}

    service.kill()
    dark_until = exporter.scrapes + 6
    until(lambda: exporter.scrapes >= dark_until, "scrapes while the service is down")
    service.begin()
    lit_until = exporter.scrapes + 4

    def whole():
        # Blocks that were refused while the service was down come after later ones.
        kept = values(service, "ticks_total")
        return kept[-1] >= lit_until and kept == list(range(1, int(kept[-1]) + 1))

    until(whole, "every scrape, those while it was down among them")
    assert set(lost().values()) == {0.0}
    service.assert_never_failed()
    # Told to end, it would wait for the service that ends before it.
    program.kill()


def assert_kept(service):
    odd = {
        one["labels"]["kind"]: {value for _, value in one["points"]}
        for one in service.raw("odd")
    }
    assert odd == {"nan": {"NaN"}, "inf": {"+Inf"}, "minus": {"-Inf"}, "zero": {0.0}}
    buckets = service.raw("wait_seconds_bucket")
    assert [one["labels"]["le"] for one in buckets] == ["+Inf", "0.5"]

    # One window over everything says the same as the samples one by one.
    [series] = service.raw("ticks_total")
    times = [at_ms for at_ms, _ in series["points"]]
    span = {"start": times[0] / 1000 - 1, "end": times[-1] / 1000 + 0.001, "step": "1h"}
    stepped = service.raw("ticks_total", agg="count", **span)
    assert sum(value for _, value in stepped[0]["points"]) == len(times)


def assert_attributed(service):
    [original] = service.raw("DCGM_FI_DEV_GPU_UTIL", 'gpu="0"')
    until_ms = original["points"][-1][0]
    span = {"end": until_ms / 1000 + 0.001}
    seen = service.raw("workload_DCGM_FI_DEV_GPU_UTIL", **span)

    assert [one["labels"] for one in seen] == [
        {**original["labels"], **OWNER, "__name__": "workload_DCGM_FI_DEV_GPU_UTIL"}
    ]
    assert seen[0]["labels"]["job"] == "dcgm"
    assert seen[0]["points"] == original["points"]


def assert_ended(service):
    def last():
        return values(service, "DCGM_FI_DEV_GPU_UTIL", 'gpu="1"')[-1:]

    until(lambda: last() == [None], "the stale marker")
    ended = values(service, "DCGM_FI_DEV_GPU_UTIL", 'gpu="1"')
    seen = len(values(service, "ticks_total"))
    until(lambda: len(values(service, "ticks_total")) > seen + 2, "more scrapes")

    assert values(service, "DCGM_FI_DEV_GPU_UTIL", 'gpu="1"') == ended
    assert ended.count(None) == 1
