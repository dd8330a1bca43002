"""Write constraints.txt anew: every third-party package with its version and the hashes of its wheels.

    python tools/pin.py                     keep the versions there are, add what pyproject.toml asks
    python tools/pin.py --upgrade           newest of everything
    python tools/pin.py --upgrade numpy     newest of this one

Versions are what pip itself resolves, by its own configuration of where packages come from, for
the oldest Python we support; a version that would not install there is of no use. Hashes are those
of the wheels that pip would choose on each of TARGETS, so the file holds names, versions and
digests, and nobody's address. Run with pip at hand and Python 3.11.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PINS = ROOT / "constraints.txt"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# The newest and the oldest glibc that we pin for: packages may ship a wheel for each.
GLIBC_MINORS = (40, 28)
LINUX = ("x86_64", "aarch64")
MACOS = ("arm64", *(f"macosx_{major}_0_{{}}" for major in (15, 14, 13, 12, 11)))
HEAD = """\
# Every third-party package of a development install, with the hashes of its wheels for Linux
# (x86_64, aarch64; glibc 2.28 and newer) and macOS (arm64), Python 3.11 to 3.14.
# Written by tools/pin.py; read by tools/bootstrap.py, which installs each group with those above.
"""


def main() -> None:
    """Resolve each group, collect hashes, write the file."""
    if sys.version_info[:2] != (3, 11):
        sys.exit("tools/pin.py: run me with Python 3.11, the oldest that we support")
    kept = {} if sys.argv[1:] == ["--upgrade"] else _pinned()
    for name in sys.argv[2:]:
        kept.pop(_canonical(name), None)
    groups = _resolved(_wanted(), kept)
    versions = {name: version for group in groups.values() for name, version in group.items()}
    hashes = _hashes(versions)
    sections = [
        f"\n# group: {group}\n"
        + "".join(_entry(name, members[name], hashes) for name in members)
        for group, members in groups.items()
    ]
    PINS.write_text(HEAD + "".join(sections))
    print(f"{PINS.name}: {len(versions)} packages, {sum(map(len, hashes.values()))} hashes")


def _wanted() -> dict[str, list[str]]:
    """Requirements by group, in the order in which groups build on each other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    return {
        "build": project["build-system"]["requires"],
        **{group: extras[group] for group in ("server", "postgres", "test")},
    }


def _pinned() -> dict[str, str]:
    text = PINS.read_text() if PINS.exists() else ""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def _resolved(wanted: dict[str, list[str]], kept: dict[str, str]) -> dict[str, dict[str, str]]:
    """Name → version of what each group adds to those before it."""
    groups: dict[str, dict[str, str]] = {}
    asked: list[str] = []
    seen = dict(kept)
    held: set[str] = set()
    for group, requirements in wanted.items():
        asked += requirements
        found = {
            _canonical(item["metadata"]["name"]): item["metadata"]["version"]
            for item in _report(asked, constraints=seen)
        }
        groups[group] = {name: found[name] for name in sorted(found) if name not in held}
        held |= set(found)
        seen |= found
        print(f"{group}: {len(groups[group])} packages")
    return groups


def _hashes(versions: dict[str, str]) -> dict[str, set[str]]:
    hashes: dict[str, set[str]] = {name: set() for name in versions}
    rest = dict(versions)
    for python in PYTHONS:
        for platform, tags in _targets():
            pins = [f"{name}=={version}" for name, version in rest.items()]
            options = ["--no-deps", "--python-version", python, "--implementation", "cp"]
            options += [option for tag in tags for option in ("--platform", tag)]
            for item in _report(pins, options=options):
                name = _canonical(item["metadata"]["name"])
                hashes[name].add(item["download_info"]["archive_info"]["hashes"]["sha256"])
                # A wheel for everything is the same file for every target.
                if item["download_info"]["url"].endswith("-none-any.whl"):
                    rest.pop(name, None)
            print(f"python {python}, {platform}: {len(pins)} wheels")
    return hashes


def _targets() -> list[tuple[str, list[str]]]:
    targets = [
        (
            f"{machine}, glibc 2.{ceiling}",
            [f"manylinux_2_{minor}_{machine}" for minor in range(ceiling, 4, -1)]
            + [f"manylinux{old}_{machine}" for old in ("2014", "2010", "1")],
        )
        for machine in LINUX
        for ceiling in GLIBC_MINORS
    ]
    machine, *tags = MACOS
    mac = [tag.format(kind) for tag in tags for kind in (machine, "universal2")]
    return [*targets, (f"{machine}, macOS", mac)]


def _report(
    requirements: list[str],
    *,
    constraints: dict[str, str] | None = None,
    options: list[str] | None = None,
) -> list[dict[str, Any]]:
    """What pip would install; it is pip that knows where packages come from."""
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder, "pins.txt")
        pins.write_text("".join(f"{n}=={v}\n" for n, v in (constraints or {}).items()))
        report = Path(folder, "report.json")
        command = [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--quiet", "--dry-run"),
            *("--ignore-installed", "--only-binary=:all:", "--report", str(report)),
            *("--target", folder, "--constraint", str(pins), *(options or []), *requirements),
        ]
        if subprocess.run(command, check=False).returncode:
            sys.exit(
                f"tools/pin.py: pip found no wheels for {' '.join(options or requirements)}"
            )
        installs: list[dict[str, Any]] = json.loads(report.read_text())["install"]
        return installs


def _entry(name: str, version: str, hashes: dict[str, set[str]]) -> str:
    lines = [
        f"{name}=={version}",
        *(f"    --hash=sha256:{one}" for one in sorted(hashes[name])),
    ]
    return " \\\n".join(lines) + "\n"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
