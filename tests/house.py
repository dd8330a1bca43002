"""The rules of the house as functions: a module's name and text in, what is wrong with it out.

    faults("heliograph.core.x", "import numpy") == ["heliograph.core.x:1: imports numpy: …"]

tests/test_house.py runs them over the source, and over bad examples to see that they bite.
A rule that is not here is advice. The arrows are those of the plan of the house, and decisions
0003 and 0004.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# The contracts of stores, apart from what fulfils them.
PROTOCOLS = ("store.protocol", "store.records.protocol")
# What an event and a metric are: the same whether they come over HTTP or are recorded in-process.
RECORDED = ("recorder.points", "recorder.checks", "recorder.moments", "recorder.ids")
# Package → what of ours it may import besides itself; a dot names one module.
ARROWS = {
    "core": (),
    "kernels": (),
    "wire": ("core", "kernels"),
    "rules": ("core", "kernels"),
    "ship": ("core", "wire", "kernels"),
    "instruments": ("core", "wire", "kernels", "ship"),
    "usage": ("core",),
    "projection": ("core", "kernels", "ship"),
    "training": ("core", "kernels"),
    "workloads": ("core",),
    "receive": ("core", "wire", "kernels", "projection", *RECORDED, "alert.model"),
    "enrich": ("core", "workloads"),
    "alert": ("core", "rules", "kernels"),
    "notify": ("core", "alert.model", "alert.document"),
    "store": ("core", "wire", "kernels", "alert.model", "alert.changes"),
    "recorder": ("core", "kernels", "rules", *PROTOCOLS),
    "simulator": ("core", "wire"),
    "web": ("core", *PROTOCOLS, "alert.model"),
    "service": (
        *("core", "kernels", "wire", "rules", "instruments", "usage", "projection", "training"),
        *("workloads", "receive", "enrich", "alert", "notify", "store", "recorder", "web"),
    ),
    "cli": ("core", "kernels", "service", "training", "projection", "simulator"),
    # The SDK's face.
    "": ("core", "instruments", "ship", "usage", "projection", "recorder"),
    "compat_prometheus": ("core", "instruments"),
}
# Packages whose users import names from the package itself, as documents fix (decisions 0009, 0014).
FACES = (
    *("instruments", "ship", "compat_prometheus", "usage", "usage.builders", "projection"),
    "recorder",
)
# Where others' code runs inside a training process, whatever it raises must not end the process.
CATCHES_ALL = (
    *("service.supervisor", "instruments.faults", "ship.shipper"),
    "projection.memory_faults",
    "usage.client",
    *("recorder.bridge", "recorder.faults"),
)
# The one module that may import more than its package.
WIRING = {"recorder.wiring": ("store", "wire")}
# What is chosen by configuration, and who may choose. `embedded_query` is the embedded backend's
# other half: the view over segments needs `enrich`, which a store may not import; `alert_wiring`
# is the half of the composition root that opens channels.
CHOICES = ("store.segments", "store.prometheus", "store.records", "notify")
CHOOSERS = ("service.wiring", "service.alert_wiring", "service.embedded_query")

SERVER_SIDE_CORE = {"samples", "matcher", "counting", "config", "columns", "document"}
SDK = ("instruments", "ship", "compat_prometheus", "usage", "projection", "recorder")
READS_ENVIRONMENT = ("cli", *SDK, "")

BANNED_WORDS = {
    "manager", "managers", "helper", "helpers", "util", "utils", "base", "common",
    "handler", "handlers", "processor", "processors", "service", "services",
}  # fmt: skip
BANNED_FUNCTIONS = re.compile(r"(?:process|handle|do_\w+)\Z")
# Names that the five documents or the plan of the house fix.
FIXED_NAMES = re.compile(
    r"heliograph\.(?:service\b|usage\.|instruments\.|recorder\.|projection\.)"
)
CLOCKS = {
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep",
    "process_time", "thread_time", "localtime", "clock_gettime", "clock_gettime_ns",
}  # fmt: skip
TODAY = {"now", "utcnow", "today"}
BROAD = {"Exception", "BaseException"}


class Module(NamedTuple):
    """A module: its dotted name, its text, and whether it is a package's `__init__`."""

    name: str
    text: str
    is_init: bool = False

    @property
    def inner(self) -> str:
        """The name without `heliograph`: `core.labels`, "" for the face."""
        return self.name.removeprefix("heliograph").removeprefix(".")

    @property
    def package(self) -> str:
        """`core` of `heliograph.core.labels`."""
        return self.inner.partition(".")[0]


def modules() -> list[Module]:
    """Every module of the source."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        is_init = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_init else parts)
        found.append(Module(name, path.read_text(), is_init))
    return found


def faults(module: Module) -> list[str]:
    """What is wrong with *module*, each with its line."""
    tree = ast.parse(module.text)
    rules = (arrows, weight, sizes, names, docstrings, clock, broad_excepts, shape, environment)
    return [
        f"{module.name}:{line}: {fault}"
        for rule in rules
        for line, fault in sorted(set(rule(module, tree)))
    ]


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything imported, wherever in the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from heliograph.store import protocol` names the module `store.protocol`.
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def ours(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name without `heliograph.`) of our own modules that are imported."""
    for line, name in imports(tree):
        if name.partition(".")[0] == "heliograph":
            yield line, name.partition(".")[2]


def within(name: str, *allowed: str) -> bool:
    """Whether dotted *name* is one of *allowed* or inside one."""
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


def arrows(module: Module, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Imports against the table, and choices made outside the composition root."""
    if module.package not in ARROWS:
        yield 1, f"package {module.package} has no row in the table of arrows"
        return
    allowed = (
        *ARROWS[module.package],
        *([module.package] if module.package else []),
        "__version__",
    )
    for wiring, more in WIRING.items():
        allowed = (*allowed, *more) if within(module.inner, wiring) else allowed
    for line, name in ours(tree):
        if not within(name, *allowed):
            yield line, f"imports {name}: not in the table of arrows"
        elif (
            module.package == "service"
            and within(name, *CHOICES)
            and not within(name, *PROTOCOLS, "notify.protocol")
            and not within(module.inner, *CHOOSERS)
        ):
            yield line, f"imports {name}: service.wiring alone names a backend or a channel"


def weight(module: Module, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The SDK and the light half of core need the standard library alone."""
    light_core = module.package == "core" and module.inner[5:] not in SERVER_SIDE_CORE
    if not (light_core or module.package in {*SDK, "kernels", ""}):
        return
    if within(module.inner, *WIRING):
        return
    for line, name in imports(tree):
        top, _, inner = name.partition(".")
        if top not in {"heliograph", "cython", *sys.stdlib_module_names}:
            yield line, f"imports {name}: the SDK has no dependency"
        elif top == "heliograph" and within(inner, *(f"core.{m}" for m in SERVER_SIDE_CORE)):
            yield line, f"imports {inner}: a server-side module"


def sizes(module: Module, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines of the module and of each function."""
    lines = len(module.text.splitlines())
    if lines > MODULE_LINES_MAX:
        yield 1, f"{lines} lines, limit {MODULE_LINES_MAX}"
    for node in _definitions(tree):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if not isinstance(node, ast.ClassDef) and length > FUNCTION_LINES_MAX:
            yield node.lineno, f"{node.name} has {length} lines, limit {FUNCTION_LINES_MAX}"


def names(module: Module, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Words that say nothing."""
    if FIXED_NAMES.match(f"{module.name}.") is None or module.package == "service":
        stem = module.inner.removeprefix("service")
        if found := BANNED_WORDS.intersection(re.split(r"[._]", stem)):
            yield 1, f"module name says {found.pop()}"
    if FIXED_NAMES.match(module.name) and module.package != "service":
        return
    for node in _definitions(tree):
        words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", node.name)
        if found := BANNED_WORDS.intersection(word.lower() for word in words):
            yield node.lineno, f"{node.name} says {found.pop()}"
        if not isinstance(node, ast.ClassDef) and BANNED_FUNCTIONS.match(node.name):
            yield node.lineno, f"{node.name} says nothing"


def docstrings(module: Module, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Modules, public classes and functions, and the methods of protocols."""
    if not (ast.get_docstring(tree) or "").strip():
        yield 1, "the module has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _undocumented(node)
        if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases):
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield from _undocumented(method)


def _undocumented(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
) -> Iterator[tuple[int, str]]:
    if not node.name.startswith("_") and not (ast.get_docstring(node) or "").strip():
        yield node.lineno, f"{node.name} has no docstring"


def clock(module: Module, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Only core.clock reads the machine's time."""
    if module.inner == "core.clock":
        return
    aliases = {"time": "time"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {a.asname: a.name for a in node.names if a.asname and a.name == "time"}
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            for alias in node.names:
                if alias.name in CLOCKS:
                    yield node.lineno, f"time.{alias.name}: only core.clock reads the time"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = ast.unparse(node.value)
        if aliases.get(owner) == "time" and node.attr in CLOCKS:
            yield node.lineno, f"time.{node.attr}: only core.clock reads the time"
        elif node.attr in TODAY and owner.rpartition(".")[2] in {"datetime", "date"}:
            yield node.lineno, f"{owner}.{node.attr}: only core.clock reads the time"


def broad_excepts(module: Module, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Catching everything is the supervisor's and, where others' code runs inside a training process,
    the SDK's; unless it is to clean up and raise it again."""
    if module.inner in CATCHES_ALL:
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        broad = [kind for kind in caught if kind is None or ast.unparse(kind) in BROAD]
        last = node.body[-1]
        raised_again = isinstance(last, ast.Raise) and last.exc is None
        if broad and not raised_again:
            yield node.lineno, "except Exception: only service.supervisor may"


def shape(module: Module, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Absolute imports, no `__all__`, nothing but a docstring in a package's `__init__`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "relative import"
        elif isinstance(node, ast.Name) and node.id == "__all__":
            yield node.lineno, "__all__: a leading underscore is the whole privacy system"
    if module.is_init and module.inner and module.inner not in FACES:
        for node in tree.body:
            if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                yield node.lineno, "__init__ holds its contract's docstring, nothing else"


def environment(module: Module, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The environment is handed in, by the commands; the SDK has nobody to hand it in."""
    if module.package in READS_ENVIRONMENT:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}:
            yield node.lineno, "the environment is read by the commands and handed in"


def _definitions(
    tree: ast.AST,
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """The nodes of one cycle of *graph*, or [] where there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return path[path.index(node) :]
        if node in done:
            return []
        for following in sorted(graph.get(node, ())):
            if found := walk(following, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := walk(node, []))), [])
