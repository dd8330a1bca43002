import pytest

from heliograph.simulator import events, logs, metrics, progress
from heliograph.simulator.cluster import (
    AMD_NODE,
    LOST_GPU,
    NODES,
    SHAPES,
    SPIKE_ITERATIONS,
    Cluster,
    noise,
)

S = 10**9
START = 1_767_225_600 * S


def story(seconds, *, seed=1, speed=1.0):
    cluster = Cluster(seed=seed, start_ns=START, speed=speed)
    return cluster, cluster.advance(START + int(seconds * S))


def of_job(happened, name):
    return [each for each in happened if each.job.name == name]


def test_every_gpu_is_dealt_once():
    cluster, _ = story(0)
    for node in NODES:
        assert all(cluster.holder(node, index) for index in range(8))


def test_what_happens_is_in_time_order_and_the_same_however_it_is_asked_for():
    _, at_once = story(700)
    stepwise = Cluster(seed=1, start_ns=START)
    in_steps = [each for s in range(0, 701, 7) for each in stepwise.advance(START + s * S)]
    assert at_once == in_steps
    assert [each.at_ns for each in at_once] == sorted(each.at_ns for each in at_once)


def test_a_job_starts_trains_and_saves():
    _, happened = story(200)
    kinds = [each.kind for each in of_job(happened, "llm-7b")]
    assert kinds[:3] == ["started", "begun", "iterated"]
    saving = kinds.index("saving")
    assert kinds[saving : saving + 3] == ["saving", "saved", "iterated"]
    saved = of_job(happened, "llm-7b")[saving + 1]
    assert (saved.iteration, saved.iteration % saved.job.checkpoint_every) == (40, 0)


def test_a_lost_gpu_ends_the_job_which_resumes_in_new_pods_from_its_checkpoint():
    cluster, happened = story(475)
    assert cluster.lost == {("gpu-node-01", LOST_GPU)}
    after = of_job(cluster.advance(START + 600 * S), "llm-7b")
    assert [each.kind for each in after[:5]] == [
        "watchdog", "ended", "started", "resumed", "iterated",
    ]  # fmt: skip
    assert after[1].why == "gpu_lost"
    assert cluster.lost == set()
    saved = [each for each in of_job(happened, "llm-7b") if each.kind == "saved"][-1]
    assert after[3].iteration == saved.iteration < after[1].iteration
    assert {pod.uid for pod in after[1].pods}.isdisjoint(pod.uid for pod in after[2].pods)
    assert [pod.name for pod in after[1].pods] == [pod.name for pod in after[2].pods]


def test_a_preempted_job_comes_back_with_its_devices_swapped():
    _, happened = story(400)
    first, second = (e for e in of_job(happened, "moe-rocm") if e.kind == "started")
    assert [pod.gpus for pod in first.pods] == [(0, 1), (2, 3)]
    assert [pod.gpus for pod in second.pods] == [(2, 3), (0, 1)]


def test_all_of_it_falls_within_the_history_that_is_sent():
    _, happened = story(600)
    kinds = {each.kind for each in happened}
    assert kinds >= {"gpu_lost", "preempted", "watchdog", "ended", "resumed", "saved"}


def test_speed_makes_steps_quicker():
    slow, fast = (len(story(60, speed=speed)[1]) for speed in (1, 10))
    assert fast > 5 * slow


@pytest.mark.parametrize("speed", [0.1, 1, 1000])
def test_steps_never_fall(speed):
    cluster = Cluster(seed=1, start_ns=START, speed=speed)
    last = 0
    for second in range(0, 60, 5):
        cluster.advance(START + second * S)
        steps = sum(job.steps for job in cluster.jobs.values())
        assert steps >= last
        last = steps


def test_a_finished_job_is_run_again_from_the_beginning():
    cluster = Cluster(seed=1, start_ns=START, speed=1e5)
    happened = of_job(cluster.advance(START + 25 * S), "titan-8b")
    ended = next(i for i, each in enumerate(happened) if each.why == "completed")
    assert happened[ended - 1].iteration == happened[ended].job.target
    assert [each.kind for each in happened[ended + 1 : ended + 4]] == [
        "started",
        "begun",
        "iterated",
    ]
    assert happened[ended + 3].iteration == 1


def test_targets_are_checkpoints():
    assert all(shape.target % shape.checkpoint_every == 0 for shape in SHAPES)


def test_noise_is_even_and_always_the_same():
    drawn = [noise("x", n) for n in range(10_000)]
    assert drawn == [noise("x", n) for n in range(10_000)]
    assert -1 <= min(drawn) < -0.99 < 0.99 < max(drawn) < 1
    assert abs(sum(drawn)) / len(drawn) < 0.02


def test_the_loss_falls_but_for_one_spike():
    llm = SHAPES[0]
    loss = [progress.of(llm, n, seed=1, generation=1).loss for n in range(1, 400)]
    assert loss[0] > 10
    assert 2 < loss[-1] < 4
    at = llm.spike_at - 1
    assert loss[at] > 1.5 * loss[at - 1]
    assert loss[at + SPIKE_ITERATIONS] < loss[at - 1] * 1.05


def test_placements_say_who_holds_what_and_close_the_old_pods():
    _, happened = story(400)
    document = events.placements(of_job(happened, "moe-rocm"))
    (workload,) = document["workloads"]
    assert (workload["name"], workload["status"], workload["parent_uid"]) == (
        "moe-rocm", "Running", None,
    )  # fmt: skip
    devices = [
        (pod["name"], pod["end"] is None, [(d["id"], d["serial"]) for d in pod["devices"]])
        for pod in document["pods"]
    ]
    low = [("0", "692231000000"), ("1", "692231000001")]
    high = [("2", "692231000002"), ("3", "692231000003")]
    assert devices == [
        ("moe-rocm-worker-0", False, low),
        ("moe-rocm-worker-1", False, high),
        ("moe-rocm-worker-0", True, high),
        ("moe-rocm-worker-1", True, low),
    ]
    assert len({pod["uid"] for pod in document["pods"]}) == 4


def test_a_parent_is_placed_before_its_child():
    _, happened = story(0)
    document = events.placements(of_job(happened, "llm-7b"))
    parent, child = document["workloads"]
    assert child["parent_uid"] == parent["uid"]
    assert child["kind"] == "PyTorchJob"
    assert [d["type"] for d in document["pods"][0]["devices"]] == ["gpu"] * 4 + ["ib"]
    assert document["pods"][0]["start"] == "2026-01-01T00:00:00.000000000Z"
    assert document["pods"][0]["devices"][0]["uuid"].startswith("GPU-")


def test_nothing_new_is_no_placement():
    assert events.placements([]) is None


def test_the_killed_container_says_so():
    _, happened = story(600)
    stops = [
        e
        for e in events.container_events(of_job(happened, "llm-7b"))
        if e["type"] == "task_stop"
    ]
    ends = [
        (s["data"]["pod_name"], s["data"]["exit_code"], s["data"]["oom_killed"]) for s in stops
    ]
    assert ends == [("llm-7b-master-0", 1, False), ("llm-7b-worker-0", 137, True)]
    first = events.container_events(of_job(happened, "moe-rocm"))[0]
    assert {"type", "source", "node", "container_id", "data"} == set(first)
    assert (first["type"], first["source"], first["node"]) == ("task_start", "k8s", AMD_NODE)
    assert [gpu["serial"] for gpu in first["data"]["devices"]["gpu"]] == [
        "692231000000",
        "692231000001",
    ]


def scraped(seconds):
    cluster = Cluster(seed=1, start_ns=START)
    exporters = metrics.Exporters()
    out = []
    for second in seconds:
        cluster.advance(START + second * S)
        out.append(exporters.scrape(cluster, START + second * S))
    return out


def test_what_the_exporters_expose():
    (series,) = scraped([60])
    by_name = {}
    for labels, at_ms, value in series:
        assert at_ms.tolist() == [(START // S + 60) * 1000]
        assert value.shape == (1,)
        by_name.setdefault(dict(labels)["__name__"], []).append(dict(labels))
    assert len(by_name["DCGM_FI_DEV_GPU_UTIL"]) == len(by_name["gpu_gfx_activity"]) == 8
    assert set(by_name["DCGM_FI_DEV_XID_ERRORS"][0]) == {
        "__name__", "UUID", "gpu", "device", "Hostname", "modelName", "instance", "job",
    }  # fmt: skip
    assert {"gpu_id", "serial_number", "hostname"} <= set(by_name["gpu_package_power"][0])
    assert len(by_name["node_infiniband_port_data_received_bytes_total"]) == 4
    assert not {"pod", "UUID", "device"} & set(by_name["node_cpu_seconds_total"][0])
    assert len({labels for labels, _, _ in series}) == len(series)


def test_a_lost_gpu_gets_one_stale_marker_a_series_and_comes_back():
    before, lost, later, back = scraped([465, 475, 480, 560])
    assert len(before) == len(back)
    assert len(lost) == len(before)
    assert len(later) == len(before) - 4
    stale = [
        dict(labels) for labels, _, value in lost if value.view("u8")[0] == 0x7FF0000000000002
    ]
    assert {each["gpu"] for each in stale} == {str(LOST_GPU)}
    assert len(stale) == 4
    xid = [
        value[0]
        for labels, _, value in later
        if ("__name__", "DCGM_FI_DEV_XID_ERRORS") in labels and ("gpu", str(LOST_GPU)) in labels
    ]
    assert xid == [79.0]


def lines(name, seconds=600):
    _, happened = story(seconds)
    return logs.entries(of_job(happened, name), seed=1)


def text_of(entries):
    return [entry.get("log", entry.get("MESSAGE", "")) for entry in entries]


def test_megatron_prints_from_its_last_rank():
    printed = lines("llm-7b", 100)
    rows = [entry for entry in printed if "elapsed time per iteration" in entry["log"]]
    assert rows[0]["log"].startswith(
        " [2026-01-01 00:00:10] iteration        1/   36000 | consumed samples:          256 | "
    )
    assert {entry["kubernetes"]["pod_name"] for entry in rows} == {"llm-7b-worker-0"}
    assert "training ...\n" in text_of(printed)
    assert any("NCCL INFO NET/IB" in text for text in text_of(printed))


def test_a_failure_is_told_by_kernel_watchdog_and_launcher():
    printed = lines("llm-7b")
    kernel = [entry for entry in printed if "MESSAGE" in entry]
    assert kernel[0]["MESSAGE"].startswith("NVRM: Xid (PCI:0000:91:00): 79, ")
    assert ("kubernetes" in kernel[0], kernel[0]["_HOSTNAME"]) == (False, "gpu-node-01")
    watchdog = [text for text in text_of(printed) if "Watchdog caught" in text]
    assert sorted(text.partition(":")[0] for text in watchdog) == [
        f"[rank{rank}]" for rank in range(8) if rank != LOST_GPU
    ]
    assert any("failed (exitcode: -6) local_rank: 0" in text for text in text_of(printed))
    assert any("saving checkpoint at iteration      40 to" in text for text in text_of(printed))
    assert any("successfully loaded checkpoint" in text for text in text_of(printed))


def test_primus_prints_colours_without_escape_and_both_namings():
    rows = [text for text in text_of(lines("moe-rocm", 120)) if "hip mem usage" in text]
    assert rows[0].startswith("[[32m20260101 00:00:11[0m][[36mrank-3/4[0m]")
    assert "tokens per GPU (tokens/s/GPU):" in rows[0]
    assert "tokens/s/GPU inst/harmonic mean:" in rows[-1]
    assert not any("\x1b" in row for row in rows)


def test_torchtitan_prints_colours_from_every_rank():
    rows = [text for text in text_of(lines("titan-8b", 12)) if "step: " in text]
    assert sorted(row.partition(":")[0] for row in rows[:4]) == [f"[rank{n}]" for n in range(4)]
    assert "\x1b[31mstep:  1  \x1b[32mloss: " in rows[0]


def test_some_lines_come_in_two_pieces():
    printed = lines("llm-7b", 60)
    (at,) = [n for n, entry in enumerate(printed) if entry["logtag"] == "P"]
    first, second = printed[at : at + 2]
    assert (second["logtag"], second["date"]) == ("F", first["date"])
    assert not first["log"].endswith("\n")
    assert " iteration       10/   36000 " in first["log"]
    assert second["log"].endswith("|\n")
