"""FolderStore: events and points in a data folder that lasts, laid out as the service's own.

    data/telemetry/heliograph.lock   log/   segments/   records/

What was answered is in the log, on disk. From there it goes into the head of the segments and the
record store, at once or as soon as these have a hand free; what a crash catches before that is
replayed when the folder is opened. `heliograph serve` with this data_dir can have the folder when we
are done with it, and goes on where we stopped.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError, Refused, Unavailable
from heliograph.core.record import Record
from heliograph.kernels import metric_rows
from heliograph.kernels.metric_rows import Key, Rows, Taken
from heliograph.recorder import forking, ids, moments, query
from heliograph.recorder import points as recorded
from heliograph.recorder.points import Event, Point
from heliograph.recorder.store import Asked, Expired, Policy, Usage
from heliograph.recorder.wiring import committing
from heliograph.recorder.wiring.committing import Committer
from heliograph.recorder.wiring.series import key_of
from heliograph.recorder.wiring.stores import FolderStores
from heliograph.recorder.wiring.upkeep import Upkeep
from heliograph.store.log.disk import Disk
from heliograph.wire import records as wire_records

log = logging.getLogger(__name__)

_T = TypeVar("_T")

SERIES_MAX = 100_000
BUFFER_MAX = 100_000
# Of an event's data, as it is written.
EVENT_BYTES_MAX = 4 << 20


class FolderLimits(NamedTuple):
    """Bounds: series (metric and context), and items that wait when buffered."""

    series_max: int = SERIES_MAX
    buffer_max: int = BUFFER_MAX


class FolderStore:
    """The store in *folder*, durable call by call, or *buffered*: then a process that is killed
    loses what it recorded in the last 50 ms, at most `buffer_max` items.

    ConfigError when another process has the folder, or it cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        policy: Policy,
        clock: Clock,
        *,
        session_id: str,
        buffered: bool = False,
        limits: FolderLimits | None = None,
        disk: Disk | None = None,
    ) -> None:
        bounds = limits or FolderLimits()
        self._clock = clock
        self._session_id = session_id
        self._buffered = buffered
        self._closed = ""
        # To the process that we were forked from.
        self._left = False
        try:
            self._stores = FolderStores(
                folder, policy, clock, series_max=bounds.series_max, disk=disk
            )
        except (Unavailable, OSError) as error:
            raise ConfigError(f"{folder}: {error}") from error
        prefix, number = ids.drawn()
        made = metric_rows.Rows(
            clock.now_ns,
            moments.Stamps().text,
            moments.at_ns_of,
            prefix,
            number,
            rows_max=bounds.buffer_max,
            group_max=committing.GROUP_MAX,
        )
        self.rows: Rows | None = made if buffered else None
        self._generation = self._stores.generation
        self._committer = Committer(self._write, made, buffer_max=bounds.buffer_max)
        self._at_work = self._committer.at_work
        # Closed in the middle of the stores, which are closed when that is over.
        self._close_due = False
        self._upkeep = Upkeep(
            clock,
            tend=lambda: self._inside(self._stores.tend),
            maintain=lambda: self._inside(self._stores.maintain),
            retain=lambda: self._inside(lambda: self._retain_by(policy)),
        )
        forking.watch(self)

    def add_point(self, point: Point) -> None:
        """As `RecorderStore.add_point`."""
        if type(point.value) is not float:
            self._add_checked(point)
        elif self._closed or (self._stores.full and not self._stores.knows(point.name)):
            self._refuse(point.name)
        elif self._buffered:
            self._committer.offer(_rows((point,)), ())
        else:
            self._committer.submit((point,), ())

    def add_points(self, points: Sequence[Point]) -> None:
        """As `RecorderStore.add_points`."""
        numbers: list[Point] = []
        words: list[Record] = []
        for point in points:
            checked = point if type(point.value) is float else _number(point)
            if checked is None:
                words.append(self._text_record(point))
            else:
                if self._stores.full and not self._stores.knows(point.name):
                    self._refuse(point.name)
                numbers.append(checked)
        if self._closed:
            self._refuse("")
        if words:
            self._stores.texts = True
        if self._buffered:
            self._committer.offer(_rows(numbers), words)
        elif points:
            self._committer.submit(numbers, words)

    def add_event(self, event: Event) -> None:
        """As `RecorderStore.add_event`. Refused beyond EVENT_BYTES_MAX."""
        record = recorded.record_of_event(event, self._session_id, self._clock.now_ns())
        self._add_record(record)

    def metrics(self, asked: Asked) -> dict[str, Any]:
        """As `RecorderStore.metrics`: all that was recorded before is in it."""
        self._check_open()
        if self._committer.buffered and not self._committer.failing:
            self._committer.flush()
        return self._inside(lambda: self._settled_metrics(asked))

    def usage(self) -> Usage:
        """As `RecorderStore.usage`."""
        if self._left:
            return Usage(0.0, {}, self._closed)
        counts = {**self._stores.tally(), "lost": self._committer.lost}
        failing = self._closed or self._committer.failing or self._upkeep.failing
        return Usage(self._stores.percentage(), counts, failing)

    def retain(self, policy: Policy, now_ns: int, *, dry_run: bool) -> Expired:
        """As `RecorderStore.retain`."""
        self._check_open()
        if not dry_run:
            self.flush()
        return self._inside(lambda: self._stores.retain(policy, now_ns, dry_run=dry_run))

    def flush(self) -> None:
        """As `RecorderStore.flush`."""
        if self._left:
            self._check_open()
        self._committer.flush()

    def close(self) -> None:
        """As `RecorderStore.close`."""
        if self._closed:
            return
        self._shut("the recorder is closed")
        if not self._at_work.mine:
            self._close()
        elif threading.current_thread() is threading.main_thread():
            self._close_due = True
        else:
            # A finaliser, maybe in one of our own threads, which could not wait for itself.
            threading.Thread(target=self._close, name="recorder-close").start()

    def _close(self) -> None:
        self._close_due = False
        self._committer.close()
        if self._committer.lost:
            log.warning("recorded items lost at close", extra={"items": self._committer.lost})
        self._upkeep.close()
        self._stores.close()

    def begin_again(self) -> None:
        """In the child of a fork: the folder is the parent's, and so are the threads."""
        if self._closed:
            return
        self._left = True
        self._shut("the folder belongs to the process that opened it; record over HTTP here")
        self._stores.lock.release()

    def _inside(self, work: Callable[[], _T]) -> _T:
        """What `work()` comes to, whose thread is in the middle of the stores so long."""
        try:
            with self._at_work.enter():
                return work()
        finally:
            is_main = threading.current_thread() is threading.main_thread()
            if self._close_due and is_main and not self._at_work.mine:
                self._close()

    def _settled_metrics(self, asked: Asked) -> dict[str, Any]:
        self._stores.settle()
        return query.answer(self._stores.source(), asked)

    def _shut(self, why: str) -> None:
        self._closed = why
        if self.rows is not None:
            self.rows.open = False

    def _write(
        self, points: Sequence[Point], records: Sequence[Record], rows: Taken | None = None, /
    ) -> None:
        self._stores.write(points, records, rows)
        if self.rows is not None and self._stores.generation != self._generation:
            # Whether there is room for a series that was forgotten is asked again.
            self._generation = self._stores.generation
            self.rows.forget()
        if self._stores.busy:
            self._upkeep.wake()

    def _retain_by(self, policy: Policy) -> None:
        if any(span is not None for span in policy):
            self._stores.retain(policy, self._clock.now_ns(), dry_run=False)

    def _add_checked(self, point: Point) -> None:
        number = _number(point)
        if number is not None:
            self.add_point(number)
            return
        record = self._text_record(point)
        self._stores.texts = True
        self._add_record(record)

    def _add_record(self, record: Record) -> None:
        self._check_open()
        size = len(wire_records.encode([record]))
        if size > EVENT_BYTES_MAX:
            raise Refused(f"an event of {size} bytes, limit {EVENT_BYTES_MAX}", status=413)
        if self._buffered:
            self._committer.offer((), (record,))
        else:
            self._committer.submit((), (record,))

    def _text_record(self, point: Point) -> Record:
        return recorded.record_of_text(point, self._session_id, self._clock.now_ns())

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable(self._closed, code="closed")

    def _refuse(self, name: str) -> None:
        self._check_open()
        raise Unavailable(f"no room for one more metric, {name!r}", code="too_many_metrics")


def _number(point: Point) -> Point | None:
    """*point* with a float, None when its value is text. OverflowError for what is no float."""
    value = point.value
    if isinstance(value, str):
        return None
    return point._replace(value=float(value))


def _rows(numbers: Sequence[Point]) -> list[tuple[Key, int, float]]:
    return [
        (
            name if context is None and type(name) is str else key_of(name, context),
            at_ns,
            float(value),
        )
        for name, value, context, at_ns, _, _ in numbers
    ]
