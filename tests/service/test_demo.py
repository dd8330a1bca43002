"""`heliograph` as a user runs it: the demo from start to Ctrl-C, commands against a service, wrong input."""

import json
import os
import re
import signal
import subprocess
import sys

import psutil
import pytest
import yaml

from heliograph.service import auth
from tests.service.lives import Life, free_port
from tests.service.stories import machine, wait_for

COMMAND = [sys.executable, "-m", "heliograph.cli"]


def run(*arguments, environ=None, cwd=None):
    """(exit status, standard output, standard error) of one command."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **(environ or {})},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def demo(tmp_path):
    """A demo's life: started with the arguments given, ended with the test."""
    life = Life(tmp_path / "data")
    processes = []

    def start(*arguments):
        command = [*COMMAND, "demo", "--listen", f"127.0.0.1:{life.port}", *arguments]
        environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with (tmp_path / "out").open("ab") as out:
            processes.append(subprocess.Popen(command, stdout=out, stderr=out, env=environ))
        return life, processes[-1], (tmp_path / "out").read_text

    yield start
    for process in processes:
        if process.poll() is None:
            for one in [*psutil.Process(process.pid).children(), process]:
                one.kill()
        process.wait(10)


def received(life):
    return sum(life.measured("heliograph_received_total").values())


@pytest.mark.timeout(120)
def test_the_demo_flows_and_ends(demo):
    life, process, said = demo("--seconds", "5")
    wait_for(lambda: life.ask("GET", "/readyz").status == 200, said)
    listed = wait_for(
        lambda: [
            one
            for one in life.get("/v1/workloads")["items"]
            if one["current"] and "current_iteration" in one["current"]["fields"]
        ],
        said,
    )

    assert f"http://127.0.0.1:{life.port}/" in said()
    assert {"name", "status", "pods_running", "devices_held"} <= set(listed[0])
    assert life.points("workload_DCGM_FI_DEV_GPU_UTIL", step="30s", agg="mean")
    wait_for(lambda: "stopped: " in said(), said)
    assert ", 0 refused" in said()
    assert life.ask("GET", "/").status == 200
    life.settled()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0, said()
    assert "Traceback" not in said()
    assert re.search(r"\berror\b", said().lower()) is None, said()


@pytest.mark.timeout(120)
def test_the_flow_is_the_simulators_own_and_ends_with_it(demo):
    life, process, said = demo()
    wait_for(lambda: life.ask("GET", "/readyz").status == 200, said)
    wait_for(lambda: "live" in said(), said)
    before = received(life)
    wait_for(lambda: received(life) > before, said)
    (cluster,) = psutil.Process(process.pid).children()
    cluster.kill()
    wait_for(lambda: cluster.status() == psutil.STATUS_ZOMBIE, said)
    life.settled()
    before = received(life)
    machine.sleep(6)
    assert received(life) == before
    assert life.ask("GET", "/readyz").status == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0, said()


def test_two_demos_on_one_port(demo, tmp_path):
    life, _, said = demo("--seconds", "1")
    wait_for(lambda: life.ask("GET", "/readyz").status == 200, said)

    code, out, err = run(
        "demo", "--listen", f"127.0.0.1:{life.port}", "--data-dir", tmp_path / "b"
    )
    assert code == 2, out + err
    assert f"Error: listen: 127.0.0.1:{life.port} cannot be had; is it in use?" in err


def test_a_demo_against_nobody_is_an_error():
    code, _, err = run("demo", "--against", "http://127.0.0.1:1", "--seconds", "0.1")

    assert (code, err) == (1, "Error: http://127.0.0.1:1: nothing was delivered\n")


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    """A service with something in it."""
    life = Life(tmp_path_factory.mktemp("cli") / "data").start()
    now_s = machine.now_ns() / 1e9
    life.post(
        "/v1/placements",
        {
            "workloads": [
                {"uid": "w-1", "name": "llm", "namespace": "train", "status": "Running"}
            ],
            "pods": [{"uid": "p-1", "name": "llm-0", "workload_uid": "w-1"}],
        },
    )
    life.post(
        "/v1/logs",
        [
            {"log": "iteration 7/ 500 | lm loss: nan |", "date": now_s, "kubernetes": {"pod_id": "p-1"}},
            {"log": "saving checkpoint at iteration 7 to /ckpt", "date": now_s, "kubernetes": {"pod_id": "p-1"}},
        ],
    )  # fmt: skip
    yield life
    life.end()


def url(life):
    return f"http://127.0.0.1:{life.port}"


def test_workloads_of_a_service(life):
    code, out, _ = run("workloads", "--url", url(life))
    assert code == 0
    assert "llm" in out
    assert "NaN" in out
    assert out.strip().endswith("1 of 1")

    code, out, _ = run("workloads", "--json", environ={"HELIOGRAPH_URL": url(life)})
    assert (code, json.loads(out)["items"][0]["uid"]) == (0, "w-1")
    code, out, _ = run("workloads", "--url", url(life), "--status", "Failed")
    assert (code, out.strip().splitlines()[-1]) == (0, "0 of 0")


def test_records_of_a_service(life):
    code, out, _ = run("records", "--url", url(life), "--type", "checkpoint_save_start")
    assert code == 0
    assert "saving checkpoint at iteration 7 to /ckpt" in out
    assert out.strip().endswith("1 of 1")
    code, out, _ = run("records", "--url", url(life), "--session", "nobody", "--json")
    assert (code, json.loads(out)["items"]) == (0, [])


def test_no_service_there():
    code, out, err = run("workloads", "--url", f"http://127.0.0.1:{free_port()}")
    assert (code, out) == (1, "")
    assert err.startswith("Error: http://127.0.0.1:")


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.0 200 OK\r\n\r\n<html>", b"HTTP/1.0 200 OK\r\n\r\n[]", b"HTTP/1.0 500 x\r\n\r\n"],
)
def test_something_else_there(answer):
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def once():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        threading.Thread(target=once, daemon=True).start()
        code, out, err = run(
            "workloads", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}"
        )
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")


def test_a_token_made_is_a_token_that_opens(tmp_path):
    code, out, _ = run("token", "new", "--role", "viewer", "--id", "me")
    assert code == 0
    secret = out.splitlines()[1].strip()
    section = yaml.safe_load(out.splitlines()[-1])
    life = Life(tmp_path / "data", **section)
    try:
        life.start()
        code, _, err = run("workloads", "--url", url(life))
        assert (code, err[:11]) == (1, "Error: 401:")
        code, out, _ = run(
            "workloads", "--url", url(life), environ={"HELIOGRAPH_TOKEN": secret}
        )
        assert (code, out.strip().splitlines()[-1]) == (0, "0 of 0")
    finally:
        life.end()
    assert auth.new_token("viewer", "me")[0] != secret


def test_configuration_is_checked_and_shown(tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("listen: 127.0.0.1:9000\nlogs: {keep_lines: all}\n")
    bad.write_text("samples: {retention: {raw: 7 days}}\n")

    assert run("config", "check", good)[:2] == (0, f"{good}: ok\n")
    code, out, err = run("config", "check", bad)
    assert (code, out) == (2, "")
    assert "samples.retention.raw" in err
    code, out, _ = run("config", "show", good, environ={"HELIOGRAPH_LISTEN": "127.0.0.1:9001"})
    shown = yaml.safe_load(out)
    assert (code, shown["listen"], shown["logs"]["keep_lines"]) == (0, "127.0.0.1:9001", "all")
    # What is shown is a file that can be used.
    again = tmp_path / "again.yaml"
    again.write_text(out)
    assert run("config", "check", again)[0] == 0
    for text, said in [
        ("lsten: x\n", "lsten"), ("logs: {keep_line: all}\n", "keep_line"), ("- a\n", "bad.yaml"),
        ("listen: [\n", "bad.yaml"), ("listen: 0.0.0.0:80\n", "token"), ("listen: 5\n", "listen"),
        ("samples: {backend: mysql}\n", "backend"),
    ]:  # fmt: skip
        bad.write_text(text)
        code, out, err = run("config", "check", bad)
        assert (code, out) == (2, ""), text
        assert said in err.lower(), (text, err)
    for text, said in [("lsten: x\n", "lsten"), ("state: {url: mysql://x/y}\n", "mysql")]:
        bad.write_text(text)
        code, out, err = run("serve", "--config", bad, "--data-dir", tmp_path / "data")
        assert (code, out) == (2, ""), text
        assert said in err.lower(), (text, err)


WRONG = [
    (["config", "check", "/nowhere.yaml"], 2, "/nowhere.yaml"),
    (["config", "check"], 2, "missing argument"),
    (["serve", "--listen", "nowhere"], 2, "host:port"),
    (["serve", "--listen", "0.0.0.0:0"], 2, "--insecure"),
    (["serve", "--data-dir", "/proc/nowhere"], 2, "data_dir"),
    (["demo", "--speed", "0"], 2, "speed"),
    (["demo", "--against", "nonsense"], 2, "nonsense"),
    (["token", "new"], 2, "--role"),
    (["token", "new", "--role", "king"], 2, "king"),
    (["token", "new", "--role", "admin", "--id", "a b"], 2, "--id"),
    (["workloads", "--limit", "0"], 2, "--limit"),
    (["workloads", "--url", "nonsense"], 1, "nonsense"),
    (["records", "--limit", "5000"], 2, "--limit"),
    (["db", "upgrade", "--data-dir", "/proc/nowhere"], 2, "/proc/nowhere"),
    (["nonsense"], 2, "nonsense"),
    (["parse-log", "/nowhere.log"], 2, "/nowhere.log"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    WRONG,
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_input_is_told_in_words(arguments, code, said, tmp_path):
    found, out, err = run(*arguments, cwd=tmp_path)

    assert (found, out) == (code, "") or (found == code and said in err.lower()), (
        found,
        out,
        err,
    )
    assert said in err.lower(), err
    assert len(err.splitlines()) < 12


def test_db_upgrade_and_info(tmp_path):
    code, _, err = run("db", "upgrade", "--data-dir", tmp_path / "data")
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert "there is no such folder" in err
    (tmp_path / "data").mkdir()
    code, out, _ = run("db", "upgrade", "--data-dir", tmp_path / "data")
    assert (code, out.startswith("schema none →")) == (0, True)
    code, out, _ = run("db", "upgrade", "--data-dir", tmp_path / "data")
    assert code == 0
    code, out, _ = run("info", "--json")
    facts = json.loads(out)
    assert code == 0
    assert {"heliograph", "python", "kernels", "sqlite"} <= set(facts)
    code, out, _ = run("info")
    assert (code, "kernels" in out) == (0, True)
