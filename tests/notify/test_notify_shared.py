"""What the shown alerts of a message share, where some are left out: as Alertmanager 0.25 has it."""

import pytest

from heliograph.notify import documents, facts
from tests.notify.fakes import alert, message


@pytest.mark.parametrize(
    ("most", "shared"),
    [
        (0, {"alertname", "severity"}),
        (1, {"alertname", "severity", "n", "z"}),
        (2, {"alertname", "severity", "z"}),
        (3, {"alertname", "severity"}),
    ],
)
def test_common_labels_are_those_of_the_alerts_that_are_shown(most, shared):
    alerts = [
        alert("A", severity="info", n="1", z="q"),
        alert("A", severity="info", n="2", z="q"),
        alert("A", severity="info", n="3"),
    ]
    told = message(*alerts)
    labels = documents.alertmanager(facts.of(told), alerts_max=most)["commonLabels"]
    assert labels.keys() >= shared
    assert ("n" in labels, "z" in labels) == ("n" in shared, "z" in shared)
