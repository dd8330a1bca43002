"""What cells do off the hot path: odd amounts, new label sets, exemplars. Plain Python, always.

The compiled cells and their plain twin both come here for whatever is not the usual case, so both
refuse the same things with the same words. Code of others (`__float__`, `__str__`) runs here, and
before anything of ours is touched; no lock is held, here or anywhere in these kernels.

A *spec* is what all cells of one metric share. Where it is strict a refusal is raised, as the
original does; else nothing changes, and `on_error(reason)` is told.
"""

from collections.abc import Callable
from math import isfinite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

Labels = tuple[tuple[str, str], ...]

NAME_CHARS_MAX = 255
LABEL_VALUE_CHARS_MAX = 1024
LABELS_MAX = 32
# Orders in which callers name the labels of one metric; beyond them a call is slower, not wrong.
ORDERS_MAX = 64
SERIES_MAX = 10_000
# Values of a label that are looked for among those of other children, to be kept once.
SHARED_VALUES_MAX = 256
# OpenMetrics 1.0 allows an exemplar that many characters of names and values.
EXEMPLAR_CHARS_MAX = 128
# Cells of one metric that keep exemplars.
EXEMPLARS_MAX = 1_000
# The child that counts for all label sets beyond the bound.
OVERFLOW: Labels = (("overflow", "true"),)

# `Cell.at` of cells that have no number: of a metric that wants labels, and of one refused.
WANTS_LABELS = -1
SINK = -2

# The last of them says when an exemplar was seen, in seconds since 1970; kernels have no clock.
clock: "list[Callable[[], float]]" = [lambda: 0.0]
# Told of each cell that is made, while numbers are shared with forked processes.
made_hooks: "list[Callable[[Any], None]]" = []


class Refusal:
    """`with Refusal(spec, reason):` an error inside goes on where *spec* is strict, else it is told."""

    __slots__ = ("_reason", "_spec")

    def __init__(self, spec: "Any", reason: str) -> None:
        self._spec = spec
        self._reason = reason

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> bool:
        if self._spec.strict or not isinstance(error, Exception):
            return False
        if self._spec.on_error is not None:
            self._spec.on_error(self._reason)
        return True


def check_name(name: object) -> str:
    """*name* of a metric. Raises ValueError naming the rule."""
    if not isinstance(name, str):
        raise ValueError(f"a metric name is a str, not {type(name).__name__}")  # noqa: TRY004
    return _checked("metric name", name, name.replace(":", "_"), "[a-zA-Z_:][a-zA-Z0-9_:]*")


def check_label_name(name: object) -> str:
    """*name* of a label. Raises ValueError naming the rule."""
    if not isinstance(name, str):
        raise ValueError(f"a label name is a str, not {type(name).__name__}")  # noqa: TRY004
    return _checked("label name", name, name, "[a-zA-Z_][a-zA-Z0-9_]*")


def _checked(what: str, name: str, plain: str, rule: str) -> str:
    if len(name) > NAME_CHARS_MAX:
        raise ValueError(f"{what} of {len(name)} characters, limit {NAME_CHARS_MAX}")
    # Without `re`, which costs as much to import as all of this.
    if not (plain.isascii() and plain.isidentifier()):
        raise ValueError(f"{what} {name!r} must match {rule}")
    if name.startswith("__"):
        raise ValueError(f"{what} {name!r} starts with __, which is reserved")
    return name


def label_value(name: str, value: object) -> str:
    """*value* as text that is valid UTF-8. Raises TypeError for bytes, ValueError if too long."""
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"label {name} has a value of {type(value).__name__}, not str")
    text = value if type(value) is str else f"{value!s}"
    if len(text) > LABEL_VALUE_CHARS_MAX:
        raise ValueError(
            f"label {name} has a value of {len(text)} characters, limit {LABEL_VALUE_CHARS_MAX}"
        )
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def number(value: "Any", current: float | None = None) -> float:
    """*value* as a float: anything with `__float__` or `__index__`, but no text.

    Raises TypeError, in the words of what the original does with it: `value < 0` for a counter,
    `current + value` otherwise.
    """
    if not isinstance(value, str | bytes | bytearray):
        if hasattr(value, "__float__"):
            return float(value)
        if hasattr(value, "__index__"):
            return float(value.__index__())
    if current is None:
        _ = value < 0
        current = 0.0
    current += value
    raise TypeError(f"a number is wanted, not {type(value).__name__}")


def is_whole(value: object) -> bool:
    """Whether a gauge shows *value* without a point: ints, bools, and what counts as them."""
    return isinstance(value, int) or (
        hasattr(value, "__index__") and not isinstance(value, float)
    )


def increment(cell: "Any", amount: "Any", labels: "Any", exemplar: "Any") -> None:
    """Add *amount* to a counter's cell, or to its child of *labels*."""
    spec = cell.spec
    with Refusal(spec, "amount"):
        if labels:
            cell = cell.labels(**labels)
        add = number(amount)
        if add < 0:
            raise ValueError("Counter can only be incremented by non-negative values")
        if not spec.strict and (isinstance(amount, bool) or not isfinite(add)):
            raise ValueError(f"an amount of {amount!r}")
        found = exemplar and exemplar_labels(exemplar)
        _check_open(cell)
        cell.add(add)
        if found:
            keep_exemplar(cell, -1, found, add)


def observe(cell: "Any", value: "Any", labels: "Any", exemplar: "Any") -> None:
    """Put *value* into a histogram's cell, or into its child of *labels*."""
    with Refusal(cell.spec, "amount"):
        if labels:
            cell = cell.labels(**labels)
        seen = number(value, 0.0)
        found = exemplar and exemplar_labels(exemplar)
        _check_open(cell)
        bucket = cell.add(seen)
        if found:
            keep_exemplar(cell, bucket, found, seen)


def set_gauge(cell: "Any", value: "Any", labels: "Any") -> None:
    """Set a gauge's cell, or its child of *labels*."""
    with Refusal(cell.spec, "value"):
        if labels:
            cell = cell.labels(**labels)
        if isinstance(value, str | bytes | bytearray):
            raise TypeError(f"a gauge holds a number, not {type(value).__name__}")
        whole = is_whole(value)
        held = number(value, 0.0)
        _check_open(cell)
        cell.put(held, whole)


def add_gauge(cell: "Any", amount: "Any", labels: "Any", sign: float) -> None:
    """Add *sign* times *amount* to a gauge's cell, or to its child of *labels*."""
    with Refusal(cell.spec, "amount"):
        if labels:
            cell = cell.labels(**labels)
        whole = is_whole(amount)
        add = sign * number(amount, cell.value())
        _check_open(cell)
        cell.add(add, whole)


def _check_open(cell: "Any") -> None:
    if cell.at == WANTS_LABELS:
        raise ValueError(f"{cell.spec.name} wants the labels {', '.join(cell.spec.declared)}")


def exemplar_labels(exemplar: "Any") -> Labels:
    """The checked labels of an exemplar, a mapping. Raises ValueError or TypeError."""
    pairs = tuple(
        (check_label_name(name), label_value(name, value))
        for name, value in dict(exemplar).items()
    )
    if sum(len(name) + len(value) for name, value in pairs) > EXEMPLAR_CHARS_MAX:
        raise ValueError(f"an exemplar of more than {EXEMPLAR_CHARS_MAX} characters")
    return pairs


def keep_exemplar(cell: "Any", bucket: int, labels: Labels, value: float) -> None:
    """Make it the exemplar of *bucket* of *cell*; -1 where there are none."""
    kept = cell.spec.exemplars
    of_cell = kept.get(cell.at)
    if of_cell is None:
        if len(kept) >= EXEMPLARS_MAX or cell.at < 0:
            return
        of_cell = kept.setdefault(cell.at, {})
    of_cell[bucket] = (labels, value, clock[-1]())


def child(of: "Any", values: "dict[str, Any]") -> "Any":
    """The child of the labels *values*, made where there is none.

    *of* is the `LabelsOf` of the metric. A label whose value is "" is none at all.
    """
    spec = of.spec
    with Refusal(spec, "labels"):
        if of.tables is None:
            raise ValueError(f"{spec.name} has its labels already")
        pairs = _canonical(spec, values, known=tuple(values) in of.orders)
        if not pairs and spec.declared is None:
            return of.unlabelled()
        return _find(of, pairs, values)
    return new_cell(of.kind, spec, -1, None, at=SINK)


def _canonical(spec: "Any", values: "dict[str, Any]", *, known: bool) -> Labels:
    """Pairs: in the order of declaration, or else by name and without empty ones.

    The names are checked unless they are *known*.
    """
    if not known:
        for name in values:
            check_label_name(name)
            if spec.constant and name in dict(spec.constant):
                raise ValueError(f"label {name} of {spec.name} is constant")
    if spec.declared is not None:
        if values.keys() != set(spec.declared):
            wanted, got = ", ".join(spec.declared), ", ".join(values) or "none"
            raise ValueError(f"{spec.name} has the labels {wanted}; got {got}")
        return tuple((name, label_value(name, values[name])) for name in spec.declared)
    pairs = tuple((name, label_value(name, values[name])) for name in sorted(values))
    if len(pairs) > LABELS_MAX:
        raise ValueError(f"{len(pairs)} labels, limit {LABELS_MAX}")
    return tuple(pair for pair in pairs if pair[1])


def _find(of: "Any", pairs: Labels, values: "dict[str, Any]") -> "Any":
    names = tuple(name for name, _ in pairs)
    full = of.series >= of.spec.series_max and pairs != OVERFLOW
    if full and names not in of.tables:
        return _overflow(of)
    index, table = _table(of, names, tuple(values))
    key = pairs[0][1] if len(pairs) == 1 else tuple(value for _, value in pairs)
    found = table.get(key)
    if found is not None:
        return found
    if full:
        return _overflow(of)
    made = new_cell(of.kind, of.spec, index, _shared(of, names, key))
    if made.at < 0:
        of.refused += 1
        return made
    # Two threads may both have made one: the first is everybody's.
    found = table.setdefault(made.key, made)
    if found is made:
        of.series += 1
        for hook in made_hooks:
            hook(made)
    return found


def _shared(of: "Any", names: tuple[str, ...], key: "Any") -> "Any":
    """*key* of strings that other keys have too, as far as there are few: callers make new ones."""
    values = (key,) if len(names) == 1 else key
    kept = []
    for name, value in zip(names, values, strict=True):
        known = of.shared.setdefault(name, {})
        if len(known) < SHARED_VALUES_MAX:
            known.setdefault(value, value)
        kept.append(known.get(value, value))
    return kept[0] if len(names) == 1 else tuple(kept)


def _overflow(of: "Any") -> "Any":
    of.refused += 1
    if of.overflow is None:
        of.overflow = _find(of, OVERFLOW, {"overflow": "true"})
    return of.overflow


def _table(
    of: "Any", names: tuple[str, ...], called: tuple[str, ...]
) -> "tuple[int, dict[Any, Any]]":
    """(index of the set of *names*, its children), known from now on to calls ordered *called*."""
    found: tuple[int, dict[Any, Any]] | None = of.tables.get(names)
    if found is None:
        shapes = of.spec.shapes
        shapes.append(names)
        found = of.tables.setdefault(names, (shapes.index(names), {}))
    if len(called) == len(names) and len(of.orders) < ORDERS_MAX:
        places = None if called == names else tuple(called.index(name) for name in names)
        of.orders[called] = (places, found[1])
    return found


def new_cell(kind: "Any", spec: "Any", shape: int, key: "Any", at: int = 0) -> "Any":
    """A cell of class *kind*, without the checks of `__init__`; an *at* of 0 asks for a place."""
    cell = kind.__new__(kind)
    cell.bind(spec, shape, key, at)
    return cell


def pairs_of(cell: "Any") -> Labels:
    """The labels of a child, without the constant ones and those without a value."""
    if cell.shape < 0:
        return ()
    names = cell.spec.shapes[cell.shape]
    values = (cell.key,) if len(names) == 1 else cell.key
    return tuple((n, v) for n, v in zip(names, values, strict=True) if v)
