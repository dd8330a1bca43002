"""When a scheduled silence is in force: from each tick of a cron line on, for a duration.

    {"cron": "0 2 * * sun", "duration": "4h", "timezone": "Europe/Berlin"}

The cron line has five fields and Debian's rules for summer time: what would start in the hour that
is skipped starts right after it, what would start twice starts once. The duration is elapsed time.
Windows that meet are one.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cronsim import CronSim, CronSimError

from heliograph.alert import intervals
from heliograph.core import duration
from heliograph.core.duration import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from heliograph.core.errors import Refused

CRON_CHARACTERS_MAX = 200
DURATION_NS_MIN = MINUTE_NS
DURATION_NS_MAX = 366 * DAY_NS
# Windows that are joined to one before we stop looking for its end; then it is looked for again.
JOINED_MAX = 200

_KEYS = ("cron", "duration", "timezone")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A clock put back may repeat up to so much of the day; ticks are looked for from before that.
_FOLD_NS = 3 * HOUR_NS
_FOREVER_NS = 2**63 - 1


def checked(document: Any, *, field: str = "schedule") -> dict[str, str] | None:
    """*document* when it is a schedule, None when there is none. Raises Refused naming the key."""
    if document is None:
        return None
    if not isinstance(document, Mapping):
        raise Refused(f"{field}: expected an object", field=field)
    for key in document:
        if key not in _KEYS:
            raise Refused(f"{field}.{key}: unknown key", field=f"{field}.{key}")
    for key in ("cron", "duration"):
        if not isinstance(document.get(key), str):
            raise Refused(f"{field}.{key}: expected text", field=f"{field}.{key}")
    kept = {**document, "timezone": document.get("timezone") or "UTC"}
    for key, check in (
        ("timezone", _zone),
        ("duration", _duration_ns),
        ("cron", _ticks_at_all),
    ):
        try:
            check(kept)
        except ValueError as error:
            raise Refused(f"{field}.{key}: {error}", field=f"{field}.{key}") from error
    return kept


class Schedule:
    """The windows of one schedule. Asked about rising instants, it remembers where it is.

    Raises ValueError for a document that `checked` would refuse.
    """

    __slots__ = ("_cron", "_end_ns", "_inside", "_length_ns", "_start_ns", "_zone")

    def __init__(self, document: Mapping[str, str]) -> None:
        self._cron = document["cron"]
        self._zone = _zone(document)
        self._length_ns = _duration_ns(document)
        _ticks_at_all(document)
        # What is known: in [_start_ns, _end_ns) it is in force, or not.
        self._start_ns = self._end_ns = 0
        self._inside = False

    def in_force(self, now_ns: int) -> bool:
        """Whether a window contains *now_ns*."""
        self._look(now_ns)
        return self._inside

    def _look(self, now_ns: int) -> None:
        if self._start_ns <= now_ns < self._end_ns:
            return
        begin_ns = self._window(now_ns)
        self._start_ns = now_ns if begin_ns is None else begin_ns
        self._inside = begin_ns is not None
        if begin_ns is None:
            self._end_ns = next(self._ticks(now_ns), _FOREVER_NS)
            return
        end_ns = begin_ns + self._length_ns
        for joined, tick_ns in enumerate(self._ticks(begin_ns)):
            if tick_ns > end_ns or joined >= JOINED_MAX:
                break
            end_ns = tick_ns + self._length_ns
        self._end_ns = max(end_ns, now_ns + 1)

    def _window(self, now_ns: int) -> int | None:
        """The start of a window that contains *now_ns*; looked for backwards in growing steps."""
        back_ns = min(MINUTE_NS, self._length_ns)
        while True:
            for tick_ns in self._ticks(now_ns - back_ns):
                if tick_ns > now_ns:
                    break
                return tick_ns
            if back_ns >= self._length_ns:
                return None
            back_ns = min(2 * back_ns, self._length_ns)

    def _ticks(self, after_ns: int) -> Iterator[int]:
        """Ticks after *after_ns*, rising."""
        last_ns = after_ns
        local = _moment(after_ns).astimezone(self._zone)
        # Within a repeated hour cron's search may begin too late: it does not tell one from the other.
        ambiguous = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        start = (_moment(after_ns - _FOLD_NS)).astimezone(self._zone) if ambiguous else local
        try:
            for tick in CronSim(self._cron, start):
                tick_ns = _instant_ns(tick)
                if tick_ns > last_ns:
                    last_ns = tick_ns
                    yield tick_ns
        except CronSimError:
            return


def _zone(document: Mapping[str, Any]) -> Any:
    if not isinstance(document["timezone"], str) or document["timezone"] == intervals.LOCAL:
        raise ValueError("expected the name of a time zone")
    return intervals.zone(document["timezone"])


def _duration_ns(document: Mapping[str, Any]) -> int:
    length_ns = duration.parse(document["duration"])
    if not DURATION_NS_MIN <= length_ns <= DURATION_NS_MAX:
        raise ValueError(f"{document['duration']!r} is not between 1m and 366d")
    return length_ns


def _ticks_at_all(document: Mapping[str, Any]) -> None:
    cron = document["cron"]
    if len(cron) > CRON_CHARACTERS_MAX or len(cron.split()) != 5:
        raise ValueError(f"not a cron line: {cron[:64]!r} (minute hour day month weekday)")
    try:
        next(CronSim(cron, _EPOCH + timedelta(days=365 * 50)))
    except (CronSimError, StopIteration, RuntimeError) as error:
        raise ValueError(f"not a cron line that ever ticks: {cron!r}: {error}") from error


def _moment(at_ns: int) -> datetime:
    return _EPOCH + timedelta(seconds=at_ns // SECOND_NS)


def _instant_ns(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND_NS
