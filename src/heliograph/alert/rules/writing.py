"""Documents of built-in rules, written short."""

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]


def log(
    name: str, severity: str, kind: str, pattern: str, summary: str, **more: Any
) -> Document:
    """A pattern over lines, about training."""
    return {
        "name": name,
        "source": "log",
        "rule_type": "pattern",
        "severity": severity,
        "rule_config": {"pattern": pattern, **more},
        "labels": {"category": "training", "kind": kind},
        "annotations": {"summary": summary},
    }


def metric(
    name: str, severity: str, labels: Document, summary: str, rule_type: str, config: Document
) -> Document:
    """A rule over series."""
    return {
        "name": name,
        "source": "metric",
        "rule_type": rule_type,
        "severity": severity,
        "rule_config": {rule_type: config},
        "labels": labels,
        "annotations": {"summary": summary},
    }
