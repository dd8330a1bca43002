"""Metrics with labels in their keys, ready for a Prometheus exporter.

    tao_job_total{tao_action="train",…,tao_status="pass"} 1
    tao_job_gpu_total{tao_gpu_type="A100"} 2
    tao_job_duration_sum{…} 3600, tao_job_gpu_time_sum{…} 7200      seconds, where any were spent

An attribute that is aggregated is no label. It has metrics of its own, with the job's labels:

    tao_job_tokens_sum{…} 9e9     tao_job_peak_memory_max{…} 71     tao_job_loss_last{…} 0.3
    tao_job_user_distinct{…,tao_value="ann"} 4         times that it was seen
    tao_job_batch_quantile{…,tao_bucket="64"} 2        values up to it, above the bucket before

`usage.aggregate` reads numbers of values and quantiles off the last two.
Label values are escaped as in the Prometheus text format.
Source: spec 000's repository; Prometheus exposition format 0.0.4.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from heliograph.usage import aggregate, devices, layout
from heliograph.usage.builders.base import Plan, PlannedBuilder
from heliograph.usage.devices import Devices
from heliograph.usage.gpu_names import gpu_type, primary_gpu
from heliograph.usage.types import Change, Count, Number

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
Pairs = tuple[tuple[str, str], ...]


class LabeledMetricsBuilder(PlannedBuilder):
    """Every attribute that is there, but lists, is a label; `success` becomes `tao_status`."""

    name = "labeled"

    def plan(self, data: Mapping[str, Any], gpus: Devices | None = None) -> Plan:
        now = layout.current()
        if gpus is None:
            gpus = devices.of(data.get("gpus", ()))
        text = self._job_text(now, data, gpus)
        return Plan(
            [(f"tao_job_total{text}", 1), *gpus.totals],
            [(f"tao_job_duration_sum{text}", 1), (f"tao_job_gpu_time_sum{text}", gpus.count)],
        )

    def more(self, data: Mapping[str, Any], gpus: Devices | None = None) -> list[Change]:
        if not layout.current().aggregated:
            return []
        pairs = _labels(data, gpus or devices.of(data.get("gpus", ())))
        return [
            (name + _text(sorted([*pairs, *more])), strategy, value)
            for name, more, strategy, value in _aggregated(data)
        ]

    def counts(self, data: Mapping[str, Any], context: Mapping[str, Any]) -> list[Count]:
        gpus = devices.of(data.get("gpus", ()))
        pairs = tuple(_labels(data, gpus))
        rows: list[tuple[str, Pairs]] = [("tao_job_total", pairs)]
        rows += ((devices.TOTAL, ((devices.TYPE, kind),)) for kind, _ in gpus.types)
        spent = data.get("time_lapsed", 0)
        if spent is not None and spent > 0:
            rows += (("tao_job_duration_sum", pairs), ("tao_job_gpu_time_sum", pairs))
        rows += (
            (name, tuple(sorted([*pairs, *more]))) for name, more, _, _ in _aggregated(data)
        )
        return [
            Count(self.name, name, labels, key, strategy, value)
            for (name, labels), (key, strategy, value) in zip(
                rows, self.changes(data, context, gpus), strict=True
            )
        ]

    def _job_text(
        self, now: layout.Layout, data: Mapping[str, Any], gpus: devices.Devices
    ) -> str:
        """The job's labels as text, by way of the layout where all attributes are there."""
        values = {
            **data,
            layout.COUNT: gpus.count,
            layout.PRIMARY: gpus.primary,
            layout.STATUS: "pass" if data.get("success") else "fail",
        }
        try:
            for name in now.booleans:
                value = values[name]
                if value is True:
                    values[name] = "true"
                else:
                    values[name] = "false" if value is False else str(value).lower()
            text = now.label_text % now.label_of(values)
        except (KeyError, TypeError):
            return _text(_labels(data, gpus))
        # Hardly any value needs escaping, and to look at the whole once is cheaper than at each.
        if "\\" in text or "\n" in text or text.count('"') != 2 * now.label_count:
            return _text(_labels(data, gpus))
        return text

    def _build_metric_key(self, name: str, labels: Mapping[str, object]) -> str:
        """`name{a="1",b="2"}`, sorted by label, values escaped."""
        return name + _text(sorted((label, str(value)) for label, value in labels.items()))

    def _extract_gpu_type(self, name: object) -> str:
        """The type that a GPU's name says: A100 of `NVIDIA A100-SXM4-80GB`."""
        return gpu_type(name)

    def _extract_primary_gpu(self, names: Sequence[object]) -> str:
        """The type of the newest of *names*; `unknown` of none."""
        return primary_gpu(names)


def _labels(data: Mapping[str, Any], gpus: devices.Devices) -> list[tuple[str, str]]:
    """(label, value) sorted by label."""
    pairs = [
        (layout.COUNT, str(gpus.count)),
        (layout.PRIMARY, gpus.primary),
        (layout.STATUS, "pass" if data.get("success") else "fail"),
    ]
    for name, label, is_boolean in layout.current().labels:
        if name in data:
            value = data[name]
            pairs.append((label, str(value).lower() if is_boolean else str(value)))
    pairs.sort()
    return pairs


def _text(pairs: Sequence[tuple[str, str]]) -> str:
    text = ",".join([f'{label}="{value.translate(_ESCAPES)}"' for label, value in pairs])
    return f"{{{text}}}"


def _aggregated(data: Mapping[str, Any]) -> list[tuple[str, Pairs, str, Number]]:
    """(metric, labels besides the job's, strategy, value) of each aggregated attribute."""
    return [
        row
        for name, strategy in layout.current().aggregated
        if name in data and data[name] is not None
        for row in aggregate.rows(name, strategy, data[name])
    ]
