"""The rules of the house hold in the source, and bite where they are broken."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house import ARROWS, ROOT, SOURCE, Module, cycle, faults, modules, ours

MODULES = modules()
# Written apart, as this file is read as well.
UNFINISHED = re.compile(r"\b(?:TO" + "DO|FIX" + r"ME)\b")
HOSTS = re.compile("|".join(re.escape(f"{name}.{end}") for name, end in [
    ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"),
    ("deb.debian", "org"), ("yarnpkg", "com"), ("crates", "io"), ("golang", "org/dl"),
]))  # fmt: skip
MACHINE = re.compile(r"(?<![\w.])/(?:work|root)/[a-z.]|(?<![\w.])/tmp" + r"/w/")
TEXT_SUFFIXES = {
    *{".py", ".pxd", ".md", ".toml", ".txt", ".yaml", ".yml", ".html", ".css", ".js", ".sql"},
    *{".cfg", ".sh", ".json", ""},
}
FACE_MODULES_MAX = 60
COSTLY = {"asyncio", "dataclasses", "email", "http.client", "inspect", "logging", "ssl"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_keeps_the_rules(module):
    assert faults(module) == []


def test_packages_do_not_go_round_in_circles():
    graph = {}
    for module in MODULES:
        used = {name.partition(".")[0] for _, name in ours(ast.parse(module.text))}
        graph.setdefault(module.package, set()).update(used - {module.package, "__version__"})

    assert cycle(graph) == []


def test_the_checker_of_circles_bites():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["b", "c"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}}) == []


BAD = [
    # case                          module                      text, after a docstring
    ("numpy in light core", "core.x", "import numpy", "imports numpy: the SDK has no dependency"),
    ("light core on heavy core", "core.x", "from heliograph.core import samples",
     "imports core.samples: a server-side module"),
    ("a lazy import counts", "core.x", "def _f():\n    import numpy",
     "imports numpy: the SDK has no dependency"),
    ("core upwards", "core.x", "from heliograph.wire import snappy",
     "imports wire.snappy: not in the table of arrows"),
    ("a store that enriches", "store.x", "import heliograph.enrich.view",
     "imports enrich.view: not in the table of arrows"),
    ("alerts that know a backend", "alert.x", "from heliograph.store.state import rules",
     "imports store.state.rules: not in the table of arrows"),
    ("a page that notifies", "web.x", "from heliograph.notify import mail",
     "imports notify.mail: not in the table of arrows"),
    ("a command past the service", "cli.x", "from heliograph.store.log import log",
     "imports store.log.log: not in the table of arrows"),
    ("a service that chooses", "service.x", "from heliograph.store.segments.store import S",
     "imports store.segments.store.S: service.wiring alone names a backend or a channel"),
    ("a new package", "gadgets.x", "", "package gadgets has no row in the table of arrows"),
    ("a dependency of the SDK", "instruments.x", "import httpx2",
     "imports httpx2: the SDK has no dependency"),
    ("a banned class", "wire.x", 'class LogManager:\n    "d"', "LogManager says manager"),
    ("a banned private function", "wire.x", "def _helper_of():\n    pass",
     "_helper_of says helper"),
    ("a function without meaning", "wire.x", "def _f():\n    def handle(): ...",
     "handle says nothing"),
    ("a banned module", "wire.http_utils", "", "module name says utils"),
    ("a public function without docstring", "wire.x", "def f():\n    pass",
     "f has no docstring"),
    ("a public class without docstring", "wire.x", "class F:\n    pass", "F has no docstring"),
    ("a protocol's method", "wire.x", 'class F(Protocol):\n    "d"\n    def g(self): ...',
     "g has no docstring"),
    ("the time", "wire.x", "import time as t\n_x = t.monotonic()",
     "time.monotonic: only core.clock reads the time"),
    ("the time by name", "wire.x", "from time import sleep",
     "time.sleep: only core.clock reads the time"),
    ("today", "wire.x", "import datetime\n_x = datetime.datetime.now()",
     "datetime.datetime.now: only core.clock reads the time"),
    ("everything caught", "wire.x", "try:\n    pass\nexcept (OSError, Exception):\n    pass",
     "except Exception: only service.supervisor may"),
    ("nothing named", "wire.x", "try:\n    pass\nexcept:\n    pass",
     "except Exception: only service.supervisor may"),
    ("a relative import", "wire.x", "from . import y", "relative import"),
    ("__all__", "wire.x", "__all__ = []",
     "__all__: a leading underscore is the whole privacy system"),
    ("the environment", "service.x", "import os\n_x = os.environ.get('A')",
     "the environment is read by the commands and handed in"),
    ("a long function", "wire.x", "def _f():\n" + "    x = 1\n" * 60,
     "_f has 61 lines, limit 60"),
    ("a long module", "wire.x", "_x = 1\n" * 400, "401 lines, limit 400"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "fault"), [pytest.param(*row, id=case) for case, *row in BAD]
)
def test_the_checker_bites(name, text, fault):
    found = faults(Module(f"heliograph.{name}", f'"""Docstring."""\n{text}'))

    assert [one.partition(" ")[2] for one in found] == [fault]


GOOD = [
    (
        "the composition root chooses",
        "service.wiring",
        "from heliograph.store.segments import s",
    ),
    ("the recorder's wiring too", "recorder.wiring", "from heliograph.store.segments import s"),
    ("the contract of a store", "web.x", "from heliograph.store import protocol"),
    ("the values of alerts", "store.x", "from heliograph.alert import model"),
    ("cleaning up", "wire.x", "try:\n    pass\nexcept BaseException:\n    raise"),
    ("the supervisor", "service.supervisor", "try:\n    pass\nexcept Exception:\n    pass"),
    ("a fixed name", "usage.utils", 'class Processor:\n    "d"'),
    ("the clock", "core.clock", "import time\n_x = time.time_ns()"),
    ("a word within a word", "wire.x", 'class Database:\n    "d"'),
    ("formatting a given time", "wire.x", "import time\n_x = time.gmtime(0)"),
    ("a full function", "wire.x", "def _f():\n" + "    x = 1\n" * 59),
    ("a full module", "wire.x", "_x = 1\n" * 399),
]


@pytest.mark.parametrize(("name", "text"), [pytest.param(*row, id=case) for case, *row in GOOD])
def test_the_checker_does_not_bite(name, text):
    assert faults(Module(f"heliograph.{name}", f'"""Docstring."""\n{text}')) == []


def test_an_init_is_its_docstring():
    bare = Module("heliograph.wire", "import os", is_init=True)
    assert [one.partition(" ")[2] for one in faults(bare)] == [
        "the module has no docstring",
        "__init__ holds its contract's docstring, nothing else",
    ]


def test_every_row_of_the_table_names_rows():
    named = {part.partition(".")[0] for row in ARROWS.values() for part in row}
    assert named <= set(ARROWS)


def _loaded_by(statement):
    program = f"import sys; before = set(sys.modules); {statement}; print(*sys.modules.keys() - before)"
    out = subprocess.run(
        [sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True
    )
    return set(out.stdout.split())


def test_importing_the_sdk_is_light():
    loaded = _loaded_by("import heliograph")

    assert loaded & COSTLY == set()
    assert len(loaded) <= FACE_MODULES_MAX
    assert {name.partition(".")[0] for name in loaded} <= {
        "heliograph",
        *sys.stdlib_module_names,
    }
    assert {
        name for name in loaded if name.startswith(("heliograph.service", "heliograph.store"))
    } == set()


def test_no_light_module_loads_a_third_party_one():
    light = [
        module.name
        for module in MODULES
        if module.package in {"", "instruments", "ship", "usage", "projection"}
    ]
    loaded = _loaded_by("import " + ", ".join(light))

    assert {name.partition(".")[0] for name in loaded} <= {
        "heliograph",
        # What a compiled kernel brings of its own.
        "cython_runtime",
        *sys.stdlib_module_names,
    }


def _tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    names = [name for name in listed.stdout.split("\0") if name]
    if not names:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def _found(pattern, *, beneath=("",)):
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in _tracked()
        if path.suffix in TEXT_SUFFIXES and str(path.relative_to(ROOT)).startswith(beneath)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_unfinished():
    assert (
        _found(UNFINISHED, beneath=("src", "tools", "docs", "bench", "Makefile", ".ci")) == []
    )


def test_no_package_registry_is_named():
    assert _found(HOSTS) == []


def test_no_path_of_one_machine_is_named():
    assert _found(MACHINE, beneath=("src", "tools", "docs", "bench", "Makefile", ".ci")) == []


def test_the_searches_bite():
    assert UNFINISHED.search("# TO" + "DO: later")
    assert HOSTS.search("https://files.python" + "hosted.org/x")
    assert MACHINE.search("open('/ro" + "ot/x')")
    assert not MACHINE.search("/workspace/train.py, a/work/b, ./root/x")


def test_every_dependency_is_pinned_with_hashes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [Requirement(text) for text in project["build-system"]["requires"]]
    wanted += [
        Requirement(text) for name in ("server", "postgres", "test") for text in extras[name]
    ]
    entries = re.findall(
        r"^(\S+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}",
        (ROOT / "constraints.txt").read_text(),
        re.MULTILINE,
    )
    pins = dict(entries)

    assert [
        f"{one}: pinned {pins.get(canonicalize_name(one.name))}; python tools/pin.py"
        for one in wanted
        if not one.specifier.contains(pins.get(canonicalize_name(one.name), "0"))
        or canonicalize_name(one.name) not in pins
    ] == []


def test_the_source_is_where_the_checker_looks():
    assert (SOURCE / "heliograph" / "core" / "labels.py").exists()
    assert len(MODULES) > 12
