"""A trainer that dies while nobody listens; the next process delivers, to real receivers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.peers import answers, free_port
from tests.service.live import CLOCK, Served, fetch, until
from tests.ship.receiver import Receiver

TRAINER = Path(__file__).with_name("trainer.py")
ROOT = Path(__file__).parents[2]


class Trainer:
    """`trainer.py` as a process; `step` is the last that it told of."""

    def __init__(self, *arguments, environ=None):
        command = [sys.executable, str(TRAINER), *map(str, arguments)]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **(environ or {})}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)

    def line(self):
        return self.process.stdout.readline().split()

    def until_step(self, step):
        """Until *step*, and the first of several readings is put away, however slow the machine."""
        while True:
            words = self.line()
            assert words, "the trainer ended"
            if words[0].isdigit() and int(words[0]) >= step and int(words[1]) >= 3:
                return [int(word) for word in words]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def until_waits(self):
        while (words := self.line()) != ["waiting"]:
            assert words, "the trainer ended"

    def end(self, timeout_s=20):
        out, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out


@pytest.fixture
def trainer():
    begun = []

    def begin(*arguments, **more):
        begun.append(Trainer(*arguments, **more))
        return begun[-1]

    yield begin
    for one in begun:
        if one.process.poll() is None:
            one.kill()
        one.process.stdout.close()


def victoria_metrics(start, folder, port):
    program = start(
        "victoria-metrics",
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-storageDataPath={folder}",
        "-search.latencyOffset=0s",
        "-search.disableCache",
        "-dedup.minScrapeInterval=0s",
    )
    program.wait_for(answers(f"http://127.0.0.1:{port}/health"))
    return program


def exported(port, match):
    """{(labels as sorted items): [(ms, value), …]} of what VictoriaMetrics holds."""
    query = urlencode({"match[]": match})
    fetch(f"http://127.0.0.1:{port}/internal/force_flush")
    _, _, body = fetch(f"http://127.0.0.1:{port}/api/v1/export?{query}")
    found = {}
    for line in body.decode().splitlines():
        one = json.loads(line)
        key = tuple(sorted(one["metric"].items()))
        samples = found.setdefault(key, [])
        samples += zip(one["timestamps"], one["values"], strict=True)
    return {key: sorted(samples) for key, samples in found.items()}


def spooled(folder):
    return sorted(folder.rglob("*.frame"))


def test_a_new_process_delivers_what_a_killed_one_left(start, tmp_path, trainer):
    port, spool = free_port(), tmp_path / "spool"
    url = f"http://127.0.0.1:{port}/api/v1/write"
    killed = trainer(url, spool)
    killed.until_step(200)
    killed.kill()
    waiting = spooled(spool)
    assert len(waiting) > 5
    victoria_metrics(start, tmp_path / "vm", port)

    code, _ = trainer(url, spool, "--steps", "1").end()

    assert (code, spooled(spool)) == (0, [])
    [samples] = until(
        lambda: [
            kept
            for kept in exported(port, '{__name__="trainer_steps_total"}').values()
            if len(kept) > len(waiting)
        ],
        "every reading",
    )
    values = [value for _, value in samples]
    # Each frame is one reading; the new process adds its own, the last of which says 1.
    assert len(samples) > len(waiting)
    assert values.index(1.0, 1) >= len(waiting)
    assert values[: len(waiting)] == sorted(values[: len(waiting)])
    assert values[len(waiting) - 1] > 150
    assert [ms for ms, _ in samples] == sorted({ms for ms, _ in samples})
    assert [path for path in spool.rglob("*") if path.name != "door" and path.is_file()] == []


def test_a_worker_that_outlives_its_killed_parent_holds_nothing(tmp_path, trainer):
    port, spool = free_port(), tmp_path / "spool"
    url = f"http://127.0.0.1:{port}"
    killed = trainer(url, spool, "--fork")
    words = killed.line()
    while words[0] != "child":
        words = killed.line()
    assert words[2:] == ["True", "False"]
    try:
        killed.until_step(100)
        killed.kill()
        waiting = len(spooled(spool))
        assert waiting > 2
        with Receiver(port) as receiver:
            assert trainer(url, spool, "--steps", "1").end()[0] == 0
            labels = [labels for labels, _, _ in receiver.samples()["trainer_steps_total"]]
    finally:
        os.kill(int(words[1]), signal.SIGKILL)

    assert len(labels) >= waiting
    # Nobody of the same labels lived any more, so the new one is no second worker.
    assert {one.get("worker") for one in labels} == {None}


def test_processes_that_share_a_spool_lose_nothing_and_tell_nothing_twice(tmp_path, trainer):
    """Four ranks, killed and begun again while the receiver comes and goes."""
    port, spool = free_port(), tmp_path / "spool"
    url = f"http://127.0.0.1:{port}"
    came = []
    for life in range(3):
        ranks = [trainer(url, spool, "--rank", rank, "--every", "0.05") for rank in range(4)]
        for one in ranks:
            one.until_step(40)
        if life == 1:
            with Receiver(port) as receiver:
                for one in ranks:
                    one.until_step(100)
                for one in ranks:
                    one.kill()
            came += receiver.series()
        else:
            for one in ranks:
                one.kill()
    waiting = len(spooled(spool))
    assert waiting > 10
    with Receiver(port) as receiver:
        last = [trainer(url, spool, "--rank", rank, "--steps", "40") for rank in range(4)]
        assert [one.end()[0] for one in last] == [0] * 4
        came += receiver.series()

    assert spooled(spool) == []
    keys = [
        (labels["rank"], ms) for name, labels, ms, *_ in came if name == "trainer_steps_total"
    ]
    # A kill between the receiver's answer and our hearing it may tell one request again.
    assert len(keys) - len(set(keys)) <= 4
    # The readings of a life follow its beat without a gap: nothing in between was lost.
    counted = [v for name, _, _, v, _ in came if name == "heliograph_ship_collections_total"]
    assert len(counted) - len(set(keys)) <= 4
    for rank in map(str, range(4)):
        readings = sorted(
            {
                (ms, value)
                for name, labels, ms, value, _ in came
                if name == "heliograph_ship_collections_total" and labels["rank"] == rank
            }
        )
        values = [value for _, value in readings]
        lives = [n for n, value in enumerate(values) if value == 1.0]
        assert len(lives) == 4
        for begin, end in zip(lives, [*lives[1:], len(values)], strict=True):
            assert values[begin:end] == [float(n + 1) for n in range(end - begin)]


def test_the_end_of_a_process_is_bounded_and_loses_nothing(tmp_path, trainer):
    spool = tmp_path / "spool"
    with Receiver() as receiver:
        receiver.hold.clear()
        code, out = trainer(receiver.url, spool, "--steps", "20").end(timeout_s=15)
        assert code == 0
        assert "end" in out
        assert len(spooled(spool)) >= 1
        receiver.hold.set()
        assert trainer(receiver.url, spool, "--steps", "20").end()[0] == 0
        ends = [v for _, _, v in receiver.samples()["trainer_steps_total"] if v == 20.0]

    assert len(set(ends)) == 1
    assert len(ends) >= 2
    assert spooled(spool) == []


def test_the_service_takes_it_and_says_whose_it_is(start, tmp_path, trainer):
    service = Served(start, tmp_path)
    placed = {
        "workloads": [
            {"uid": "w-1", "name": "llm", "kind": "PyTorchJob", "namespace": "train"}
        ],
        "pods": [{"uid": "p-1", "name": "llm-0", "namespace": "train", "workload_uid": "w-1"}],
    }
    placed["pods"][0] |= {"node": "gpu-04", "start": "2026-01-01T00:00:00Z"}
    assert service.post("/v1/placements", placed)[0] == 200
    pod = {
        "POD_UID": "p-1",
        "POD_NAME": "llm-0",
        "POD_NAMESPACE": "train",
        "NODE_NAME": "gpu-04",
    }
    given = trainer(
        service.url, tmp_path / "spool", "--steps", "100", "--identity", environ=pod
    )
    assert given.end()[0] == 0

    [raw] = until(lambda: service.raw("trainer_steps_total"), "the samples")
    assert raw["labels"]["pod_uid"] == "p-1"
    assert raw["points"][-1][1] == 100.0
    [seen] = service.raw("workload_trainer_steps_total")
    owner = {"workload_name": "llm", "workload_uid": "w-1", "pod_name": "llm-0"}
    assert owner.items() <= seen["labels"].items()
    assert seen["points"] == raw["points"]
    [delivered] = service.raw("heliograph_ship_samples_total", 'outcome="delivered"')
    assert delivered["points"][-1][1] > 0
    service.assert_never_failed()


# The misuses of the table of the SDK: endpoint-down-1h, endpoint-hangs, exit-flush, sigkill.
ENDS = [
    ("exit", None, 0),
    ("wait", signal.SIGTERM, -signal.SIGTERM),
    ("wait", signal.SIGINT, -signal.SIGINT),
    ("stuck", signal.SIGTERM, -signal.SIGTERM),
    ("handler", signal.SIGTERM, 7),
    ("composed", signal.SIGTERM, 8),
]


@pytest.mark.parametrize("receives", [True, False], ids=["up", "down"])
@pytest.mark.parametrize(("how", "number", "code"), ENDS)
def test_an_end_flushes_or_spools_within_two_seconds(
    tmp_path, trainer, how, number, code, receives
):
    """exit-flush: what was counted since the last reading is not lost, whatever ends the process."""
    spool = tmp_path / "spool"
    with Receiver() as receiver:
        url = receiver.url if receives else f"http://127.0.0.1:{free_port()}"
        given = trainer(url, spool, "--steps", "20", "--every", "60", "--end", how)
        if number:
            given.until_waits()
            given.process.send_signal(number)
        began_s = CLOCK.monotonic_s()
        assert given.end()[0] == code
        took_s = CLOCK.monotonic_s() - began_s
        delivered = receiver.values("trainer_steps_total")

    assert took_s < (2.0 if number else 5.0)
    assert delivered[-1:] == ([20.0] if receives else [])
    assert bool(spooled(spool)) is not receives


def test_a_hanging_receiver_does_not_keep_a_process_from_ending(tmp_path, trainer):
    """endpoint-hangs: time-outs; the exit takes two seconds at most."""
    with Receiver() as receiver:
        receiver.hold.clear()
        given = trainer(receiver.url, tmp_path / "spool", "--steps", "20", "--end", "wait")
        given.until_waits()
        until(lambda: receiver.asked, "a request")
        began_s = CLOCK.monotonic_s()
        given.process.send_signal(signal.SIGTERM)
        assert given.end()[0] == -signal.SIGTERM
        assert CLOCK.monotonic_s() - began_s < 2.0


@pytest.mark.parametrize(("how", "number", "code"), ENDS)
def test_metrics_that_hang_do_not_keep_a_process_from_ending(
    tmp_path, trainer, how, number, code
):
    with Receiver() as receiver:
        arguments = ("--steps", "20", "--every", "60", "--hang", "--end", how)
        given = trainer(receiver.url, tmp_path / "spool", *arguments)
        if number:
            given.until_waits()
            given.process.send_signal(number)
        # A handler of its own may deliver, and the exit that follows it once more.
        assert given.end(timeout_s=15)[0] == code


def test_forked_workers_end_by_sigterm_and_leave_the_parent_alone(tmp_path, trainer):
    with Receiver() as receiver:
        given = trainer(receiver.url, tmp_path / "spool", "--fork", "--every", "0.1")
        words = given.line()
        while words[0] != "child":
            words = given.line()
        os.kill(int(words[1]), signal.SIGTERM)
        given.until_step(200)
        assert given.process.poll() is None
        assert until(lambda: not Path(f"/proc/{words[1]}/fd/0").exists(), "the worker's end")
