"""Fetch real programs that tests and benchmarks talk to, and print where they are.

    python tools/peers.py               all of them, into .cache/peers
    python tools/peers.py --list        only those that are there already

    prometheus  .cache/peers/usr/bin/prometheus
    vmagent     .cache/peers/usr/bin/vmagent

They come out of Debian's packages by `apt-get download` and `dpkg -x`: nothing is installed, and
no root is needed. Done again, it fetches only what is missing. Chromium is not among them: it
needs most of a desktop's libraries, so it is installed as root (`.ci/run` does).
"""

import ctypes
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PEERS = Path(__file__).resolve().parent.parent / ".cache" / "peers"
# Debian package → programs that we use of it.
PROGRAMS = {
    "prometheus": ("prometheus", "promtool"),
    "prometheus-alertmanager": ("prometheus-alertmanager", "amtool"),
    "victoria-metrics": ("victoria-metrics", "vmagent", "vmalert"),
}
# Shared libraries that a slim machine may lack, by their package.
LIBRARIES = {"libzstd1": "libzstd.so.1"}
NAMES = {"prometheus-alertmanager": "alertmanager"}


def main() -> None:
    """Fetch what is missing (unless told not to) and list what there is."""
    if "--list" not in sys.argv[1:]:
        _fetch([package for package in PROGRAMS if not _complete(package)])
    for name, path in sorted(found().items()):
        print(f"{name:<18}{path}")


def found() -> dict[str, Path]:
    """Program → path, for those fetched or else installed on this machine."""
    programs: dict[str, Path] = {}
    for program in (program for group in PROGRAMS.values() for program in group):
        fetched = PEERS / "usr" / "bin" / program
        path = str(fetched) if fetched.is_file() else shutil.which(program)
        if path:
            programs[NAMES.get(program, program)] = Path(path)
    return programs


def library_path() -> str:
    """The folder of fetched libraries, for LD_LIBRARY_PATH; it need not exist."""
    return str(PEERS / "usr" / "lib" / f"{platform.machine()}-linux-gnu")


def _complete(package: str) -> bool:
    return all((PEERS / "usr" / "bin" / program).is_file() for program in PROGRAMS[package])


def _fetch(packages: list[str]) -> None:
    if not packages:
        return
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            sys.exit(
                f"peers: {tool} is not here, so Debian's packages cannot be fetched; put "
                f"{', '.join(packages)} on the PATH, or let the tests that need them skip"
            )
    missing = [package for package in LIBRARIES if not _installed(package)]
    PEERS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PEERS) as folder:
        _download([*packages, *missing], Path(folder))
        for archive in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(archive), str(PEERS)], check=True)
    if absent := [package for package in packages if not _complete(package)]:
        sys.exit(f"peers: {', '.join(absent)} did not bring the programs expected of it")


def _download(packages: list[str], folder: Path) -> None:
    command = ["apt-get", "download", "--quiet", *packages]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(
            f"peers: {' '.join(command)}\n{done.stderr.strip()}\n"
            "peers: as root, `apt-get update` may help; else the tests of these peers skip"
        )


def _installed(package: str) -> bool:
    try:
        ctypes.CDLL(LIBRARIES[package])
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
