"""Real Prometheus and vmalert send alerts to a real service, a real amtool asks it, a real
Alertmanager is told; a webhook sees what comes out."""

import json
import subprocess

import pytest

from tests.notify.real import alertmanager_command
from tests.peers import answers, free_port, peer
from tests.service.hooks import Hook
from tests.service.live import Exporter, Served, until
from tests.service.test_live_senders import PLACEMENTS

NODE = "gpu-node-01"
RULE = {
    "alert": "GPUHot",
    "expr": "gpu_temp > 80",
    "labels": {"severity": "critical"},
    "annotations": {"summary": "GPU {{ $labels.gpu }} is at {{ $value }}"},
}
GROUPS = {"groups": [{"name": "gpus", "interval": "250ms", "rules": [RULE]}]}


class Gpu:
    """A page of one GPU's temperature."""

    def __init__(self):
        self.temperature = 90

    def __call__(self, scrape, open_metrics):
        del scrape
        labels = f'gpu="0",UUID="GPU-aaaa",Hostname="{NODE}"'
        end = "# EOF\n" if open_metrics else ""
        return f"# TYPE gpu_temp gauge\ngpu_temp{{{labels}}} {self.temperature}\n{end}"


@pytest.fixture
def gpu():
    return Gpu()


@pytest.fixture
def exporter(gpu):
    opened = Exporter(gpu)
    yield opened
    opened.close()


@pytest.fixture
def hook():
    opened = Hook()
    yield opened
    opened.close()


def alerting(hook):
    """An alertmanager.yml that tells *hook* at once."""
    return {
        "route": {
            "receiver": "hook",
            "group_by": ["alertname"],
            "group_wait": "100ms",
            "group_interval": "300ms",
            "repeat_interval": "1h",
        },
        "receivers": [{"name": "hook", "webhook_configs": [{"url": hook.url}]}],
    }


def prometheus(start, tmp_path, exporter, service):
    """A Prometheus that scrapes *exporter* and alerts *service*; its URL."""
    (tmp_path / "rules.yml").write_text(json.dumps(GROUPS))
    config = {
        "global": {
            "scrape_interval": "250ms",
            "scrape_timeout": "250ms",
            "evaluation_interval": "250ms",
        },
        "rule_files": [str(tmp_path / "rules.yml")],
        "scrape_configs": [
            {"job_name": "gpu", "static_configs": [{"targets": [exporter.address]}]}
        ],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{service.port}"]}]}]
        },
    }
    path = tmp_path / "prometheus.yml"
    path.write_text(json.dumps(config))
    port = free_port()
    started = start(
        peer("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}", "--rules.alert.resend-delay=1s",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    started.wait_for(answers(f"{url}/-/ready"))
    return url


def told(hook, status):
    return until(lambda: hook.alerts(status), f"told {status}")[0]


def owned(service):
    service.post("/v1/placements", PLACEMENTS)
    (alert,) = until(
        lambda: service.get("/v1/alerts", alert_name="GPUHot")[1]["items"],
        "the alert is listed",
    )
    return alert


def test_prometheus_fires_and_resolves(start, tmp_path, exporter, gpu, hook):
    service = Served(start, tmp_path, alerting=alerting(hook))
    service.post("/v1/placements", PLACEMENTS)
    prometheus(start, tmp_path, exporter, service)

    alert = told(hook, "firing")
    assert alert["labels"]["alertname"] == "GPUHot"
    assert alert["labels"]["workload_id"] == "w-1"
    assert alert["annotations"] == {"summary": "GPU 0 is at 90"}

    listed = owned(service)
    assert (listed["workload_uid"], listed["pod_id"], listed["node_name"]) == (
        "w-1",
        "p-1",
        NODE,
    )
    assert (listed["status"], listed["severity"], listed["source"]) == (
        "firing",
        "critical",
        "metric",
    )

    gpu.temperature = 40
    told(hook, "resolved")

    def told_twice():
        # The ledger has a line once the answer of the hook has come back and is on disk.
        _, shown = service.get(f"/v1/alerts/{listed['id']}")
        kinds = [one["kind"] for one in shown["notifications"]]
        return shown["status"] == "resolved" and kinds.count("sent") >= 2

    until(told_twice, "the ledger says both")

    gpu.temperature = 95
    again = until(lambda: hook.alerts("firing")[1:], "the second episode is told")[0]
    assert again["annotations"] == {"summary": "GPU 0 is at 95"}
    assert service.get("/v1/alerts", alert_name="GPUHot")[1]["total"] == 2
    assert service.metric("heliograph_bugs_total") == {}


def test_vmalert_with_the_notifier_url_of_the_document(start, tmp_path, exporter, gpu, hook):
    service = Served(start, tmp_path, alerting=alerting(hook))
    service.post("/v1/placements", PLACEMENTS)
    source = prometheus(start, tmp_path, exporter, Served(start, tmp_path))
    (tmp_path / "vmalert.yml").write_text(json.dumps(GROUPS))
    port = free_port()
    started = start(
        peer("vmalert"), f"-rule={tmp_path / 'vmalert.yml'}", f"-datasource.url={source}",
        f"-notifier.url={service.url}/v1/alerts/metric", f"-httpListenAddr=127.0.0.1:{port}",
        "-evaluationInterval=250ms", "-rule.resendDelay=250ms",
    )  # fmt: skip
    started.wait_for(answers(f"http://127.0.0.1:{port}/health"))

    told(hook, "firing")
    assert owned(service)["workload_uid"] == "w-1"
    gpu.temperature = 40
    told(hook, "resolved")
    refused = service.metric("heliograph_alerts_rejected_total")
    assert sum(refused.values()) == 0


def amtool(service, *arguments):
    done = subprocess.run(
        [peer("amtool"), f"--alertmanager.url={service.url}", *arguments],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_amtool_works_unmodified(start, tmp_path, hook):
    service = Served(start, tmp_path, alerting=alerting(hook))
    labels = {"alertname": "GPUHot", "node": "n1", "severity": "warning"}
    status, _, body = 0, None, b""
    status = post_v2(service, [{"labels": labels, "annotations": {"summary": "hot"}}])
    assert status == 200

    code, out, err = amtool(service, "alert", "query", "-o", "json")
    assert code == 0, err
    (shown,) = json.loads(out)
    assert shown["labels"] == labels
    assert shown["status"]["state"] == "active"
    assert (
        amtool(service, "alert", "query", 'alertname="Other"', "-o", "json")[1].strip() == "[]"
    )

    code, out, err = amtool(
        service, "silence", "add", "alertname=GPUHot", "node=~n.*", "-c", "fans", "-d", "1h"
    )
    assert code == 0, err
    silence_id = out.strip()
    (shown,) = json.loads(amtool(service, "alert", "query", "-s", "-o", "json")[1])
    assert shown["status"] == {
        **shown["status"],
        "state": "suppressed",
        "silencedBy": [silence_id],
    }
    assert amtool(service, "alert", "query", "-o", "json")[1].strip() == "[]"

    (listed,) = json.loads(amtool(service, "silence", "query", "-o", "json")[1])
    assert listed["comment"] == "fans"
    assert amtool(service, "silence", "expire", silence_id)[0] == 0
    assert json.loads(amtool(service, "silence", "query", "-o", "json")[1]) == []

    code, out, _ = amtool(service, "config", "routes", "test", "alertname=GPUHot")
    assert (code, out.strip()) == (0, "hook")
    assert amtool(service, "config", "show")[0] == 0
    assert amtool(service, "check-config", str(config_of(service, tmp_path)))[0] == 0
    code, _, err = amtool(service, "silence", "add", "a=~.*", "-c", "x")
    assert code != 0
    assert "must not match the empty string" in err
    del status, body


def config_of(service, tmp_path):
    path = tmp_path / "original.yml"
    path.write_text(service.get("/api/v2/status")[1]["config"]["original"])
    return path


def post_v2(service, document, path="/api/v2/alerts"):
    from tests.service.live import fetch

    body = json.dumps(document).encode()
    return fetch(service.url + path, body=body, headers={"Content-Type": "application/json"})[0]


def test_a_real_alertmanager_is_told(start, tmp_path):
    port = free_port()
    config = tmp_path / "alertmanager.yml"
    config.write_text(
        json.dumps({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]})
    )
    program, before = alertmanager_command()
    started = start(
        program, *before, f"--config.file={config}", f"--storage.path={tmp_path / 'am'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    started.wait_for(answers(f"{url}/-/ready"))
    service = Served(
        start, tmp_path,
        alerting={
            "route": {"receiver": "am", "group_wait": "100ms", "group_interval": "300ms"},
            "receivers": [{"name": "am", "alertmanager_configs": [{"url": url}]}],
        },
    )  # fmt: skip
    post_v2(service, [{"labels": {"alertname": "A", "rank": "3"}, "annotations": {"s": "x"}}])

    def there():
        from tests.service.live import fetch

        return json.loads(fetch(f"{url}/api/v2/alerts")[2])

    (alert,) = until(there, "the alert is there")
    assert (alert["labels"]["alertname"], alert["labels"]["rank"]) == ("A", "3")


def test_nothing_accepted_is_lost_by_kill_9(start, tmp_path, hook):
    hook.script += [503]
    service = Served(start, tmp_path, alerting=alerting(hook))
    for i in range(20):
        assert post_v2(service, [{"labels": {"alertname": f"A{i}"}}]) == 200
        if i % 5 == 4:
            service.kill()
            service.begin()
    names = lambda: {alert["labels"]["alertname"] for alert in hook.alerts("firing")}  # noqa: E731
    until(lambda: len(names()) == 20, "all are told", timeout_s=60)
    assert service.get("/v1/alerts", limit=100)[1]["total"] == 20
