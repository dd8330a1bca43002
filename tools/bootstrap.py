"""Make a virtual environment with what a make target needs; nothing is installed unchecked.

    python3 tools/bootstrap.py .venv server                    what `make demo` needs
    python3 tools/bootstrap.py .venv server postgres test      what `make test` needs

Third-party packages come from constraints.txt: wheels only, each one's hash verified by pip. We
ourselves are installed from this folder, editable, which no hash can describe, in a second step
that may fetch nothing. No C compiler is needed; with one, the kernels are compiled.
Docs: docs/decisions/0006-hashes-without-lock-hosts.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON_MIN = (3, 11)
MOVES = {
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_CONSTRAINT",
    "PIP_REQUIRE_HASHES",
}
NO_VENV = """\
bootstrap: this Python cannot make virtual environments: it lacks `ensurepip`.
Debian and Ubuntu: apt-get install python3-venv, then again; or name another
interpreter: make PYTHON=/path/to/python3
"""


def main() -> None:
    """Create the environment of argv[1] with the groups of argv[2:]; again changes nothing."""
    if sys.version_info < PYTHON_MIN:
        sys.exit(f"bootstrap: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    venv = Path(sys.argv[1]).absolute()
    python = venv / "bin" / "python"
    if not (python.exists() and python.with_name("pip").exists()):
        _create(venv)
    _install(python, ["build", *sys.argv[2:]])
    for stale in (ROOT / "src/heliograph/kernels").glob("*.so"):
        # A compiled kernel hides its source: it must be of this build or not there.
        stale.unlink()
    ours = (
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--editable",
        str(ROOT),
    )
    _pip(python, "install", *ours)
    _pip(python, "check")


def _create(venv: Path) -> None:
    print(f"bootstrap: {venv.name} for Python {sys.version.split()[0]}", flush=True)
    try:
        import ensurepip  # noqa: F401
        import venv as maker
    except ImportError:
        sys.exit(NO_VENV)
    maker.create(venv, with_pip=True)


def _install(python: Path, groups: list[str]) -> None:
    entries = _pins(groups)
    print(f"bootstrap: {len(entries)} packages for {' '.join(groups)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "requirements.txt")
        wanted.write_text("".join(entries))
        options = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        _pip(python, "install", *options, "--requirement", str(wanted))


def _pins(groups: list[str]) -> list[str]:
    """The entries of *groups*, each a requirement with its hashes."""
    entries: list[str] = []
    group = ""
    for line in (ROOT / "constraints.txt").read_text().splitlines(keepends=True):
        if line.startswith("# group: "):
            group = line.removeprefix("# group: ").strip()
        elif group in groups and "==" in line:
            entries.append(line)
        elif group in groups and line.startswith(" "):
            entries[-1] += line
    return entries


def _pip(python: Path, *arguments: str) -> None:
    # A user's settings must not move the install; where packages come from is theirs to say.
    environ = {key: value for key, value in os.environ.items() if key not in MOVES}
    environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    if code := subprocess.run(
        [str(python), "-m", "pip", *arguments], check=False, env=environ
    ).returncode:
        sys.exit(code)


if __name__ == "__main__":
    main()
