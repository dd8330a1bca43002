"""Silences: what may become of one, and which alerts they hold back.

    pending ──► active ──► expired        by the clock alone, in [starts_ns, ends_ns)

A change keeps the id while the silence can simply go on (R-Si4): an active one's end and words, and
all times of a pending one. Anything else expires it and makes a new one, so that what was silenced
when stays true. Nothing is ever erased here; the expired leave after `RETENTION_NS`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct, structs

from heliograph.alert import matching
from heliograph.alert.model import Silence
from heliograph.alert.schedule import Schedule
from heliograph.core.duration import HOUR_NS, SECOND_NS
from heliograph.core.errors import Refused
from heliograph.core.matcher import Matcher

RETENTION_NS = 120 * HOUR_NS
TEXT_CHARACTERS_MAX = 4096
# Those that have not expired, and all that are listed.
SILENCES_MAX = 5_000
LISTED_MAX = 50_000
# Remembered answers; then all are forgotten.
CACHE_MAX = 200_000


class State(StrEnum):
    """Of a silence, at an instant."""

    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"


class Wanted(Struct, frozen=True):
    """A silence as somebody asks for it. *id* "" asks for a new one; a start of None means now.

    begun   a start in the past says only that it has begun, so that the document it was made with
            extends it; to Alertmanager another start asks for another silence
    """

    matchers: tuple[Matcher, ...]
    starts_ns: int | None
    ends_ns: int | None
    created_by: str = ""
    comment: str = ""
    schedule: dict[str, str] | None = None
    id: str = ""
    begun: bool = False


def state(silence: Silence, now_ns: int) -> State:
    """Pending before its start, expired from its end on, active between."""
    if now_ns >= silence.ends_ns:
        return State.EXPIRED
    return State.PENDING if now_ns < silence.starts_ns else State.ACTIVE


def validate(wanted: Wanted) -> None:
    """Raises Refused when *wanted* could never be a silence, whatever the time is."""
    if not wanted.matchers:
        raise _refused("matchers", "silence invalid: empty list of matchers")
    for index, matcher in enumerate(wanted.matchers):
        if not matching.valid_name(matcher.name):
            raise _refused(f"matchers[{index}].name", "silence invalid: invalid label matcher")
    # Negative ones alone are allowed, though they match what is missing.
    if all(one.op in {"=", "=~"} and one.matches("") for one in wanted.matchers):
        raise _refused(
            "matchers",
            "silence invalid: at least one matcher must not match the empty string",
        )
    if wanted.starts_ns is None:
        raise _refused("starts_at", "silence invalid: invalid zero start timestamp")
    if wanted.ends_ns is None:
        raise _refused("ends_at", "silence invalid: invalid zero end timestamp")
    if wanted.ends_ns < wanted.starts_ns:
        raise _refused("ends_at", "silence invalid: end time must not be before start time")
    for field in ("created_by", "comment"):
        if len(getattr(wanted, field)) > TEXT_CHARACTERS_MAX:
            raise _refused(field, f"longer than {TEXT_CHARACTERS_MAX} characters")


def create(wanted: Wanted, *, now_ns: int, new_id: str) -> Silence:
    """The new silence that *wanted* asks for; a start in the past is moved to now.

    Raises Refused.
    """
    starts_ns = now_ns if wanted.starts_ns is None else wanted.starts_ns
    wanted = structs.replace(wanted, starts_ns=starts_ns)
    if wanted.ends_ns is not None and starts_ns >= wanted.ends_ns:
        raise _refused("ends_at", "start time must be before end time")
    if wanted.ends_ns is not None and wanted.ends_ns <= now_ns:
        raise _refused("ends_at", "end time can't be in the past")
    validate(wanted)
    assert wanted.ends_ns is not None
    return Silence(
        id=new_id,
        matchers=tuple(matching.triple(matcher) for matcher in wanted.matchers),
        starts_ns=max(starts_ns, now_ns),
        ends_ns=wanted.ends_ns,
        created_by=wanted.created_by,
        comment=wanted.comment,
        created_ns=now_ns,
        updated_ns=now_ns,
        schedule=wanted.schedule,
    )


def update(
    existing: Silence | None, wanted: Wanted, *, now_ns: int, new_id: str
) -> tuple[Silence, ...]:
    """The silences that change when *wanted* is put over *existing*, the one in force last.

    One with the same id where it can go on; else the expired old one (when it was not expired
    already) and a new one. Raises Refused: 404 when *wanted* names an id and nothing exists.
    """
    if existing is None:
        if wanted.id:
            raise Refused("silence not found", field="id", code="not_found", status=404)
        return (create(wanted, now_ns=now_ns, new_id=new_id),)
    starts_ns = existing.starts_ns
    if wanted.starts_ns is not None and not _has_begun(existing, wanted, now_ns):
        starts_ns = wanted.starts_ns
    made = create(structs.replace(wanted, starts_ns=starts_ns), now_ns=now_ns, new_id=new_id)
    if can_update(existing, structs.replace(made, starts_ns=starts_ns), now_ns):
        is_active = state(existing, now_ns) is State.ACTIVE
        return (
            structs.replace(
                made,
                id=existing.id,
                # To the second they are equal; the stored one is exact.
                starts_ns=existing.starts_ns if is_active else starts_ns,
                created_ns=existing.created_ns,
            ),
        )
    ended = expire(existing, now_ns)
    return (made,) if ended is existing else (ended, made)


def _has_begun(existing: Silence, wanted: Wanted, now_ns: int) -> bool:
    """Whether *wanted* begins no earlier and no later than *existing*, which is active, did."""
    return (
        wanted.begun
        and wanted.starts_ns is not None
        and wanted.starts_ns <= now_ns
        and state(existing, now_ns) is State.ACTIVE
    )


def check_room(silences: Sequence[Silence], changed: Sequence[Silence], now_ns: int) -> None:
    """Raises Refused (409) where *silences* have no room for what is new among *changed*."""
    after = {one.id: one for one in silences}
    before = len(after)
    after |= {one.id: one for one in changed}
    if len(after) == before:
        return
    going_on = sum(1 for one in after.values() if one.ends_ns > now_ns)
    if going_on > SILENCES_MAX or len(after) > LISTED_MAX:
        words = (
            f"{SILENCES_MAX} that go on" if going_on > SILENCES_MAX else f"{LISTED_MAX} in all"
        )
        raise Refused(f"too many silences, limit {words}", code="limit", status=409)


def can_update(existing: Silence, wanted: Silence, now_ns: int) -> bool:
    """Whether *existing* can become *wanted* and still be the same silence at *now_ns*."""
    if (
        sorted(existing.matchers) != sorted(wanted.matchers)
        or existing.schedule != wanted.schedule
    ):
        return False
    match state(existing, now_ns):
        case State.ACTIVE:
            same_start = existing.starts_ns // SECOND_NS == wanted.starts_ns // SECOND_NS
            return same_start and wanted.ends_ns >= now_ns
        case State.PENDING:
            return wanted.starts_ns >= now_ns
        case State.EXPIRED:
            return False


def expire(silence: Silence, now_ns: int) -> Silence:
    """*silence*, ended now; itself when it had ended."""
    if state(silence, now_ns) is State.EXPIRED:
        return silence
    return structs.replace(
        silence,
        starts_ns=min(silence.starts_ns, now_ns),
        ends_ns=now_ns,
        updated_ns=now_ns,
    )


def listed(silences: Iterable[Silence], now_ns: int) -> list[Silence]:
    """Active ones, those that end first before; pending, those that start first before; then the
    expired, the last one first."""

    def order(silence: Silence) -> tuple[int, int, str]:
        match state(silence, now_ns):
            case State.ACTIVE:
                return 0, silence.ends_ns, silence.id
            case State.PENDING:
                return 1, silence.starts_ns, silence.id
            case State.EXPIRED:
                return 2, -silence.ends_ns, silence.id

    return sorted(silences, key=order)


def forgettable(silence: Silence, now_ns: int) -> bool:
    """Whether it expired so long ago that it is not listed any more."""
    return silence.ends_ns + RETENTION_NS <= now_ns


class _Compiled:
    __slots__ = ("matchers", "schedule", "silence")

    def __init__(self, silence: Silence) -> None:
        self.silence = silence
        self.matchers = [Matcher(*one) for one in silence.matchers]
        self.schedule = Schedule(silence.schedule) if silence.schedule else None

    def in_force(self, now_ns: int) -> bool:
        if not self.silence.starts_ns <= now_ns < self.silence.ends_ns:
            return False
        return self.schedule is None or self.schedule.in_force(now_ns)


class Silencer:
    """The silences there are, and which of them hold back an alert. Answers are remembered, by the
    values of the labels that silences ask about, until the set of silences changes."""

    def __init__(self, silences: Iterable[Silence] = ()) -> None:
        self._all: dict[str, _Compiled] = {}
        # (name, value) that a silence needs → ids; ids of the others
        self._needing: dict[tuple[str, str], dict[str, None]] = {}
        self._others: dict[str, None] = {}
        # How many matchers ask for a label; their names in one order, None: to be made anew.
        self._asking: Counter[str] = Counter()
        self._names: tuple[str, ...] | None = None
        self._cache: dict[tuple[str | None, ...], tuple[_Compiled, ...]] = {}
        for silence in silences:
            self.put(silence)

    def put(self, silence: Silence) -> None:
        """Add *silence*, or replace the one of its id."""
        old = self._all.get(silence.id)
        if old is not None and old.silence.matchers == silence.matchers:
            if old.silence.schedule != silence.schedule:
                old.schedule = Schedule(silence.schedule) if silence.schedule else None
            # What it matches is as it was.
            old.silence = silence
            return
        self.remove(silence.id)
        self._all[silence.id] = compiled = _Compiled(silence)
        pair = _needs(compiled)
        ids = self._others if pair is None else self._needing.setdefault(pair, {})
        ids[silence.id] = None
        self._asking.update(one.name for one in compiled.matchers)
        self._changed()

    def remove(self, silence_id: str) -> None:
        """Forget the silence of *silence_id*, if there is one."""
        compiled = self._all.pop(silence_id, None)
        if compiled is not None:
            pair = _needs(compiled)
            ids = self._others if pair is None else self._needing[pair]
            del ids[silence_id]
            if pair is not None and not ids:
                del self._needing[pair]
            self._asking.subtract(one.name for one in compiled.matchers)
            self._changed()

    def get(self, silence_id: str) -> Silence | None:
        """The silence of *silence_id*, or None."""
        compiled = self._all.get(silence_id)
        return None if compiled is None else compiled.silence

    def silenced_by(self, seen: Mapping[str, str], now_ns: int) -> tuple[str, ...]:
        """Ids of the silences in force at *now_ns* that match *seen*, sorted; () for none."""
        if not self._all:
            return ()
        if self._names is None:
            self._asking = +self._asking
            self._names = tuple(sorted(self._asking))
        key = tuple(map(seen.get, self._names))
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= CACHE_MAX:
                self._cache.clear()
            found = self._cache[key] = self._matching(seen)
        if not found:
            return ()
        return tuple(sorted(one.silence.id for one in found if one.in_force(now_ns)))

    def _changed(self) -> None:
        self._names = None
        self._cache.clear()

    def _matching(self, seen: Mapping[str, str]) -> tuple[_Compiled, ...]:
        ids = list(self._others)
        for pair in seen.items():
            ids += self._needing.get(pair, ())
        candidates = (self._all[one] for one in ids)
        return tuple(c for c in candidates if matching.all_match(c.matchers, seen))


def _needs(one: _Compiled) -> tuple[str, str] | None:
    """A label that what *one* matches must have; None: it asks for none."""
    for matcher in one.matchers:
        if matcher.op == "=" and matcher.value:
            return matcher.name, matcher.value
    return None


def _refused(field: str, detail: str) -> Refused:
    return Refused(f"{field}: {detail}", field=field)
