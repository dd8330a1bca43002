"""What cells of one metric share, and the way from label values to children; a part of `cells`.

    spec = Spec("steps_total", "counter", constant=(("run", "a"),))
    cell.labels == {"run": "a"}
    cell.labels(rank="3")               # the child {run="a",rank="3"}

This is the plain twin of what `cells.pyx` has under the same names.
"""

from heliograph.kernels import careful

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class Spec:
    """What the cells of one metric share.

    shapes     the sets of label names its children have, by `Cell.shape`
    buckets    the bounds as they were given, for their text
    number     which metric of this process tree it is; scope, which collector's
    exemplars  `Cell.at` → bucket → (labels, value, seconds since 1970)
    """

    __slots__ = (
        "bounds", "buckets", "constant", "declared", "description", "exemplars", "kind", "name",
        "number", "on_error", "policy", "scope", "series_max", "shapes", "strict", "unit",
        "width",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        kind: str,
        constant: careful.Labels = (),
        declared: tuple[str, ...] | None = None,
        bounds: "Sequence[float]" = (),
        strict: bool = True,
        on_error: "Callable[[str], None] | None" = None,
        policy: int = 0,
        series_max: int = careful.SERIES_MAX,
    ) -> None:
        self.name = name
        self.kind = kind
        self.constant = constant
        self.declared = declared
        self.bounds = [float(bound) for bound in bounds]
        self.strict = strict
        self.on_error = on_error
        self.policy = policy
        self.series_max = series_max
        self.width = len(self.bounds) + 2 if kind == "histogram" else 1
        self.shapes: list[tuple[str, ...]] = []
        self.exemplars: dict[int, dict[int, tuple[careful.Labels, float, float]]] = {}
        self.number = self.scope = -1
        self.description = self.unit = ""
        self.buckets: Sequence[float] = bounds


class LabelsOf(dict[str, str]):
    """The constant labels of a metric, and when called the way to its children.

    tables  label names, in their order → (index in `Spec.shapes`, values → child); None of a child
    shared  label name → values that other children may have too
    orders  names as a caller gave them → (where in the call each value of the key is, values → child)
    """

    __slots__ = (
        "__weakref__", "_owner", "kind", "orders", "overflow", "refused", "series", "shared", "spec",
        "tables",
    )  # fmt: skip

    def __init__(self, owner: "Any", pairs: careful.Labels) -> None:
        super().__init__(pairs)
        self._owner = owner
        self.spec = owner.spec
        self.kind = type(owner)
        self.tables: dict[tuple[str, ...], tuple[int, dict[Any, Any]]] | None = (
            {} if owner.shape < 0 else None
        )
        self.orders: dict[tuple[str, ...], tuple[tuple[int, ...] | None, dict[Any, Any]]] = {}
        self.shared: dict[str, dict[str, str]] = {}
        self.overflow: Any = None
        self.series = self.refused = 0

    def __call__(self, /, **values: object) -> "Any":
        """The child of the labels *values*."""
        known = self.orders.get(tuple(values))
        if known is not None:
            places, table = known
            given = tuple(values.values())
            if places is not None:
                given = tuple(given[place] for place in places)
            try:
                found = table.get(given if len(given) != 1 else given[0])
            except TypeError:
                found = None
            if found is not None:
                return found
        return careful.child(self, values)

    def unlabelled(self) -> "Any":
        """The metric itself."""
        return self._owner
