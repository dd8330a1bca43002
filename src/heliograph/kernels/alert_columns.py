"""New alerts, many at a time: as the alert engine's book, index, routes and statistics take them.

    alerts = begun(posts, enriched, now_ns, Alert)     what they are, all firing; or None
    keep(alerts, saids, over, HOUR_NS, slots, into, before)    in the columns of a book
    packed(alerts, cold.packed)                        what they are, as bytes
    put_hashes(alerts, slots, table, 16, NOBODY)       their pairs, in a table of hashes
    placed(alerts, ("job", "severity"), known, place)  known[("train-3", "critical")], …
    gathered(places, slots, groups)                    who is told of them together
    count(alerts, sums, HOUR_NS, earliest_ns)          one more firing, by hour and kind

Posts, alerts and contexts are those of `alert.model`, of which attributes alone are used here.
Plain twin of `alert_columns.pyx` (decision 0010).
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

COMPILED = False

# The end of what has none, so that ends are numbers that can be compared.
FOREVER_NS = 2**63 - 1
# Flags of a slot: its end was taken note of, is a guess; it was seen to fire.
OVER, GUESS, FIRED = 1, 2, 4
# Names under which matchers see the context, where no label has the name.
CONTEXT_NAMES = (
    "workload_id",
    "workload_name",
    "workload_uid",
    "pod_name",
    "node_name",
    "cluster_name",
)


class Slots:
    """The slots of names, of which *names* has one a slot; who changes one there removes it here
    before. The compiled form finds a name where it is, and takes 15 bytes for it, not 60."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._slots: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def get(self, name: str) -> int | None:
        """The slot of *name*, or None."""
        return self._slots.get(name)

    def put(self, name: str, slot: int) -> None:
        """Have *name*, which is that of *slot*, lead there and to no other."""
        if self._names[slot] != name:
            raise ValueError("the slot has another name")
        self._slots[name] = slot

    def remove(self, name: str) -> None:
        """Have *name* lead nowhere. Raises KeyError where it does not lead anywhere."""
        del self._slots[name]

    def reserve(self, count: int) -> None:
        """Have room for *count* names before it grows."""

    def lacks(self, names: Iterable[str]) -> bool:
        """Whether none of *names* leads anywhere."""
        return self._slots.keys().isdisjoint(names)


class Columns(NamedTuple):
    """Of a book, by slot: numbers of 64 bits, and what else each slot has one of; slots by id, and
    by fingerprint the latest."""

    starts: "array[int]"
    ends: "array[int]"
    count: "array[int]"  # type: ignore[assignment]  # a column is worth tuple's method
    seq: "array[int]"
    updated: "array[int]"
    created: "array[int]"
    wake: "array[int]"
    said: "array[int]"
    episode: "array[int]"
    flags: bytearray
    ids: list[str]
    fingerprints: list[str]
    by_id: Slots
    latest: Slots


def begun(
    posts: Sequence[Any], enriched: Sequence[Any], now_ns: int, make: Callable[..., Any]
) -> list[Any] | None:
    """The alerts that begin with *posts*, each the first episode of its identity, made by *make*;
    None where one of them is over or says in another way than `endsAt` that it is."""
    found = []
    for post, known in zip(posts, enriched, strict=True):
        status, starts_ns, ends_ns = post.status, post.starts_ns, post.ends_ns
        if status == "firing":
            if ends_ns is not None and ends_ns <= now_ns:
                ends_ns = None
        elif status or (ends_ns is not None and ends_ns <= now_ns):
            return None
        guess = ends_ns is None
        if ends_ns is None and post.resolve_after_ns > 0:
            ends_ns = now_ns + post.resolve_after_ns
        if starts_ns is None:
            starts_ns = now_ns
        elif ends_ns is not None and starts_ns > ends_ns:
            starts_ns = ends_ns
        found.append(
            make(
                f"{now_ns:016x}{post.fingerprint[:12]}",
                post.fingerprint,
                post.source,
                post.labels,
                post.annotations,
                starts_ns,
                ends_ns,
                guess,
                now_ns,
                now_ns,
                post.generator_url,
                post.severity,
                known.context,
                1,
                1,
                post.seq,
                known.entities,
                post.raw,
                known.document,
            )
        )
    return found


def keep(
    alerts: Sequence[Any],
    saids: Sequence[int],
    over: Sequence[bool] | None,
    ended_ns: int,
    slots: Sequence[int],
    into: Columns,
    before: dict[int, int | None],
) -> int:
    """Write the numbers of *alerts*, and who they are, *into* their *slots*; *before* each the slot
    that was the latest of its fingerprint, or None. When the first of them is to be looked at.

    *saids* as of `said_of`; *over*: their ends were taken note of, None: none's; such a one is
    looked at *ended_ns* after its end, another at its end.
    """
    first_ns = FOREVER_NS
    for n, (alert, slot) in enumerate(zip(alerts, slots, strict=True)):
        ends_ns = FOREVER_NS if alert.ends_ns is None else alert.ends_ns
        is_over = over is not None and over[n]
        fired = not is_over or ends_ns > alert.created_ns or alert.count > 1
        wake_ns = ends_ns + ended_ns if is_over else ends_ns
        into.starts[slot], into.ends[slot] = alert.starts_ns, ends_ns
        into.count[slot], into.seq[slot] = alert.count, alert.seq
        into.updated[slot], into.created[slot] = alert.updated_ns, alert.created_ns
        into.wake[slot], into.said[slot] = wake_ns, saids[n]
        into.episode[slot] = alert.episode
        into.flags[slot] = OVER * is_over | GUESS * alert.timed_out | FIRED * fired
        into.ids[slot], into.fingerprints[slot] = alert.id, alert.fingerprint
        before[slot] = into.latest.get(alert.fingerprint)
        into.by_id.put(alert.id, slot)
        into.latest.put(alert.fingerprint, slot)
        first_ns = min(first_ns, wake_ns)
    return first_ns


def packed(alerts: Iterable[Any], pack: Callable[[Any], bytes]) -> list[bytes]:
    """What *alerts* are, as *pack* packs one: in MessagePack a list of source, labels, annotations,
    severity, URL, values of the context (none for nobody's) and entities."""
    return [pack(alert) for alert in alerts]


def hash_of(pair: tuple[str, str]) -> int:
    """16 bits that stand for *pair* in this process; never 0, which is no pair."""
    name, value = pair
    return (3 * hash(name) + hash(value)) & 0xFFFF or 1


def put_hashes(
    alerts: Sequence[Any],
    slots: Sequence[int],
    table: "array[int]",
    width: int,
    nobody: object,
) -> list[int]:
    """Write `hash_of` each pair that matchers see of each of *alerts* to its row of *width* in
    *table*, zeros after them. The places of *alerts* that have more pairs than that:
    what stands in their rows means nothing. *nobody*: the context of nobody."""
    left = []
    for n, (alert, slot) in enumerate(zip(alerts, slots, strict=True)):
        row = [hash_of(pair) for pair in _seen(alert, nobody).items()]
        if len(row) > width:
            left.append(n)
            continue
        row += [0] * (width - len(row))
        table[slot * width : (slot + 1) * width] = array("H", row)
    return left


def gathered(
    places: Iterable[tuple[tuple[Any, ...], tuple[str, ...]]],
    slots: Sequence[int],
    groups: list[tuple[str, ...]],
) -> dict[str, tuple[Any, list[int]]]:
    """By key the place that is told under it, and those of *slots* that are there. *places* are, of
    each slot, its places and their keys; these are written to *groups*."""
    found: dict[str, tuple[Any, list[int]]] = {}
    for slot, (some, keys) in zip(slots, places, strict=True):
        groups[slot] = keys
        for place, key in zip(some, keys, strict=True):
            found.setdefault(key, (place, []))[1].append(slot)
    return found


def placed(
    alerts: Iterable[Any],
    names: tuple[str, ...],
    known: dict[tuple[str | None, ...], Any],
    place: Callable[[Any, tuple[str | None, ...]], Any],
) -> list[Any]:
    """What is *known* of the values that matchers see under *names*, None for none, of each of
    *alerts*; of what is not there, what *place* says of alert and values."""
    found = []
    for alert in alerts:
        seen = _seen(alert, None) if names else {}
        values = tuple([seen.get(name) for name in names])
        some = known.get(values)
        found.append(place(alert, values) if some is None else some)
    return found


def count(
    alerts: Iterable[Any],
    sums: dict[tuple[int, str, str, str, str, str], list[int]],
    hour_ns: int,
    earliest_ns: int,
) -> None:
    """Add one to the first of the *sums* of each alert's hour of start (not before *earliest_ns*),
    `alertname`, source, severity, workload and cluster; new sums are three numbers."""
    for alert in alerts:
        starts_ns = alert.starts_ns
        name = next((value for name, value in alert.labels if name == "alertname"), "")
        row = (
            max(earliest_ns, starts_ns - starts_ns % hour_ns),
            name,
            alert.source,
            alert.severity,
            alert.context.workload_id,
            alert.context.cluster_name,
        )
        known = sums.get(row)
        if known is None:
            sums[row] = [1, 0, 0]
        else:
            known[0] += 1


def _seen(alert: Any, nobody: object) -> dict[str, str]:
    values = dict(alert.labels)
    if alert.source:
        values.setdefault("source", alert.source)
    context = alert.context
    if context is not nobody:
        for name in CONTEXT_NAMES:
            if value := getattr(context, name):
                values.setdefault(name, value)
    if alert.severity:
        values.setdefault("severity", alert.severity)
    return values
