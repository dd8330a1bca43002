"""What the builders need of the registry, worked out once and again when it changes.

    labels        tao_action="%s",tao_automl_triggered="%s",…      sorted by name
    comprehensive network_%s_action_%s_version_%s_status_%s_gpu_%s

The registry is a plain list of plain objects that anyone may change at any time; `current`
notices by comparing it with what it was (nine identities) and by a count of edits.
"""

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

from heliograph.core.errors import ConfigError
from heliograph.usage import config
from heliograph.usage.types import STRATEGIES, AttributeType, MetricAttribute, TelemetryData

# Attributes with a metric of their own, and so neither labels nor aggregated.
APART = frozenset({"success", "time_lapsed"})
STATUS_BEFORE_ORDER = 4
PREFIX = "tao_"


# The labels that a builder gives itself; their values stand under these names among the data.
COUNT, PRIMARY, STATUS = "tao_gpu_count", "tao_primary_gpu", "tao_status"


class Layout(NamedTuple):
    """The registry, digested.

    fields               (name, raw key, default) in the order of the registry
    strings              names of those that are sanitised
    defaults             (name, default) where the default is a list
    comprehensive        (name, whether boolean) in key order
    status_at            where `status` stands among them
    comprehensive_text   the key, with `%s` for the values, where all attributes are there
    comprehensive_of     takes the values out of the data; None where there are too few
    labels               (attribute, label, whether boolean)
    label_text           the labels of a job sorted by label, with `%s` for the values
    label_of             takes the values out of the data, where all are there
    label_count          how many there are
    booleans             names of labels that are booleans
    aggregated           (attribute, strategy)
    planned              (raw key, default) of what plans depend on, but the GPUs
    time_key, gpu_key    raw keys of `time_lapsed` and `gpus`, and their defaults; None without
    """

    attributes: tuple[MetricAttribute, ...]
    edits: int
    fields: tuple[tuple[str, str, Any], ...]
    strings: tuple[str, ...]
    defaults: tuple[tuple[str, list[Any]], ...]
    comprehensive: tuple[tuple[str, bool], ...]
    comprehensive_booleans: bool
    status_at: int
    comprehensive_text: str
    comprehensive_of: Callable[[Mapping[str, Any]], tuple[Any, ...]] | None
    labels: tuple[tuple[str, str, bool], ...]
    label_text: str
    label_of: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    label_count: int
    booleans: tuple[str, ...]
    aggregated: tuple[tuple[str, str], ...]
    planned: tuple[tuple[str, Any], ...]
    time_key: tuple[str, Any] | None
    gpu_key: tuple[str, Any] | None


_last: list[Layout] = []


def current() -> Layout:
    """The layout of the registry as it is now. Raises ConfigError for an unknown aggregation."""
    attributes = tuple(config.METRIC_ATTRIBUTES)
    if _last:
        found = _last[0]
        if found.edits == MetricAttribute.edits and found.attributes == attributes:
            return found
    made = _made(attributes)
    _last[:] = [made]
    return made


def of(attributes: Iterable[MetricAttribute]) -> Layout:
    """The layout of another registry, made for this once."""
    return _made(tuple(attributes))


def _made(attributes: tuple[MetricAttribute, ...]) -> Layout:
    edits = MetricAttribute.edits
    for one in attributes:
        if one.aggregation is not None and one.aggregation not in STRATEGIES:
            raise ConfigError(f"attribute {one.name}: no aggregation {one.aggregation!r}")
    TelemetryData.__annotations__.update(
        {one.name: _KINDS[one.attr_type] for one in attributes if one.name not in _FIXED}
    )
    ordered = sorted(
        (one for one in attributes if one.include_in_comprehensive),
        key=lambda one: one.metric_order,
    )
    before = sum(one.metric_order < STATUS_BEFORE_ORDER for one in ordered)
    parts = [f"{_literal(one.name)}_%s" for one in ordered]
    parts.insert(before, "status_%s")
    labels = tuple(
        (one.name, PREFIX + one.name, one.attr_type is AttributeType.BOOLEAN)
        for one in attributes
        if one.attr_type is not AttributeType.LIST
        and one.name not in APART
        and one.aggregation is None
    )
    own = [(label, label) for label in (COUNT, PRIMARY, STATUS)]
    shown = sorted([(label, name) for name, label, _ in labels] + own)
    return Layout(
        attributes,
        edits,
        tuple((one.name, one.raw_key, one.default) for one in attributes),
        tuple(one.name for one in attributes if one.attr_type is AttributeType.STRING),
        tuple((one.name, one.default) for one in attributes if isinstance(one.default, list)),
        tuple((one.name, one.attr_type is AttributeType.BOOLEAN) for one in ordered),
        any(one.attr_type is AttributeType.BOOLEAN for one in ordered),
        before,
        "_".join([*parts, "gpu_%s"]),
        _taking([one.name for one in ordered]),
        labels,
        "{" + ",".join(f'{_literal(label)}="%s"' for label, _ in shown) + "}",
        itemgetter(*(name for _, name in shown)),
        len(shown),
        tuple(name for name, _, is_boolean in labels if is_boolean),
        tuple((one.name, one.aggregation) for one in attributes if one.aggregation),
        tuple(
            (one.raw_key, one.default)
            for one in attributes
            if one.name not in {"time_lapsed", "gpus"}
        ),
        _raw(attributes, "time_lapsed"),
        _raw(attributes, "gpus"),
    )


def _raw(attributes: tuple[MetricAttribute, ...], name: str) -> tuple[str, Any] | None:
    found = [(one.raw_key, one.default) for one in attributes if one.name == name]
    return found[0] if len(found) == 1 else None


def _taking(names: list[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]] | None:
    """`itemgetter` that gives a tuple; None for fewer than two names, of which it gives none."""
    return itemgetter(*names) if len(names) > 1 else None


def _literal(text: str) -> str:
    return text.replace("%", "%%")


_FIXED = frozenset(TelemetryData.__annotations__)
_KINDS: dict[AttributeType, object] = {
    AttributeType.STRING: str,
    AttributeType.BOOLEAN: bool,
    AttributeType.INTEGER: int,
    AttributeType.LIST: list,
}
