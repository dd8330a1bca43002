"""`RecordFolder`: a SQLite file a day, `records/2026-11-22.db`. See the package.

Why files: forgetting a day is deleting a file, at no cost to the writer, and damage to one day
leaves the others. A damaged file is set aside as `*.corrupt`, counted, and a new one begun; what
it held is no longer found. A file is written through one connection, the latest
`OPEN_DAYS_MAX` stay open; each reader opens the file read-only for itself (0.1 ms).
"""

import logging
import sqlite3
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from heliograph.core.clock import Clock
from heliograph.core.errors import Unavailable
from heliograph.core.record import Record
from heliograph.store.records import chunks, dayfile, finding, row, search
from heliograph.store.records import day as days
from heliograph.store.records.chunks import Piece
from heliograph.store.records.finding import Key
from heliograph.store.state import batches, seam, sqlite_file

log = logging.getLogger(__name__)

T = TypeVar("T")
OPEN_DAYS_MAX = 4
# Records of one transaction.
APPEND_MAX = 5000
# Rows of `other` that one `retain` deletes.
RETAIN_ROWS_MAX = 10_000
_CORRUPT = ".db.corrupt"
# Where a record has its time.
_AT = Record._fields.index("timestamp_ns")


class _Matches(NamedTuple):
    """Of one day: the matches needed, those before them that are *passed* over, and how many there
    are in *total*."""

    keys: Sequence[Key] = ()
    passed: int = 0
    total: int = 0


class RecordFolder:
    """The records of one folder. `append` and `retain` take turns; readers wait for nobody.

    counts   `other` records kept outside the days kept apart, `other_expired` of those deleted by
             age and `other_dropped` by their bound, `days_corrupt` set aside, `days_expired` and
             `days_over_size` deleted
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._writing = threading.RLock()
        self._open: OrderedDict[int, sqlite3.Connection] = OrderedDict()
        # Replaced, never changed: readers take it without the lock.
        self._days = frozenset(_days_in(folder))
        self.counts: Counter[str] = Counter()

    @classmethod
    def open(cls, folder: Path, clock: Clock) -> "RecordFolder":
        """Open *folder*, made if absent. ConfigError when a newer version wrote it."""
        folder.mkdir(parents=True, exist_ok=True)
        opened = cls(folder, clock)
        if opened._days:
            newest = max(opened._days)
            # A full disk must not keep what is there from being read, or forgotten.
            with suppress(Unavailable):
                opened._on(newest, lambda: opened._writer(newest))
        return opened

    def append(
        self, records: Sequence[Record], docs: Sequence[bytes | None] = ()
    ) -> list[Record]:
        """Keep *records*, on disk when this returns; return, in order, those not there before. *docs*
        are what `document.packed` made of each, or nothing.

        Refused, with nothing kept, when one cannot be stored. Unavailable on a full or failing
        disk: some days may then be kept; appending all again is right.
        """
        by_id = row.by_id(records)
        with self._writing:
            parts = [
                (day, some)
                for day, of_day in sorted(self._by_day(by_id).items())
                for some in _cut(of_day)
            ]
            # They stand where their records do, as long as all of these are written together.
            theirs = docs if len(parts) == 1 and len(by_id) == len(docs) == len(records) else ()
            pieces = [
                (day, some, chunks.piece(some, theirs, together=day != days.OTHER))
                for day, some in parts
            ]
            fresh: set[bytes] = set()
            for day, some, piece in pieces:
                fresh |= self._append_to(day, some, piece)
        if len(fresh) == len(by_id):
            return list(by_id.values())
        return [record for id_, record in by_id.items() if id_ in fresh]

    def _by_day(self, by_id: dict[bytes, Record]) -> dict[int, dict[bytes, Record]]:
        now_ns = self._clock.now_ns()
        ats = list(map(itemgetter(_AT), by_id.values()))
        places = {
            day: days.place(day * days.DAY_NS, now_ns=now_ns, existing=self._days)
            for day in _days_of(ats)
        }
        if len(places) == 1:
            return dict.fromkeys(places.values(), by_id)
        found: dict[int, dict[bytes, Record]] = {}
        for at_ns, (id_, record) in zip(ats, by_id.items(), strict=True):
            found.setdefault(places[days.of(at_ns)], {})[id_] = record
        return found

    def query(self, **filters: Any) -> search.Page:
        """The page of records that match *filters*, those of `search.search`; newest first.

        Unavailable (`too_wide`) when it takes over `search.QUERY_S_MAX`.
        """
        asked = search.search(**filters)
        want = asked.offset + asked.limit
        found: list[tuple[Key, int]] = []
        total = passed = 0
        near = self._days_for(asked)
        for day in near:
            # `other` comes first and overlaps every day; the days follow each other.
            before = passed + sum(of_day != days.OTHER for _, of_day in found)
            need = want if day == days.OTHER else want - before
            passable = 0 if days.OTHER in near else asked.offset - before
            matches = _matches(asked, need, passable, search.TOTAL_MAX - total)
            here = self._read(day, _Matches(), matches)
            found += ((key, day) for key in here.keys)
            total += here.total
            passed += here.passed
            gave = here.passed + len(here.keys)
            if total >= search.TOTAL_MAX and gave >= need and day != days.OTHER:
                break
        found.sort(reverse=asked.newest_first)
        return search.Page(
            self._fetch(found[asked.offset - passed : want - passed]),
            min(total, search.TOTAL_MAX),
        )

    def retain(self, *, floor_ns: int, bytes_max: int) -> None:
        """Delete the days that ended by *floor_ns*, then the oldest above *bytes_max* in all.

        The newest day is never deleted for its size. What went is in `counts`.
        """
        floor_day = days.of(floor_ns)
        with self._writing:
            for day, aside in sorted(_aside_in(self._folder).items()):
                if day < floor_day:
                    sqlite_file.remove(aside)
            for day in sorted(self._days):
                if day != days.OTHER and day < floor_day:
                    self._remove(day, "days_expired")
            self._retain_other(floor_ns)
            self._shrink(bytes_max)

    def size_bytes(self) -> int:
        """Bytes on disk of all days, those set aside included."""
        paths = [self._path(day) for day in self._days] + list(_aside_in(self._folder).values())
        return sum(sqlite_file.size_of(path) for path in paths)

    def day_bytes(self) -> dict[int, int]:
        """Bytes on disk of each day that may go, that is of all but the newest."""
        dated = sorted(self._days - {days.OTHER})[:-1]
        return {day: sqlite_file.size_of(self._path(day)) for day in dated}

    def close(self) -> None:
        """Close every file."""
        with self._writing:
            while self._open:
                self._open.popitem()[1].close()

    def _append_to(self, day: int, some: Mapping[bytes, Record], piece: Piece) -> set[bytes]:
        """Keep *some*, which are *piece*; the ids that were not there yet."""
        known: set[bytes] = set()
        if day != days.OTHER and days.OTHER in self._days:
            # Stored when its day was still too far ahead.
            known = self._read(days.OTHER, known, lambda db: dayfile.present(db, piece.ids))
        while some:
            if known:
                some = {id_: record for id_, record in some.items() if id_ not in known}
                piece = chunks.piece(some, together=day != days.OTHER)
            known = self._insert(day, piece)
            if not known:
                break
        if day == days.OTHER:
            self.counts["other"] += len(some)
        return set(some)

    def _insert(self, day: int, piece: Piece) -> set[bytes]:
        return self._on(day, lambda: dayfile.insert(self._writer(day), piece))

    def _on(self, day: int, work: Callable[[], T]) -> T:
        """*work* on the writing connection of *day*; once more, on a new file, if it was damaged."""
        with self._writing:
            try:
                with self._translated(day):
                    return work()
            except _DamagedError:
                self._set_aside(day)
            with self._translated(day):
                return work()

    def _writer(self, day: int) -> sqlite3.Connection:
        if day not in self._open:
            path = self._path(day)
            if not path.exists():
                # A log left beside a file that is gone would be replayed into the new one.
                sqlite_file.remove(path)
                sqlite_file.create_private(path)
            while len(self._open) >= OPEN_DAYS_MAX:
                self._open.popitem(last=False)[1].close()
            self._open[day] = dayfile.open_writer(path)
            self._days |= {day}
        self._open.move_to_end(day)
        return self._open[day]

    def _read(self, day: int, default: T, work: Callable[[sqlite3.Connection], T]) -> T:
        """What *work* finds in *day*; *default* when the day went meanwhile, or proves damaged."""
        path = self._path(day)
        seen = sqlite_file.identity(path)
        try:
            with (
                self._translated(day, reading=True),
                dayfile.open_reader(path, self._clock) as connection,
            ):
                return work(connection)
        except _DamagedError:
            with self._writing:
                # Unless the writer saw the damage first and began a new file.
                if sqlite_file.identity(path) == seen:
                    self._set_aside(day)
        except Unavailable:
            if path.exists():
                raise
        return default

    @contextmanager
    def _translated(self, day: int, *, reading: bool = False) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if seam.damaged(error):
                raise _DamagedError from error
            if not reading and (failed := self._open.pop(day, None)):
                # After a failed sync only what a new connection reads is to be believed.
                failed.close()
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                wide = f"over {search.QUERY_S_MAX} s: narrow the time or the filters"
                raise Unavailable(wide, code="too_wide") from error
            raise Unavailable(f"records of {days.name(day)}: {error}") from error

    def _fetch(self, found: Sequence[tuple[Key, int]]) -> list[Record]:
        by_day: dict[int, dict[int, list[int]]] = {}
        for (_, _, n, place), day in found:
            by_day.setdefault(day, {}).setdefault(n, []).append(place)
        records: dict[tuple[int, int, int], Record] = {}
        for day, wanted in by_day.items():
            nothing: dict[tuple[int, int], Record] = {}
            for at, record in self._read(day, nothing, _documents(wanted)).items():
                records[day, *at] = record
        places = [(day, n, place) for (_, _, n, place), day in found]
        return [records[place] for place in places if place in records]

    def _days_for(self, asked: search.Search) -> list[int]:
        first, last = days.of(asked.start_ns), days.of(asked.end_ns - 1)
        near = [day for day in self._days if day != days.OTHER and first <= day <= last]
        other = [days.OTHER] if days.OTHER in self._days else []
        return other + sorted(near, reverse=asked.newest_first)

    def _retain_other(self, floor_ns: int) -> None:
        if days.OTHER not in self._days:
            return

        def expire() -> int:
            return dayfile.delete_before(self._writer(days.OTHER), floor_ns, RETAIN_ROWS_MAX)

        def trim() -> int:
            writer = self._writer(days.OTHER)
            return dayfile.trim(writer, days.OTHER_RECORDS_MAX, RETAIN_ROWS_MAX)

        self.counts["other_expired"] += self._on(days.OTHER, expire)
        self.counts["other_dropped"] += self._on(days.OTHER, trim)

    def _shrink(self, bytes_max: int) -> None:
        for aside in _aside_in(self._folder).values():
            if self.size_bytes() > bytes_max:
                sqlite_file.remove(aside)
        for day in sorted(self._days - {days.OTHER})[:-1]:
            if self.size_bytes() <= bytes_max:
                return
            self._remove(day, "days_over_size")

    def _remove(self, day: int, why: str) -> None:
        if writer := self._open.pop(day, None):
            writer.close()
        self._days -= {day}
        size = sqlite_file.remove(self._path(day))
        self.counts[why] += 1
        log.info("records deleted", extra={"day": days.name(day), "bytes": size, "why": why})

    def _set_aside(self, day: int) -> None:
        if writer := self._open.pop(day, None):
            writer.close()
        if self._path(day).exists():
            aside = sqlite_file.set_aside(self._path(day))
            self.counts["days_corrupt"] += 1
            log.error("records damaged, set aside", extra={"file": str(aside)})
        self._days -= {day}

    def _path(self, day: int) -> Path:
        return self._folder / f"{days.name(day)}.db"


class _DamagedError(Exception):
    """The file of a day is not a sound database."""


def _cut(records: dict[bytes, Record]) -> Iterator[dict[bytes, Record]]:
    """*records* in pieces of one transaction."""
    if len(records) <= APPEND_MAX:
        yield records
        return
    yield from map(dict, batches.cut(list(records.items()), APPEND_MAX))


def _days_of(ats: Sequence[int]) -> set[int]:
    """The days that *ats* fall in."""
    if ats and days.of(min(ats)) == days.of(max(ats)):
        return {days.of(ats[0])}
    return {days.of(at_ns) for at_ns in ats}


def _matches(
    asked: search.Search, need: int, passable: int, count_max: int
) -> Callable[[sqlite3.Connection], _Matches]:
    def work(db: sqlite3.Connection) -> _Matches:
        passed, keys = finding.keys(db, asked, need, passable) if need > 0 else (0, [])
        total = finding.count(db, asked, count_max) if count_max > 0 else 0
        return _Matches(keys, passed, total)

    return work


def _documents(
    wanted: Mapping[int, Sequence[int]],
) -> Callable[[sqlite3.Connection], dict[tuple[int, int], Record]]:
    return lambda db: finding.documents(db, wanted)


def _days_in(folder: Path) -> Iterator[int]:
    for path in folder.glob("*.db"):
        if (day := days.named(path.stem)) is not None:
            yield day


def _aside_in(folder: Path) -> Mapping[int, Path]:
    found = {days.named(p.name.removesuffix(_CORRUPT)): p for p in folder.glob(f"*{_CORRUPT}")}
    return {day: path for day, path in found.items() if day is not None}
