"""What is given to try a rule over, read as what streams in is: by the same code.

reading = TrialReading(owners, patterns)
[*reading.lines([({"log": "[rank0]: NCCL error\\n", "kubernetes": {…}}, at_ns)])]
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from heliograph.alert.model import Context, Post
from heliograph.alert.rules.rule import Said
from heliograph.alert.rules.trial_inputs import Heard
from heliograph.core.record import Record
from heliograph.enrich.records import whose
from heliograph.receive import logs
from heliograph.receive.lines import Line, PartialLines, source
from heliograph.receive.logs import LogLimits
from heliograph.service import alert_traces
from heliograph.service.alert_context import AlertContext
from heliograph.service.log_patterns import PatternBook
from heliograph.service.owners import Owners
from heliograph.service.rule_said import alert_owner, said_by, speaker_of, told_by
from heliograph.training.clean import uncolored

_LIMITS = LogLimits()


class TrialReading:
    """Reads under the placements and the site's patterns of the moment."""

    def __init__(self, owners: Owners, patterns: PatternBook) -> None:
        self._directory = owners.directory
        self._parse = patterns.in_force().parse
        context = AlertContext(owners.directory)
        self.owner, self.whose = context.of_pod, alert_owner(context)

    def lines(self, entries: Iterable[tuple[Mapping[str, Any], int]]) -> Iterator[Heard]:
        """The whole lines of *entries*, of `POST /v1/logs`, each with its time; see `Heard`."""
        partial = PartialLines()
        for place, (entry, at_ns) in enumerate(entries):
            batch = logs.decode(
                msgspec.json.encode([entry]),
                content_encoding=None,
                arrival_ns=at_ns,
                sender="",
                limits=_LIMITS,
            )
            for one in batch.lines:
                for line in partial.join(one):
                    yield self._heard(place, line)

    def record(self, record: Record) -> Said:
        """*record*, as rules are told it."""
        return said_by(record, self.owner)

    def trace(self, given: Mapping[str, Any], hints: Context, at_ns: int, told: int) -> Record:
        """The operation that *given*, the *told*-th trace alert, tells of."""
        raw = msgspec.json.encode(given)
        return alert_traces.record(
            Post("trace", (), "", (), at_ns + told, at_ns, 0, hints=hints, raw=raw)
        )

    def _heard(self, place: int, line: Line) -> Heard:
        teller, text = source(line), uncolored(line.text)
        pod_uid = line.pod_uid
        if not pod_uid and line.pod_name:
            pod_uid = whose(
                self._directory(),
                pod_name=line.pod_name,
                namespace=line.namespace,
                at_ns=line.at_ns,
            ).pod_uid
        client, context, labels, _ = speaker_of(pod_uid, teller, self.owner)
        said = Said(line.at_ns, client, context, labels, text, teller)
        return Heard(place, said, lambda: told_by(text, self._parse(line.text)))
