"""Trying a rule where nobody placed anything."""

from types import SimpleNamespace

from heliograph.alert.rules import trial as rule_trial
from heliograph.service.log_patterns import InForce
from heliograph.service.rule_trial import TrialReading
from heliograph.training.parse import parse_line
from heliograph.workloads.directory import Directory

NOBODY = Directory((), (), ())


def reading(directory=NOBODY):
    """How what is given is read, by the placements of *directory*."""
    return TrialReading(
        SimpleNamespace(directory=lambda: directory),
        SimpleNamespace(in_force=lambda: InForce(0, parse_line, own=False)),
    )


def trial(document, *, now_ns, directory=NOBODY):
    """As `POST /v1/alert-rules/test` has it tried."""
    return rule_trial.trial(document, now_ns=now_ns, reading=reading(directory))
