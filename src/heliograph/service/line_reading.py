"""What a frame of log lines comes to: joined, parsed, attributed and counted; on the applier's thread.

Ingest has parsed the lines that came whole, to answer the sender with counts, and left the result;
it holds while the site's own patterns are the same. All lines of a stretch are read with one set of
patterns, that of the stretch's beginning.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter

import numpy as np

from heliograph.core.training import TrainingRow
from heliograph.enrich.attribute import NAME, NO_IDENTITY, NO_WORKLOAD, POD_UID, UNKNOWN_POD
from heliograph.receive.lines import Line, LineBlock, decode_block
from heliograph.service import effects
from heliograph.service.effects import Effects, Given, KeepLines, Pods
from heliograph.service.findings import Findings
from heliograph.service.handover import Handover
from heliograph.service.line_parses import LineParses, Read
from heliograph.service.line_records import Origins
from heliograph.service.log_patterns import PatternBook
from heliograph.service.meters import Meters
from heliograph.service.pattern_tally import PatternTally
from heliograph.service.rule_feed import RuleFeed
from heliograph.service.unfinished import Unfinished, Whole
from heliograph.store.log.catalogue import Frame
from heliograph.training.framework import UNKNOWN
from heliograph.training.parse import Parsed

# Pods whose framework is remembered as counted; beyond it the oldest may be counted again.
DETECTED_MAX = 20_000

_POD_AND_FRAMEWORK = attrgetter("pod_uid", "framework")


class Owned:
    """Whose lines are. *pod_named* gives the uid of the pod of a namespace and name at an instant, or
    ""; *workload_of* the uid of a pod's workload, "" where it has none, None where nobody told of
    the pod.
    """

    def __init__(
        self,
        meters: Meters,
        *,
        pod_named: Callable[[str, str, int], str],
        workload_of: Callable[[str], str | None],
    ) -> None:
        self._meters = meters
        self._pod_named = pod_named
        self.workload_of = workload_of
        # By the uid that came with a line, whether it has an owner: the same all through a stretch.
        self._kinds: dict[str, tuple[bool, str]] = {}

    def refresh(self) -> None:
        """Ask anew whose the pods are."""
        self._kinds.clear()

    def pod_uid(self, line: Line) -> str:
        """Whose *line* is, where the shipper named the pod only by its name; "" when unknown."""
        if line.pod_uid or not line.pod_name:
            return line.pod_uid
        return self._pod_named(line.namespace, line.pod_name, line.at_ns)

    def pods(self, block: LineBlock) -> Pods:
        """The same of the lines of *block*."""
        sources = block.sources
        return Pods(
            [told if told or not name else None for told, _, name, *_ in sources],
            lambda source, at_ns: self._pod_named(
                sources[source][1], sources[source][2], at_ns
            ),
        )

    def count(self, lines: Sequence[Given]) -> None:
        """Whose lines are, as far as it is known now; a row is read by its pod's uid at any time."""
        self._count(
            Counter(self._kind(line.pod_uid, line.pod_name, uid) for line, uid, _ in lines)
        )

    def count_block(self, block: LineBlock) -> None:
        """The same of all lines of *block*."""
        kinds: Counter[tuple[bool, str]] = Counter()
        source_of = np.frombuffer(block.source_of, np.uint32)
        by_name = np.zeros(len(block.sources), np.bool_)
        for number, count in enumerate(np.bincount(source_of).tolist()):
            told, _, name, *_ = block.sources[number]
            by_name[number] = named = not told and name != ""
            if named:
                continue
            kind = self._kinds.get(told)
            if kind is None:
                kind = self._kinds[told] = self._kind(told, name, told)
            kinds[kind] = kinds.get(kind, 0) + count
        # Whose a name is depends on the time: line by line, but of all such sources in one pass.
        for place in np.flatnonzero(by_name[source_of]).tolist():
            told, namespace, name, *_ = block.sources[block.source_of[place]]
            uid = self._pod_named(namespace, name, block.at_ns[place])
            kinds[self._kind(told, name, uid)] += 1
        self._count(kinds)

    def _kind(self, told: str, name: str, pod_uid: str) -> tuple[bool, str]:
        """Whether a line of the pod *pod_uid*, of which *told* and *name* came with it, has an owner,
        and how it is known, or why it is not."""
        workload = self.workload_of(pod_uid) if pod_uid else None
        if workload:
            return True, POD_UID if told else NAME
        if pod_uid or name:
            return False, UNKNOWN_POD if workload is None else NO_WORKLOAD
        return False, NO_IDENTITY

    def _count(self, kinds: Counter[tuple[bool, str]]) -> None:
        for (owned, why), count in kinds.items():
            meter = self._meters.attributed if owned else self._meters.unattributed
            meter.add(count, "lines", why)


class LineReading:
    """Reads frames of lines. *unfinished* joins those that came in pieces, *findings* those that tell
    one thing together."""

    def __init__(
        self,
        owned: Owned,
        unfinished: Unfinished,
        patterns: PatternBook,
        meters: Meters,
        *,
        findings: Findings,
        keep_lines: KeepLines,
        rules: RuleFeed,
    ) -> None:
        self._owned = owned
        self._unfinished = unfinished
        self._patterns = patterns
        self._meters = meters
        self._findings = findings
        self._keep_lines = keep_lines
        self._rules = rules
        self._in_force = patterns.in_force()
        self._origins = Origins()
        self._parses = LineParses(patterns, meters)
        self._frameworks: dict[tuple[str, str], None] = {}
        self.handover = Handover()
        self.tally = PatternTally(patterns, meters)

    def refresh(self) -> None:
        """Take over the patterns of the moment; between two stretches only."""
        self._in_force = self._patterns.in_force()
        self._owned.refresh()

    def effects_of(self, frame: Frame) -> Effects:
        """What *frame* comes to; rules over lines and rows have seen it then."""
        read = self.handover.take(frame.seq, self._in_force.version, frame.payload)
        if read is None:
            read = self._parses.read(decode_block(frame.payload), self._in_force)
        self._findings.begin(frame.seq)
        if self._is_plain(frame.seq, read.block):
            # Most lines say nothing, and nobody asks for them one by one.
            found = self._plainly(read, frame)
        else:
            found = self._one_by_one(read, frame)
        for why, count in self._findings.given_up().items():
            self._meters.dropped.add(count, "findings", why)
        for kind, count in found.kinds.items():
            self._meters.log_lines.add(count, kind)
        for (framework, kind, rule), count in found.rules.items():
            self._meters.pattern_matches.add(count, framework, kind, rule)
        self._rules.heard(read.block.sources)
        self._rules.rows(found.rows, frame.seq, frame.arrival_ns)
        self._detect(found.rows)
        return found

    def _plainly(self, read: Read, frame: Frame) -> Effects:
        block = read.block
        self._owned.count_block(block)
        pods = self._owned.pods(block)
        found = effects.of_block(
            read,
            pods,
            self._origins,
            arrival_ns=frame.arrival_ns,
            keep_lines=self._keep_lines,
            findings=self._findings,
        )
        for place in self.tally.wanted(read):
            self.tally.note(
                read.parsed[place], block.text(place), pods.of(block, place), block.at_ns[place]
            )
        for place, hits in self._rules.wanted(read):
            line, pod_uid = block.line(place), pods.of(block, place)
            said = read.parsed[place]
            self._rules.line(line, pod_uid, frame.seq, frame.arrival_ns, said, hits)
        return found

    def _one_by_one(self, read: Read, frame: Frame) -> Effects:
        given = [
            Given(one.line, self._owned.pod_uid(one.line), self._parsed(one, read.parsed))
            for one in self._unfinished.whole(frame.seq, lambda: read.block)
        ]
        for why, count in self._unfinished.lost()._asdict().items():
            self._meters.dropped.add(count, "lines", why)
        self._owned.count(given)
        found = effects.of_lines(
            given,
            arrival_ns=frame.arrival_ns,
            keep_lines=self._keep_lines,
            findings=self._findings,
            seq=frame.seq,
        )
        for line, pod_uid, parsed in given:
            self._rules.line(line, pod_uid, frame.seq, frame.arrival_ns, parsed)
        self.tally.count(given)
        return found

    def _is_plain(self, seq: int, block: LineBlock) -> bool:
        """Whether each line of *block* stands for itself, and those that say nothing leave nothing."""
        return (
            self._keep_lines != "all"
            and block.all_whole
            and self._unfinished.idle(seq, block.at_ns)
            and self._findings.idle(block.blob)
        )

    def _detect(self, rows: Sequence[TrainingRow]) -> None:
        """Count the frameworks that *rows* show of a pod for the first time."""
        seen = self._frameworks
        for key in set(map(_POD_AND_FRAMEWORK, rows)) - seen.keys():
            if key[1] == UNKNOWN:
                continue
            if len(seen) >= DETECTED_MAX:
                del seen[next(iter(seen))]
            seen[key] = None
            self._meters.framework_detections.add(1, key[1], "log_lines", "log")

    def _parsed(self, whole: Whole, parsed: Sequence[Parsed | None]) -> Parsed:
        """What was read of the line where it came in one piece, else what we read of it."""
        known = None if whole.place is None else parsed[whole.place]
        return self._in_force.parse(whole.line.text) if known is None else known
