"""Fetch real wandb clients that tests and a benchmark run, and print where they are.

    python tools/wandb_clients.py           all of them, into .cache/peers/wandb-VERSION
    python tools/wandb_clients.py --list    only those that are there already
    python tools/wandb_clients.py --pin     write tools/wandb_pins/*.txt anew, with hashes

Each is an environment of its own, since no two versions go into one. What is installed is pinned by
version and hash in `tools/wandb_pins/VERSION.txt`; where packages come from is pip's own
configuration. Done again, it fetches only what is missing.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "tools" / "wandb_pins"
PEERS = ROOT / ".cache" / "peers"
# Newest, and one of before the client was written anew.
VERSIONS = ("0.31.0", "0.18.7")
# Named by wandb 0.31, and imported by nothing in it.
UNUSED = ("cwevals",)


def main() -> None:
    """Fetch what is missing (unless told not to) and list what there is."""
    if "--pin" in sys.argv[1:]:
        for version in VERSIONS:
            _pin(version)
    elif "--list" not in sys.argv[1:]:
        for version in VERSIONS:
            if version not in found():
                _fetch(version)
    for version, python in found().items():
        print(f"wandb {version:<12}{python}")


def found() -> dict[str, Path]:
    """Version → the Python that has it, for those fetched."""
    pythons = {version: _folder(version) / "bin" / "python" for version in VERSIONS}
    return {version: one for version, one in pythons.items() if _ready(version).exists()}


def _folder(version: str) -> Path:
    return PEERS / f"wandb-{version}"


def _ready(version: str) -> Path:
    return _folder(version) / "ready"


def _fetch(version: str) -> None:
    folder = _folder(version)
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--requirement", str(PINS / f"{version}.txt")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"wandb_clients: wandb {version}: {done.stderr.strip()}")
    _ready(version).touch()


def _pin(version: str) -> None:
    # Of development only, and slow: pip is asked for every platform.
    import pin  # beside this file, which is run as a script for it

    # ruff: noqa: SLF001 - tools of one folder
    items = pin._report([f"wandb=={version}", *_besides(version)])
    versions = {
        pin._canonical(item["metadata"]["name"]): item["metadata"]["version"] for item in items
    }
    versions = {name: versions[name] for name in sorted(versions) if name not in UNUSED}
    hashes = pin._hashes(versions)
    head = f"# wandb {version} with all it needs, by hash; see tools/wandb_clients.py.\n"
    entries = "".join(pin._entry(name, one, hashes) for name, one in versions.items())
    PINS.mkdir(exist_ok=True)
    (PINS / f"{version}.txt").write_text(head + entries)


def _besides(version: str) -> list[str]:
    """What an old version needs and does not name."""
    return ["setuptools<81"] if version == "0.18.7" else []


if __name__ == "__main__":
    main()
