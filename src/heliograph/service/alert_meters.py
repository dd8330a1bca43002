"""Self-metrics of the alert engine: a number for every stage that an alert goes through."""

from heliograph.alert.changes import Changes
from heliograph.alert.model import Status
from heliograph.service.measure import Registry

PREFIX = "heliograph_alerts_"


class AlertMeters:
    """Counters and histograms of intake, engine and delivery; gauges are read when asked for."""

    def __init__(self, registry: Registry) -> None:
        counter, histogram = registry.counter, registry.histogram
        self.received = counter(f"{PREFIX}received_total", "Alerts posted.", ("source",))
        self.rejected = counter(
            f"{PREFIX}rejected_total", "Alerts refused for good.", ("source", "reason")
        )
        self.truncated = counter(
            f"{PREFIX}truncated_total", "Alerts that a sender says it left out.", ("source",)
        )
        self.intake_seconds = histogram(
            f"{PREFIX}intake_seconds", "From a post's arrival to its answer.", ("source",)
        )
        self.episodes = counter(
            f"{PREFIX}episodes_total", "Episodes that began or ended.", ("source", "status")
        )
        self.correlations = counter(
            f"{PREFIX}correlations_total", "Correlations made or changed.", ("type",)
        )
        self.planned = counter(
            f"{PREFIX}notifications_planned_total", "Messages put into the outbox.", ("reason",)
        )
        self.entries = counter(
            f"{PREFIX}notifications_total",
            "Lines of the ledger: an alert and a channel, sent, failed, dead or held.",
            ("channel", "kind", "stage"),
        )
        self.attempts = counter(
            f"{PREFIX}attempts_total", "Attempts to deliver a message.", ("channel", "outcome")
        )
        self.unnamed = counter(
            f"{PREFIX}unnamed_total",
            "Alerts that an attempt's message counted only, for it named as many as it may.",
            ("channel",),
        )
        self.attempt_seconds = histogram(
            f"{PREFIX}attempt_seconds", "Time of one attempt.", ("channel",)
        )
        self.turn_seconds = histogram(
            f"{PREFIX}turn_seconds", "Time of one turn of the engine.", ()
        )
        self.failed_turns = counter(
            f"{PREFIX}failed_turns_total", "Turns that the store did not take.", ("reason",)
        )
        self.rule_evaluations = counter(
            f"{PREFIX}rule_evaluations_total", "Rules evaluated by the ticker.", ("source",)
        )
        self.rule_failures = counter(
            f"{PREFIX}rule_failures_total", "Evaluations that could not be made.", ("source",)
        )
        self.rule_firings = counter(
            f"{PREFIX}rule_firings_total", "Posts that rules made.", ("source",)
        )

    def count(self, changes: Changes, now_ns: int) -> None:
        """Count what a committed turn, of the instant *now_ns*, changed."""
        sums: dict[str, tuple[int, int]] = {}
        for delta in changes.statistics:
            firing, resolved = sums.get(delta.source, (0, 0))
            sums[delta.source] = firing + delta.firing, resolved + delta.resolved
        for source, (firing, resolved) in sums.items():
            self.episodes.add(firing, source, Status.FIRING)
            self.episodes.add(resolved, source, Status.RESOLVED)
        for correlation in changes.correlations:
            self.correlations.add(1, correlation.type)
        for outgoing in changes.outbox:
            # Others are only written again: postponed, or at their next attempt.
            if outgoing.created_ns == now_ns:
                self.planned.add(1, outgoing.reason)
        for entry in changes.entries:
            self.entries.add(1, entry.channel, entry.kind, entry.stage)
