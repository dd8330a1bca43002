"""The builders, each in a module of its own: what they add is told there.

    from heliograph.usage.builders import LegacyMetricsBuilder, MetricBuilder

Each is loaded when it is first used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from heliograph.usage.builders.base import CountingBuilder as CountingBuilder
    from heliograph.usage.builders.base import MetricBuilder as MetricBuilder
    from heliograph.usage.builders.comprehensive import (
        ComprehensiveMetricsBuilder as ComprehensiveMetricsBuilder,
    )
    from heliograph.usage.builders.labeled import LabeledMetricsBuilder as LabeledMetricsBuilder
    from heliograph.usage.builders.legacy import LegacyMetricsBuilder as LegacyMetricsBuilder
    from heliograph.usage.builders.time import TimeMetricsBuilder as TimeMetricsBuilder

_FOUND_IN = {
    "ComprehensiveMetricsBuilder": "comprehensive",
    "CountingBuilder": "base",
    "LabeledMetricsBuilder": "labeled",
    "LegacyMetricsBuilder": "legacy",
    "MetricBuilder": "base",
    "TimeMetricsBuilder": "time",
}


if not TYPE_CHECKING:
    from heliograph.core.lazy import face as _face

    __getattr__, __dir__ = _face(globals(), _FOUND_IN)
