"""Real, unmodified wandb clients of two versions: online, synced later, and through a `kill -9`."""

import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from heliograph.core.clock import SystemClock
from tests import peers
from tests.service.live import Served, until
from tests.service.running import running
from tools import wandb_clients

JOB = Path(__file__).with_name("wandb_job.py")
READER = Path(__file__).with_name("wandb_reader.py")
KEY = "0123456789" * 4
STEPS = 25
# What is there in the end, by stream; a bar that is written over may have been seen before.
CONSOLE = {
    ("stdout", 0): "the loader is ready",
    **{("stdout", 1 + number): f"out {number}" for number in range(3)},
    ("stderr", 0): "torch.OutOfMemoryError: CUDA out of memory.",
    ("stderr", 1): "err 2",
    ("stderr", 2): "at once",
}
JOB_S_MAX = 60


def client(version):
    """The Python that has wandb *version*."""
    python = wandb_clients.found().get(version)
    if python is None:
        peers.skip(f"no wandb {version} here (make peers)")
    return python


def environ(folder, url="", **more):
    """What a job sees: nothing of the user's own wandb."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return {
        **kept, "HOME": str(folder), "WANDB_DIR": str(folder), "WANDB_API_KEY": KEY,
        "WANDB_CACHE_DIR": str(folder), "WANDB_CONFIG_DIR": str(folder),
        "WANDB_DATA_DIR": str(folder), "WANDB_SILENT": "true",
        **({"WANDB_BASE_URL": url} if url else {}), **more,
    }  # fmt: skip


def run(command, folder, **given):
    """Run *command* to its end, which must be a good one."""
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=environ(folder, **given),
        capture_output=True, text=True, timeout=JOB_S_MAX, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def job(version, folder, run_id, steps=STEPS, **given):
    """Train."""
    run([client(version), JOB, run_id, steps], folder, **given)


@pytest.fixture
def service(tmp_path):
    with running(tmp_path / "data", clock=SystemClock()) as asked:
        yield asked


def url_of(asked):
    return f"http://127.0.0.1:{asked.port}"


def items(asked, path):
    return asked.get(path).json()["items"]


def assert_arrived(asked, run_id):
    """All that the job said is there."""
    uid = f"wandb:heliograph:llm:{run_id}"
    found = asked.get(f"/v1/wandb/runs/{uid}").json()
    assert (found["state"], found["exit_code"], found["steps"]) == ("finished", 0, STEPS)
    assert (found["name"], found["notes"], found["tags"]) == (
        "a nice name",
        "by a test",
        ["test"],
    )
    said = {name: found["config"][name] for name in ("lr", "model", "framework")}
    assert said == {"lr": 0.1, "model": {"layers": 4}, "framework": "megatron"}
    assert (found["summary"]["best"], found["summary"]["_step"]) == (3, STEPS - 1)
    assert found["host"]
    assert found["metadata"]["host"] == found["host"]

    rows = items(asked, f"/v1/workloads/{uid}/training?limit=1000")
    assert [row["iteration"] for row in rows] == list(range(STEPS))
    assert {(row["source"], row["run"], row["framework"]) for row in rows} == {
        ("wandb", 1, "megatron")
    }
    assert rows[0]["fields"] == {
        "current_iteration": 0, "learning_rate": 0.0003, "total_loss": 1.0,
        "extra": {"deep_er": 0.0},
    }  # fmt: skip
    assert rows[1]["fields"]["total_loss"] == "NaN"
    assert rows[1]["fields"]["extra"] == {"deep_er": 1.0, "up": "+Inf"}

    workload = asked.get(f"/v1/workloads/{uid}").json()
    assert (workload["kind"], workload["name"], workload["status"]) == (
        "WandbRun", "a nice name", "Succeeded",
    )  # fmt: skip
    records = items(asked, f"/v1/records?session_id={uid}&limit=1000")
    lines = {
        ((at := one["attributes"])["stream"], at["line"], one["body"])
        for one in records
        if one["event_type"] == "console_line"
    }
    assert {(*place, text) for place, text in CONSOLE.items()} <= lines
    assert {line[:2] for line in lines} == CONSOLE.keys()
    types = {one["event_type"] for one in records}
    # A console line is a log line too.
    assert {"wandb_run_start", "wandb_run_end", "console_line"} < types
    assert any("oom" in one or "out_of_memory" in one for one in types), types
    # Rules have their own to say of it.
    (alert,) = (
        one for one in items(asked, "/v1/alerts?source=webhook") if one["pod_id"] == uid
    )
    assert (alert["alert_name"], alert["severity"]) == ("low accuracy", "warning")
    assert alert["annotations"] == {"message": "it is 12 %"}
    assert (alert["workload_uid"], alert["pod_id"]) == (uid, uid)


def of_each(work):
    """*work*(version, run id), of all versions at once: clients mostly wait."""
    names = [
        (version, f"run-{version.replace('.', '-')}") for version in wandb_clients.VERSIONS
    ]
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(work, *name) for name in names]:
            done.result()
    return [run_id for _, run_id in names]


def test_clients_online(service, tmp_path):
    given = {"url": url_of(service), "LINGER_S": "0.5"}
    for run_id in of_each(lambda version, run_id: job(version, tmp_path, run_id, **given)):
        assert_arrived(service, run_id)
    assert_import_says_nothing_new(service, tmp_path)
    of_each(lambda version, run_id: assert_read_by_scripts(service, version, tmp_path, run_id))
    # A run that must be there, and is not, is none.
    assert len(items(service, "/v1/wandb/runs")) == len(wandb_clients.VERSIONS)
    series = service.get("/v1/query/metrics").json()["items"]
    # Of the new one at least: the old one measures every 30 s, whatever it is asked.
    assert "wandb_system_proc_memory_rss_mb" in series
    assert "workload_wandb_system_proc_memory_rss_mb" in series
    service.assert_sound()


def test_offline_runs_synced_and_imported(service, tmp_path):
    def trained_and_synced(version, run_id):
        folder = tmp_path / run_id
        folder.mkdir()
        job(version, folder, run_id, WANDB_MODE="offline")
        (made,) = (folder / "wandb").glob("offline-run-*")
        command = [client(version).with_name("wandb"), "sync", made]
        run(command, folder, url=url_of(service))

    for run_id in of_each(trained_and_synced):
        assert_arrived(service, run_id)

    assert_import_says_nothing_new(service, tmp_path)
    service.assert_sound()


def assert_read_by_scripts(asked, version, folder, run_id):
    """`wandb.Api()` gives back what was logged, and says in words what it cannot."""
    command = [client(version), READER, f"heliograph/llm/{run_id}"]
    found = json.loads(run(command, folder, url=url_of(asked)).splitlines()[-1])
    said = {name: found[name] for name in ("name", "state", "tags", "lr", "best", "all")}
    assert said == {
        "name": "a nice name", "state": "finished", "tags": ["test"], "lr": 0.1, "best": 3,
        "all": STEPS,
    }  # fmt: skip
    assert [row["_step"] for row in found["history"]] == list(range(STEPS))
    assert [row["deep.er"] for row in found["history"]] == list(range(STEPS))
    assert math.isnan(found["history"][1]["train/loss"])
    assert found["history"][1]["up"] == math.inf
    losses = [1.0 / (step + 1) for step in range(STEPS)]
    scanned = [row["train/loss"] for row in found["scanned"]]
    assert (scanned[0], scanned[2:]) == (1.0, losses[2:])
    assert [row["deep.er"] for row in found["sampled"]] == [0, 8, 16, 24]
    assert run_id in found["runs"]
    for name in ("artifact", "sweep", "delete"):
        assert "Heliograph does not" in found[name]
    assert "resume" in found["resume"]


def assert_import_says_nothing_new(asked, folder):
    """Our own reader says the same of the runs below *folder* as their clients did."""

    def stored():
        pages = [
            items(asked, f"/v1/workloads/{one['uid']}/training?limit=1000")
            for one in items(asked, "/v1/workloads")
        ]
        records = items(asked, "/v1/records?limit=1000&source_kind=wandb")
        return pages, {one["record_id"] for one in records}

    before = stored()
    assert sum(map(len, before[0])) == STEPS * len(wandb_clients.VERSIONS)
    heliograph = Path(sys.executable).with_name("heliograph")
    run([heliograph, "import", folder], folder, HELIOGRAPH_URL=url_of(asked))
    pages, records = stored()
    assert pages == before[0]
    assert records == before[1]


def test_ten_thousand_steps_through_a_kill_are_ten_thousand(start, tmp_path):
    version, steps = wandb_clients.VERSIONS[0], 10_000
    python = client(version)
    service = Served(start, tmp_path)
    uid = "wandb:heliograph:llm:long"

    def steps_kept():
        status, found = service.get(f"/v1/wandb/runs/{uid}")
        return found["steps"] if status == 200 else 0

    training = subprocess.Popen(
        [python, JOB, "long", str(steps), "0.01"], cwd=tmp_path,
        env=environ(tmp_path, service.url), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        kept = until(steps_kept, "the first steps")
        service.kill()
        assert kept < steps, "the kill came too late to mean anything"
        service.begin()
        said, _ = training.communicate(timeout=JOB_S_MAX)
        assert training.returncode == 0, said.decode()
    finally:
        training.kill()
        training.wait()
    assert steps_kept() == steps
    iterations = []
    for offset in range(0, steps, 1000):
        _, page = service.get(f"/v1/workloads/{uid}/training", limit=1000, offset=offset)
        assert page["total"] == steps
        iterations += [row["iteration"] for row in page["items"]]
    assert iterations == list(range(steps))
