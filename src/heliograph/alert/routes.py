"""The routing tree: which routes an alert takes.

    route {receiver: default}                                file
    ├── severity="critical" → pager, continue                file/5d8a01f3
    └── team="ml" → ml                                       file/90c4b7e2
        └── env="test" → nobody                              file/90c4b7e2/1a6f3b55

A route is known by the matchers on the way to it, as in Alertmanager, and not by its place: a file
may be put in another order, and the groups of its routes are still theirs (R-G6).

Depth first: of the children of a route that matches, the first that matches is taken, and those
after it while `continue` says so; a route none of whose children match is taken itself. Routes
made over the API (`api/<id>`) come before the file's tree, as if both were children of one root
that is never taken.
"""

import hashlib
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import count

from msgspec import Struct

from heliograph.alert.matching import all_match
from heliograph.core import go_text
from heliograph.core.duration import HOUR_NS, MINUTE_NS, SECOND_NS
from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher

GROUP_WAIT_NS = 30 * SECOND_NS
GROUP_INTERVAL_NS = 5 * MINUTE_NS
REPEAT_INTERVAL_NS = 4 * HOUR_NS
# Remembered matches, by the values of the labels that the tree asks about; then all are forgotten.
CACHE_MAX = 65_536

FILE = "file"
API = "api/"


class Route(Struct, frozen=True):
    """One node, what it inherits filled in.

    id           `file`, `file/90c4b7e2/1a6f3b55` (`child_id` on the way down) or `api/<id>`
    matchers     all must match; () always does
    group_by     names whose values make a group; () one group, None all labels
    mute_time_intervals, active_time_intervals   names; not inherited
    continue_    the alert goes on to the next sibling
    """

    id: str
    receiver: str
    matchers: tuple[Matcher, ...] = ()
    group_by: tuple[str, ...] | None = ()
    group_wait_ns: int = GROUP_WAIT_NS
    group_interval_ns: int = GROUP_INTERVAL_NS
    repeat_interval_ns: int = REPEAT_INTERVAL_NS
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    continue_: bool = False
    routes: tuple["Route", ...] = ()


def group_labels(route: Route, labels: Labels, seen: Mapping[str, str] | None = None) -> Labels:
    """The labels that name an alert's group: those of *route*'s `group_by` that it has.

    *labels* are the alert's own, which `...` groups by; *seen* adds what matchers see beside them.
    """
    if route.group_by is None:
        return labels
    values = dict(labels) if seen is None else seen
    return tuple((name, values[name]) for name in route.group_by if values.get(name))


def group_key(route: Route, labels: Labels) -> str:
    """The identity of a group: `file/90c4b7e2:{alertname="OOM"}`."""
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{route.id}:{{{inner}}}"


def foreign_key(name: str, labels: Labels) -> str:
    """What Alertmanager calls the group of *labels* of the route that it calls *name*:
    `{}/{team="ml"}:{alertname="OOM"}`; "" where there is no name."""
    inner = ", ".join(f"{label}={go_text.quoted(value)}" for label, value in labels)
    return f"{name}:{{{inner}}}" if name else ""


def child_id(parent_id: str, matchers: Sequence[Matcher], taken: Container[str]) -> str:
    """The id of a route below *parent_id*; alike siblings are numbered past those *taken*."""
    text = "\n".join(sorted(str(one) for one in matchers))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    plain = f"{parent_id}/{digest}"
    numbered = (f"{plain}~{number}" for number in count(2))
    return plain if plain not in taken else next(one for one in numbered if one not in taken)


def walk(route: Route) -> Iterator[Route]:
    """*route* and all below it, parents first."""
    yield route
    for child in route.routes:
        yield from walk(child)


class Tree:
    """The routes of the API, in order, then the file's tree. Matches are remembered."""

    def __init__(self, api: Sequence[Route] = (), file: Route | None = None) -> None:
        self.api = tuple(api)
        self.file = file
        roots = [*self.api, *([file] if file is not None else [])]
        # Never taken itself: `_below` is asked for its children alone.
        self._root = _Node(Route(id="", receiver="", routes=tuple(roots)))
        self._by_id = {route.id: route for root in roots for route in walk(root)}
        names = {m.name for route in self._by_id.values() for m in route.matchers}
        self._names = tuple(sorted(names))
        # Two alerts of which matchers see the same under all of these are told together, but for
        # routes that group by all labels.
        grouped = {name for route in self._by_id.values() for name in route.group_by or ()}
        self.asked = tuple(sorted(names | grouped))
        self._cache: dict[tuple[str | None, ...], tuple[Route, ...]] = {}
        self._foreign = dict(_foreign_names(file)) if file is not None else {}

    def match(self, seen: Mapping[str, str]) -> tuple[Route, ...]:
        """The routes that *seen* takes, in order; () when nobody is to be told."""
        key = tuple(map(seen.get, self._names))
        found = self._cache.get(key)
        if found is None:
            found = tuple(trail[-1] for trail in self.paths(seen))
            if len(self._cache) >= CACHE_MAX:
                self._cache.clear()
            self._cache[key] = found
        return found

    def paths(self, seen: Mapping[str, str]) -> list[tuple[Route, ...]]:
        """For each route taken, all routes from the topmost down to it."""
        return list(_below(self._root, seen, ()))

    def by_id(self, route_id: str) -> Route | None:
        """The route of *route_id*, or None when there is none any more."""
        return self._by_id.get(route_id)

    def foreign_name(self, route_id: str) -> str:
        """What Alertmanager calls a route of the file: `{}/{team="ml"}`; "" for other routes."""
        return self._foreign.get(route_id, "")

    def foreign_key(self, route_id: str, labels: Labels) -> str:
        """`foreign_key` of a route's group."""
        return foreign_key(self.foreign_name(route_id), labels)


class _Node:
    """A route whose children are found by the values that they ask for.

    indexed   label name → value → places of children that need that value
    others    places of children that must be tried
    """

    __slots__ = ("children", "indexed", "others", "route")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.children = [_Node(child) for child in route.routes]
        self.indexed: dict[str, dict[str, list[int]]] = {}
        self.others: list[int] = []
        for place, child in enumerate(route.routes):
            needed = next((m for m in child.matchers if m.op == "=" and m.value), None)
            if needed is None:
                self.others.append(place)
            else:
                by_value = self.indexed.setdefault(needed.name, {})
                by_value.setdefault(needed.value, []).append(place)

    def candidates(self, seen: Mapping[str, str]) -> list["_Node"]:
        """The children that may match *seen*, in order."""
        places = self.others
        for name, by_value in self.indexed.items():
            found = by_value.get(seen.get(name, ""))
            if found:
                places = places + found
        if places is not self.others:
            places = sorted(places)
        return [self.children[place] for place in places]


def _trails(
    node: _Node, seen: Mapping[str, str], above: tuple[Route, ...] = ()
) -> Iterator[tuple[Route, ...]]:
    if not all_match(node.route.matchers, seen):
        return
    here = (*above, node.route)
    found = False
    for trail in _below(node, seen, here):
        found = True
        yield trail
    if not found:
        yield here


def _below(
    node: _Node, seen: Mapping[str, str], above: tuple[Route, ...]
) -> Iterator[tuple[Route, ...]]:
    for child in node.candidates(seen):
        found = False
        for trail in _trails(child, seen, above):
            found = True
            yield trail
        if found and not child.route.continue_:
            return


def _foreign_names(route: Route, above: str = "") -> Iterator[tuple[str, str]]:
    """Ids of *route* and all below it, with the matchers on the way to each."""
    own = sorted(route.matchers, key=lambda one: (one.name, one.value, one.op))
    name = f"{above}{{{','.join(map(str, own))}}}"
    yield route.id, name
    for child in route.routes:
        yield from _foreign_names(child, f"{name}/")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
