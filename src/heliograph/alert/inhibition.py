"""Inhibition: an alert is not told while another one that explains it fires.

    source  severity="critical"      target  severity="warning"      equal  [alertname, node]

A target is inhibited while a source fires whose `equal` labels agree; a label that is missing is
empty, and no `equal` labels agree with all. What matches both sides of a rule is not inhibited by
something else that matches both. A rule with several sources needs one alert of each.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from heliograph.alert.matching import all_match
from heliograph.core.matcher import Matcher

# Remembered answers to which rules an alert is source and target of; then all are forgotten.
CACHE_MAX = 65_536


class Source(Struct, frozen=True):
    """What must fire: an alert that all *matchers* match, agreeing with the target in *equal*."""

    matchers: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()


class Inhibition(Struct, frozen=True):
    """One rule. All *sources* are needed; *targets* are the matchers of what is inhibited."""

    sources: tuple[Source, ...]
    targets: tuple[Matcher, ...]
    name: str = ""


class _Part:
    """One source of one rule, and what fires of it: `equal` values → alert ids.

    one_sided   alerts that are no targets of the rule; two_sided are targets too
    Ids are kept in the order in which they came; the values of the dictionaries mean nothing.
    """

    __slots__ = ("equal", "matchers", "one_sided", "rule", "two_sided")

    def __init__(self, rule: "_Rule", source: Source) -> None:
        self.rule = rule
        self.matchers = source.matchers
        self.equal = source.equal
        self.one_sided: dict[tuple[str, ...], dict[str, None]] = {}
        self.two_sided: dict[tuple[str, ...], dict[str, None]] = {}

    def key(self, seen: Mapping[str, str]) -> tuple[str, ...]:
        return tuple([seen.get(name, "") for name in self.equal])

    def found(self, key: tuple[str, ...], alert_id: str, *, both: bool) -> str | None:
        """The first id that fires with *key*, other than *alert_id*."""
        for ids in (self.one_sided.get(key), self.two_sided.get(key) if both else None):
            for one in ids or ():
                if one != alert_id:
                    return one
        return None


class _Rule:
    __slots__ = ("parts", "targets")

    def __init__(self, rule: Inhibition) -> None:
        self.targets = rule.targets
        self.parts = [_Part(self, source) for source in rule.sources]


class _Sides(Struct, frozen=True):
    """What an alert is: source parts with whether it is that rule's target too, and rules that
    it is a target of, with the parts that it is no source of (the other parts only inhibit it
    by alerts that are no targets)."""

    sources: tuple[tuple[_Part, bool], ...]
    targets: tuple[tuple[tuple[_Part, bool], ...], ...]


_NEITHER = _Sides((), ())
_Place = tuple[dict[tuple[str, ...], dict[str, None]], tuple[str, ...]]


class Inhibitor:
    """Which alerts are inhibited, given which fire. Costs do not grow with how many fire."""

    def __init__(self, rules: Sequence[Inhibition] = ()) -> None:
        self._rules = [_Rule(rule) for rule in rules]
        names = {m.name for rule in self._rules for m in _matchers(rule)}
        self._names = tuple(sorted(names))
        self._cache: dict[tuple[str | None, ...], _Sides] = {}
        # alert id → where it was put as a source
        self._places: dict[str, tuple[_Place, ...]] = {}

    def update(self, alert_id: str, seen: Mapping[str, str], firing: bool) -> None:
        """Say whether *alert_id*, of which matchers see *seen*, fires. Repeating it is harmless."""
        if not self._rules:
            return
        sources = self._sides(seen).sources if firing else ()
        places = tuple(
            (part.two_sided if both else part.one_sided, part.key(seen))
            for part, both in sources
        )
        before = self._places.get(alert_id, ())
        if len(places) == len(before) and all(
            index is index_before and key == key_before
            for (index, key), (index_before, key_before) in zip(places, before, strict=True)
        ):
            return
        self._forget(alert_id, before)
        for index, key in places:
            index.setdefault(key, {})[alert_id] = None
        if places:
            self._places[alert_id] = places

    def inhibited_by(self, seen: Mapping[str, str], alert_id: str) -> tuple[str, ...]:
        """Ids of what inhibits *alert_id*, of which matchers see *seen*: for every rule that does,
        the alerts that came first. () when nothing does."""
        if not self._places:
            return ()
        ids: dict[str, None] = {}
        for parts in self._sides(seen).targets:
            found = [part.found(part.key(seen), alert_id, both=both) for part, both in parts]
            if None not in found:
                ids.update((one, None) for one in found if one is not None)
        return tuple(ids)

    def _forget(self, alert_id: str, places: tuple[_Place, ...]) -> None:
        for index, key in places:
            ids = index[key]
            ids.pop(alert_id, None)
            if not ids:
                del index[key]
        self._places.pop(alert_id, None)

    def _sides(self, seen: Mapping[str, str]) -> _Sides:
        key = tuple(map(seen.get, self._names))
        sides = self._cache.get(key)
        if sides is None:
            sides = self._judged(seen)
            if len(self._cache) >= CACHE_MAX:
                self._cache.clear()
            self._cache[key] = sides
        return sides

    def _judged(self, seen: Mapping[str, str]) -> _Sides:
        sources: list[tuple[_Part, bool]] = []
        targets: list[tuple[tuple[_Part, bool], ...]] = []
        for rule in self._rules:
            is_source = {id(part): all_match(part.matchers, seen) for part in rule.parts}
            is_target = all_match(rule.targets, seen)
            sources += [(part, is_target) for part in rule.parts if is_source[id(part)]]
            if is_target:
                targets.append(tuple((part, not is_source[id(part)]) for part in rule.parts))
        return _Sides(tuple(sources), tuple(targets)) if sources or targets else _NEITHER


def _matchers(rule: _Rule) -> Iterator[Matcher]:
    yield from rule.targets
    for part in rule.parts:
        yield from part.matchers
