"""SegmentStore: the embedded sample store's face. The contract is that of the package.

    store = SegmentStore(folder, table, Retention(), clock)
    store.append(batch, seq); if store.should_seal(now_ns): cursor = store.seal()     applier
    store.select([parse('__name__="up"')], start_ns, end_ns, samples_max=100_000)     readers
    store.maintain(cuts=owners.cuts, dirty=owners.dirty())                            compaction

One thread appends and seals, one maintains, any number read, all at once.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from heliograph.core import labels as label
from heliograph.core.clock import Clock
from heliograph.core.errors import Unavailable
from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.store.protocol import Maintained, StoreStats
from heliograph.store.segments import compact, floors, listing, rolling
from heliograph.store.segments.catalogue import Catalogue
from heliograph.store.segments.floors import Retention
from heliograph.store.segments.head import Head
from heliograph.store.segments.name import FLOOR, RAW, SEALED, WINDOW_NS, SegmentName
from heliograph.store.segments.pick import Pick
from heliograph.store.segments.read import Reading
from heliograph.store.segments.rolling import CutsOf, Written
from heliograph.store.segments.select import Selection, select
from heliograph.store.segments.write import partitioned, sorted_heads, write

# 20 bytes a sample: 40 MB in memory, and twice that while a seal is under way.
HEAD_SAMPLES_MAX = 2_000_000
SEAL_AFTER_S = 300.0
# Samples older than the raw floor are read more dearly, so they do not wait as long.
SEAL_LATE_AFTER_S = 5.0
LABELS_CACHED_MAX = 65_536
SERIES_LISTED_MAX = 100_000
# How often a read starts again because maintenance replaced a file under it.
READ_TRIES_MAX = 10


class Listed(NamedTuple):
    """Label sets (or metric names) in order; *truncated* when there are more than were asked for."""

    items: list[Labels]
    truncated: bool


class SegmentStore:
    """Samples in *folder*, kept as *retention* says by the time *believed_ns*, which is that of
    *clock* where none is given. Opening reads names only, and never fails on what it finds in the
    folder. Raises Unavailable when the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        table: SeriesTable,
        retention: Retention,
        clock: Clock,
        *,
        seal_after_s: float = SEAL_AFTER_S,
        believed_ns: Callable[[], int] | None = None,
    ) -> None:
        self._seal_after_s = seal_after_s
        self._table = table
        self._retention = retention
        self._clock = clock
        self._believed_ns = believed_ns or clock.now_ns
        self._counts: Counter[str] = Counter()
        self._unpack = lru_cache(LABELS_CACHED_MAX)(label.unpack)
        try:
            self._catalogue = Catalogue(folder, Head(clock.monotonic_s()))
        except OSError as error:
            raise Unavailable(f"{folder}: {error}") from error
        view = self._catalogue.view
        left = view.floors._replace(minute_ns=floors.left_minute_ns(view))
        self._catalogue.publish(floors=left)
        self._raise_floors(self._believed_ns())

    @property
    def sealed_seq(self) -> int:
        """Frames up to here are in segments; `append` skips them. -1 when there is none."""
        return self._catalogue.sealed_seq

    @property
    def raw_floor_ns(self) -> int:
        """Samples at or after it are read raw, those before as rows."""
        return self._catalogue.view.raw_floor_ns

    def series_in_use(self) -> frozenset[int]:
        """Series ids that the head holds, which the series table must not forget."""
        return frozenset().union(*(list(head.packed) for head in self._catalogue.view.heads))

    def append(self, batch: SampleBatch, seq: int) -> None:
        """Take *batch*, which the log's frame *seq* carried; frames in order, an empty one too.

        Appending a frame again changes nothing. Raises Unavailable when sealing lags so far that
        the head is twice HEAD_SAMPLES_MAX.
        """
        if seq <= self._catalogue.sealed_seq:
            self._counts["replayed_samples"] += batch.count
            return
        heads = self._catalogue.view.heads
        if sum(head.samples for head in heads) >= 2 * HEAD_SAMPLES_MAX:
            raise Unavailable("the head is full: samples cannot be sealed")
        head = heads[-1]
        if not head.samples:
            head.since_s = self._clock.monotonic_s()
        head.append(batch, seq, self._table.packed)

    def should_seal(self, now_ns: int) -> bool:
        """Whether the head is large, old, or holds samples that should be in roll-ups by now."""
        heads = self._catalogue.view.heads
        samples = sum(head.samples for head in heads)
        if not samples:
            return False
        age_s = self._clock.monotonic_s() - min(head.since_s for head in heads if head.samples)
        if samples >= HEAD_SAMPLES_MAX or age_s >= self._seal_after_s:
            return True
        target_ns = floors.raw_target_ns(self._retention, now_ns)
        low_ns = min(head.low_ns for head in heads if head.low_ns is not None)
        return low_ns < target_ns and age_s >= SEAL_LATE_AFTER_S

    def seal(self) -> int:
        """Write the head as segments, durably; the last frame that is now in segments.

        A crash at any point is harmless: of an unfinished seal nothing is read, and the log has
        it. Raises Unavailable when the medium refuses; the head then stays as it was.
        """
        catalogue = self._catalogue
        frozen = catalogue.view.heads
        last_seq = max(head.last_seq for head in frozen)
        if last_seq <= catalogue.sealed_seq:
            return catalogue.sealed_seq
        head = Head(self._clock.monotonic_s())
        catalogue.publish(heads=(*frozen, head))
        added: list[tuple[SegmentName, int]] = []
        try:
            for one in self._written(frozen, last_seq):
                added.append(one)  # noqa: PERF402  # a failure takes back those before it
            catalogue.sync()
            catalogue.mark(SEALED, last_seq)
        except OSError as error:
            catalogue.undo_seal(last_seq, added)
            raise Unavailable(f"cannot seal: {error}") from error
        catalogue.publish(added=added, heads=(head,))
        self._counts["files_written"] += len(added)
        return last_seq

    def _written(
        self, heads: Sequence[Head], last_seq: int
    ) -> Iterator[tuple[SegmentName, int]]:
        samples = sorted_heads(heads)
        kept = samples.columns[0] >= self._catalogue.view.hour_floor_ns
        if not kept.all():
            self._counts["too_old_samples"] += int((~kept).sum())
            columns = tuple(column[kept] for column in samples.columns)
            samples = samples._replace(sid=samples.sid[kept], columns=columns)
        first_seq = min(head.first_seq for head in heads if head.first_seq is not None)
        if not len(samples.sid):
            return
        # Filed by the clock itself: a time that lags behind would take the present for far ahead.
        for span, part in partitioned(samples, self._clock.now_ns()):
            name = self._catalogue.new_name(RAW, 0, span, (first_seq, last_seq))
            yield name, write(self._catalogue, name, part)

    def select(
        self,
        matchers: Sequence[Matcher],
        start_ns: int,
        end_ns: int,
        *,
        samples_max: int,
        cuts: CutsOf | None = None,
    ) -> Selection:
        """Series that fulfil *matchers* over [start_ns, end_ns): rows, then samples.

        At most *samples_max* samples and rows together (more only where one instant alone has
        more). *cuts*, as `maintain`'s, cut the rows of late samples that no roll-up counts yet.
        Raises Unavailable when files change faster than they can be read.
        """
        for _ in range(READ_TRIES_MAX):
            try:
                return select(
                    self._catalogue.view,
                    self._reading(),
                    matchers,
                    start_ns=start_ns,
                    end_ns=end_ns,
                    samples_max=samples_max,
                    cuts_of=cuts,
                )
            except FileNotFoundError as error:
                self._catalogue.note_missing(Path(error.filename).name)
            except OSError as error:
                raise _unreadable(error) from error
        raise Unavailable("segments change faster than they are read")

    def label_sets(
        self,
        matchers: Sequence[Matcher],
        start_ns: int,
        end_ns: int,
        *,
        limit: int = SERIES_LISTED_MAX,
    ) -> Listed:
        """Labels of series that fulfil *matchers* and are in a file that overlaps the range."""
        pick = Pick(matchers, self._unpack)
        try:
            packed = listing.packed_labels(
                self._catalogue, pick, start_ns=start_ns, end_ns=end_ns, enough=limit + 1
            )
        except OSError as error:
            raise _unreadable(error) from error
        found = sorted(map(self._unpack, packed[:limit]))
        return Listed(found, len(packed) > limit)

    def metric_names(
        self, matchers: Sequence[Matcher], start_ns: int, end_ns: int
    ) -> tuple[str, ...]:
        """Names of metrics that have such series, ascending."""
        if all(matcher.name == label.NAME for matcher in matchers):
            try:
                return listing.metric_names(self._catalogue, Pick(matchers), start_ns, end_ns)
            except OSError as error:
                raise _unreadable(error) from error
        listed = self.label_sets(matchers, start_ns, end_ns)
        return tuple(sorted({label.get(labels, label.NAME) for labels in listed.items} - {""}))

    def maintain(self, *, cuts: CutsOf, dirty: Sequence[tuple[int, int]]) -> Maintained:
        """Do all compaction, roll-ups and retention that are due.

        cuts    (labels, start_ns, end_ns) → instants at which the series' owner changes: rows
                are cut there, so that none spans two owners
        dirty   ranges of event time in which owners changed: their roll-ups are made anew while
                the raw samples are there

        Not to be called before the log has been replayed into the store: what waits there may
        repeat what is in files, and is counted once only while these are there. Raises
        Unavailable when the medium refuses; what was done until then stays done.
        """
        try:
            return self._maintained(cuts, dirty)
        except OSError as error:
            self._drop_expired()
            raise Unavailable(f"cannot maintain segments: {error}") from error

    def too_old_in_head(self) -> int:
        """Samples of the head that `seal` would leave out, since they are older than anything kept."""
        view = self._catalogue.view
        return sum(
            int((batch.at_ns < view.hour_floor_ns).sum())
            for head in view.heads
            for batch in head.batches()
        )

    def _drop_expired(self) -> None:
        """Let go of the files of which nothing is kept any more: that needs no room, and makes some."""
        floor_ns = floors.hour_target_ns(self._retention, self._believed_ns())
        expired = [name for name in self._catalogue.view.files if name.end_ns <= floor_ns]
        with contextlib.suppress(OSError):
            self._catalogue.publish(removed=expired)
            self._counts["expired_files"] += len(expired)

    def _maintained(self, cuts: CutsOf, dirty: Sequence[tuple[int, int]]) -> Maintained:
        catalogue = self._catalogue
        done = compact.compacted(catalogue, self._clock.now_ns())
        believed_ns = self._believed_ns()
        windows = set(floors.due(catalogue.view, self._retention, believed_ns))
        for window_ns in sorted(windows | self._dirty(dirty)):
            done = done.plus(rolling.made_anew(catalogue, window_ns, cuts))
        for kind in ("1m", "1h"):
            done = done.plus(rolling.folded(catalogue, kind, cuts))
        self._raise_floors(believed_ns)
        gone_ns = floors.gone_target_ns(catalogue.view)
        if gone_ns > catalogue.view.gone_ns:
            catalogue.mark(FLOOR, gone_ns)
            catalogue.publish(gone_ns=gone_ns)
        expired = floors.expired(catalogue.view)
        expired_bytes = sum(catalogue.sizes.get(name, 0) for name in expired)
        catalogue.publish(removed=expired)
        for kind in ("1h", "1m"):
            done = done.plus(rolling.merged_days(catalogue, kind))
        self._note(done, expired)
        return Maintained(*done, len(expired), expired_bytes)

    def _note(self, done: Written, expired: Sequence[SegmentName]) -> None:
        self._counts["files_written"] += done.files
        self._counts["expired_files"] += len(expired)

    def _dirty(self, ranges: Sequence[tuple[int, int]]) -> set[int]:
        """Windows of *ranges* that have roll-ups and still all their raw files."""
        if not ranges:
            return set()
        view = self._catalogue.view
        rolled = view.coverage("1h")
        raw = {
            w
            for name in view.raw()
            for w in name.windows_in(view.gone_ns, max(rolled, default=0) + 1)
        }
        return {
            window
            for window in rolled.keys() & raw
            if window >= view.gone_ns
            and any(start < window + WINDOW_NS and window < end for start, end in ranges)
        }

    def _raise_floors(self, believed_ns: int) -> None:
        view = self._catalogue.view
        risen = floors.risen(view, self._retention, believed_ns)
        if risen != view.floors:
            self._catalogue.publish(floors=risen)

    def _reading(self) -> Reading:
        catalogue = self._catalogue
        return Reading(catalogue.folder, catalogue.index_of, catalogue.lost_rows, self._unpack)

    def stats(self) -> StoreStats:
        """Figures for self-metrics."""
        view = self._catalogue.view
        sizes = dict(self._catalogue.sizes)
        files = Counter(name.kind for name in view.files)
        size_bytes: Counter[str] = Counter()
        for name in view.files:
            size_bytes[name.kind] += sizes.get(name, 0)
        return StoreStats(
            series_in_head=sum(len(head.packed) for head in view.heads),
            samples_in_head=sum(head.samples for head in view.heads),
            files=dict(files),
            size_bytes=dict(size_bytes),
            raw_floor_ns=view.raw_floor_ns,
            sealed_seq=self._catalogue.sealed_seq,
            # Copies, each made at once: a sum goes through counters that others count in.
            counts=dict(Counter(self._catalogue.counts) + Counter(self._counts)),
        )

    def close(self) -> None:
        """Let go of what is cached. The head is not sealed: the log has it."""
        self._catalogue.indexes.drop(self._catalogue.view.files)
        self._unpack.cache_clear()


def _unreadable(error: OSError) -> Unavailable:
    return Unavailable(f"cannot read segments: {error}")
