"""Usage counters of jobs, by configuration (spec 000); the standard library alone.

    from heliograph.usage import MetricProcessor

    metrics = MetricProcessor().process({}, {"action": "train", "network": "ResNet-50",
                                             "success": True, "gpu": ["NVIDIA A100"]})

The names of the document are found here, each loaded when it is first used. Modules: `types`,
`config`, `utils`, `processor`, `builders`, `client` (the document's), and `counts` (the structured
form), `payload`, `merge`, `export`, `aggregate`, `validation`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from heliograph.usage.builders.base import MetricBuilder as MetricBuilder
    from heliograph.usage.builders.comprehensive import (
        ComprehensiveMetricsBuilder as ComprehensiveMetricsBuilder,
    )
    from heliograph.usage.builders.labeled import LabeledMetricsBuilder as LabeledMetricsBuilder
    from heliograph.usage.builders.legacy import LegacyMetricsBuilder as LegacyMetricsBuilder
    from heliograph.usage.builders.time import TimeMetricsBuilder as TimeMetricsBuilder
    from heliograph.usage.client import send_telemetry_data as send_telemetry_data
    from heliograph.usage.config import METRIC_ATTRIBUTES as METRIC_ATTRIBUTES
    from heliograph.usage.processor import MetricProcessor as MetricProcessor
    from heliograph.usage.types import AttributeType as AttributeType
    from heliograph.usage.types import MetricAttribute as MetricAttribute
    from heliograph.usage.types import TelemetryData as TelemetryData

_FOUND_IN = {
    "METRIC_ATTRIBUTES": "config",
    "AttributeType": "types",
    "ComprehensiveMetricsBuilder": "builders.comprehensive",
    "LabeledMetricsBuilder": "builders.labeled",
    "LegacyMetricsBuilder": "builders.legacy",
    "MetricAttribute": "types",
    "MetricBuilder": "builders.base",
    "MetricProcessor": "processor",
    "TelemetryData": "types",
    "TimeMetricsBuilder": "builders.time",
    "send_telemetry_data": "client",
}


if not TYPE_CHECKING:
    from heliograph.core.lazy import face as _face

    __getattr__, __dir__ = _face(globals(), _FOUND_IN)
