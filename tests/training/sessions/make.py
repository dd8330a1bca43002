"""Makes the sessions of this folder anew: `python make.py --python VENV/bin/python [NAME …]`.

The packages that it needs are in README.md. Each session runs in a folder of its own, with what an
earlier one left there where it goes on with it. Of what is printed only paths and the host's name
are replaced, by what is neutral; all else is as it came.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ADVERTISED = "https://" + "py" + "pi.org/project/"
RANKS = ["-m", "torch.distributed.run", "--nproc-per-node", "4", "--master-port", "29531"]
TEE = [*RANKS, "--tee", "3", "--log-dir", "logs"]
STANDALONE = [*RANKS[:2], "--standalone", *RANKS[2:4], "--tee", "3", "--log-dir", "logs"]
# A step of more than a tenth of a second, which is how often a bar is drawn at most.
SLOW = ["{jobs}/hf.py", "--step-s=0.12"]
DEEPSPEED = [
    "-m",
    "deepspeed.launcher.runner",
    "--num_accelerators",
    "2",
    "--master_port",
    "29532",
]


class Session(NamedTuple):
    """One file: *folder* it runs in, Python's arguments, those of `capture.py`."""

    folder: str
    python: list[str]
    capture: tuple[str, ...] = ()
    merged: bool = False


SESSIONS = {
    "hf_killed": Session(
        "hf", [*SLOW, "--evaluate"], ("--signal=KILL", "--after='epoch': '1.25'")
    ),
    "hf_resumed": Session("hf", [*SLOW, "--evaluate", "--resume"]),
    "hf_merged": Session("hf2", [*SLOW, "--evaluate"], merged=True),
    "hf_tty": Session("hf3", ["{jobs}/hf.py", "--evaluate"], ("--tty",)),
    "hf_diverged": Session("hf4", ["{jobs}/hf.py", "--lr=1e12", "--steps=40"]),
    "lightning_interrupted": Session(
        "light", ["{jobs}/light.py"], ("--signal=INT", "--after=Epoch 2:"), merged=True
    ),
    "lightning_resumed": Session(
        "light",
        ["{jobs}/light.py", "--resume=lightning/checkpoints/epoch=1-step=100.ckpt"],
    ),
    "lightning_tty": Session("light2", ["{jobs}/light.py"], ("--tty",)),
    "lightning_rich": Session("light3", ["{jobs}/light.py", "--rich"], ("--tty",)),
    "lightning_rich_pipe": Session("light4", ["{jobs}/light.py", "--rich"]),
    "ranks_tee": Session("ranks", [*TEE, "{jobs}/ranks.py"]),
    "ranks_raise": Session("ranks2", [*RANKS, "{jobs}/ranks.py", "--fault=raise"]),
    "ranks_again": Session("ranks2", [*RANKS, "{jobs}/ranks.py"]),
    "ranks_kill": Session("ranks3", [*TEE, "{jobs}/ranks.py", "--fault=kill"]),
    "ranks_segv": Session("ranks4", [*TEE, "{jobs}/ranks.py", "--fault=segv", "--at=5"]),
    "ranks_loader": Session("ranks5", [*TEE, "{jobs}/ranks.py", "--fault=loader"]),
    "ranks_refused": Session(
        "ranks6", [*TEE, "--max-restarts", "1", "{jobs}/ranks.py", "--fault=raise"]
    ),
    "ranks_restart": Session(
        "ranks9",
        [*STANDALONE, "--max-restarts", "1", "{jobs}/ranks.py", "--fault=raise", "--apart"],
    ),
    "ranks_absent": Session("ranks7", [*RANKS, "{jobs}/ranks.py", "--fault=absent", "--at=5"]),
    "ranks_memory": Session("ranks8", [*TEE, "{jobs}/ranks.py", "--fault=memory", "--at=5"]),
    "ranks_evicted": Session(
        "ranks10",
        [*TEE, "{jobs}/ranks.py", "--step-s=0.1"],
        ("--signal=TERM", "--after=step: 12/30"),
    ),
    "deepspeed": Session("speed", [*DEEPSPEED, "{jobs}/speed.py"]),
}


def main() -> None:
    """Make the sessions that are named, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--list", action="store_true", help="only the names")
    parser.add_argument("--folder", default=tempfile.gettempdir() + "/sessions")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    if given.list:
        print(*SESSIONS, sep="\n")
        return
    for name in given.names or SESSIONS:
        made(name, Path(given.folder), Path(given.python).absolute())


def made(name: str, root: Path, python: Path) -> None:
    """Run one session and write its file."""
    session = SESSIONS[name]
    folder = root / session.folder
    if next(one for one, other in SESSIONS.items() if other.folder == session.folder) == name:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    neutral = {
        str(python.parent.parent): "/opt/venv",
        str(HERE / "jobs"): "/job",
        str(folder): "/run/job",
        socket.getfqdn(): "node-1",
        socket.gethostname(): "node-1",
    }
    # Where Lightning advertises a package.
    neutral[ADVERTISED] = "https://packages.example/"
    # The longest first: one may be part of another.
    subs = [f"--sub={old}={neutral[old]}" for old in sorted(neutral, key=len, reverse=True)]
    command = [str(python), *(one.format(jobs=HERE / "jobs") for one in session.python)]
    if session.merged:
        command = ["sh", "-c", 'exec "$@" 2>&1', "sh", *command]
    out = HERE / f"{name}.log"
    subprocess.run(
        [
            sys.executable,
            str(HERE / "capture.py"),
            *session.capture,
            *subs,
            str(out),
            "--",
            *command,
        ],
        cwd=folder,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
        },
        check=True,
        timeout=120,
    )


main()
