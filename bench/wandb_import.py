"""Offline wandb runs into the service: `heliograph import` beside the client's own `wandb sync`.

    python bench/wandb_import.py [--runs 100] [--steps 300] [--old-runs 3]

One run is trained offline by the real client, with console lines, and copied under other ids. Both
load the same folders into a fresh service on loopback, one after the other; a service that has fewer
steps than were logged ends the benchmark. Wall seconds, the CPU seconds of the service, and how many
times as fast. The newest client syncs many runs at once and is given all of them; the old one takes
seconds a run, is given a few, and compared by the run. Needs the clients that `make peers` fetches.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from _shared import CLOCK, heliograph, machine  # noqa: E402 - after the line above
from heliograph.receive.wandb_file import WandbFile  # noqa: E402
from tests.receive.wandb_written import written  # noqa: E402
from tools import wandb_clients  # noqa: E402

SEED_ID = b"seedrun0"
JOB = """\
import sys, wandb
run = wandb.init(project="bench", id="seedrun0", mode="offline", config={"lr": 0.1})
for step in range(int(sys.argv[1])):
    run.log({"train/loss": 1 / (step + 1), "train/grad_norm": 0.5, "lr": 3e-4, "tokens": step * 4096})
    if step % 10 == 0:
        print("step", step, "of the run")
run.finish()
"""


def main():
    """Make the runs, load them twice, compare."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--runs", type=int, default=100)
    asked.add_argument("--steps", type=int, default=300)
    asked.add_argument("--old-runs", type=int, default=3)
    given = asked.parse_args()
    clients = wandb_clients.found()
    if not clients:
        print("no wandb here (make peers): nothing to compare with")
        return
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        for version, python in clients.items():
            count = given.runs if version == wandb_clients.VERSIONS[0] else given.old_runs
            compare(version, python, Path(name, version), given, count)


def compare(version, python, folder, given, count):
    """Print how long *count* runs take by the client's sync, and all by our import."""
    folder.mkdir()
    runs = copies(seed(python, folder, given.steps), folder / "runs", given.runs)
    ours = [Path(sys.executable).with_name("heliograph"), "import", folder / "runs"]
    sync = [python.with_name("wandb"), "sync", *runs[:count]]
    spent = {}
    for what, command, number in (("import", ours, given.runs), ("sync", sync, count)):
        wall_s, cpu_s = load(command, folder / what, number, number * given.steps)
        spent[what] = wall_s / number
        title = "heliograph import" if what == "import" else f"wandb {version} sync"
        print(
            f"{title:<20}{number:5} runs{wall_s:8.1f} s{1000 * wall_s / number:9.0f} ms a run"
            f"   service {cpu_s:.1f} CPU s"
        )
    ratio = spent["sync"] / spent["import"]
    print(
        f"runs of {given.steps} steps: import is {ratio:.1f} times as fast as wandb {version}"
    )


def environ(folder, url=""):
    """What a client sees."""
    home = {"HOME": str(folder), "WANDB_API_KEY": "0123456789" * 4, "WANDB_SILENT": "true"}
    return {"PATH": os.environ["PATH"], "WANDB_BASE_URL": url, "HELIOGRAPH_URL": url, **home}


def seed(python, folder, steps):
    """The records of one run that the client trained."""
    job = folder / "job.py"
    job.write_text(textwrap.dedent(JOB))
    # Nobody answers there, and nobody is asked: it is offline.
    subprocess.run(
        [python, job, str(steps)], cwd=folder, env=environ(folder, "http://127.0.0.1:9"),
        check=True, stdout=subprocess.DEVNULL, timeout=120,
    )  # fmt: skip
    (made,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    with made.open("rb") as file:
        return list(WandbFile(file).records())


def copies(records, folder, count):
    """Folders of *count* runs, alike but for their ids."""
    made = []
    for number in range(count):
        run_id = b"bench%03d" % number
        run = folder / f"offline-run-20260101_000000-{run_id.decode()}"
        (run / "files").mkdir(parents=True)
        renamed = [record.replace(SEED_ID, run_id) for record in records]
        (run / f"run-{run_id.decode()}.wandb").write_bytes(written(renamed))
        made.append(run)
    return made


def load(command, folder, runs, steps):
    """(wall seconds of *command*, CPU seconds of the service) until all *steps* of *runs* are in."""
    with heliograph(folder) as server:
        before_s = server.cpu_s()
        started_s = CLOCK.monotonic_s()
        url = f"http://127.0.0.1:{server.port}"
        subprocess.run(
            [str(part) for part in command], env=environ(folder.parent, url), check=True,
            cwd=folder.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=900,
        )  # fmt: skip
        wall_s = CLOCK.monotonic_s() - started_s
        listed = server.get("/v1/wandb/runs?limit=1000")["items"]
        arrived = sum(one["steps"] for one in listed)
        if (len(listed), arrived) != (runs, steps):
            sys.exit(f"{command[0]}: {len(listed)} runs, {arrived} steps arrived")
        return wall_s, server.cpu_s() - before_s


if __name__ == "__main__":
    main()
