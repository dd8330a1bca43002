"""Rules that count what occurs, and those that listen for it: lines, records, traces and rows alike.

occurring.occurred(rule, threshold, said, values, extra, came)      counted, and fired when due
occurring.heard(rule, absence, values, came)                        it is not silent
"""

from collections.abc import Callable, Mapping

from heliograph.alert.rules.counts import Counts
from heliograph.alert.rules.index import RuleIndex
from heliograph.alert.rules.listening import Listening
from heliograph.alert.rules.owned import owned_key
from heliograph.alert.rules.rule import (
    Absence,
    Rule,
    Said,
    Threshold,
    clock_of,
    identity_of,
    key_of,
)
from heliograph.alert.rules.saying import Came, Saying
from heliograph.core import duration
from heliograph.core.labels import Labels

# What a rule that fires at once counts by, when it does not say: whose line it is.
OWNER = ("workload_id", "pod_name|node_name")
_NEVER = Came(0, 0)


class Occurring:
    """The windows and the silences of the rules of *index*."""

    __slots__ = (
        *("_heard_in", "_heard_keys", "_saying", "_told", "_told_in"),
        *("counts", "listening"),
    )

    def __init__(
        self, index: RuleIndex, saying: Saying, *, since_ns: int, resolve_after_ns: int
    ) -> None:
        self._saying = saying
        # Whom an absence heard in the frame at hand.
        self._heard_in = _NEVER
        self._heard_keys: set[tuple[str, Labels]] = set()
        # How often each came in the frame at hand.
        self._told_in = _NEVER
        self._told: dict[tuple[str, str, int, int], int] = {}
        self.counts = {rule.id: Counts(rule.id, held) for rule, held in index.counted}
        self.listening = {
            rule.id: Listening(rule, body, since_ns=since_ns, resolve_after_ns=resolve_after_ns)
            for rule, body in index.listening
        }

    def occurred(
        self,
        rule: Rule,
        threshold: Threshold,
        said: Said,
        values: Mapping[str, str],
        extra: Callable[[], dict[str, str]],
        came: Came,
        *,
        value: float | None = None,
    ) -> None:
        """What *rule* is about occurred: as *said*, with the labels *values*; *extra* is what an alert
        shows besides, and asked for where there is one."""
        if isinstance(rule.body, Absence):
            self.heard(rule, rule.body, values, came)
            return
        by = threshold.by
        if by is None:
            by = OWNER if threshold.count == 1 else ()
        key = owned_key(by, values)
        identity = self._identity(rule, said, came) if threshold.count > 1 else 0
        clock = clock_of(said.client, said.at_ns, came.arrival_ns)
        # Sent again a little later, it may no longer be of the future.
        also = said.client if clock != said.client else clock_of(said.client, said.at_ns, 0)
        found = self.counts[rule.id].add(key, clock, said.at_ns, identity, also)
        if not found or self._saying.again(rule, key, came):
            return
        shown = extra()
        if threshold.count > 1:
            span = duration.format_ns(threshold.window_ns)
            shown["match_reason"] = f"{found} occurrences within {span}"
        told = float(found) if value is None else value
        self._saying.fire(rule, key, said, values, shown, came, told)

    def heard(self, rule: Rule, body: Absence, values: Mapping[str, str], came: Came) -> None:
        """What *body*, of *rule*, listens for was heard."""
        self.heard_key(rule, owned_key(body.by, values), came)

    def heard_key(self, rule: Rule, key: Labels, came: Came) -> None:
        """The same, of the labels *key* that it counts by."""
        # To hear one again in the same frame tells nothing new.
        name = rule.id, key
        if self._heard_in is not came and self._heard_in != came:
            self._heard_in = came
            self._heard_keys.clear()
        elif name in self._heard_keys:
            return
        self._heard_keys.add(name)
        post = self.listening[rule.id].heard(key, came.arrival_ns, seq=came.seq)
        if post is not None:
            self._saying.say(post)

    def ended(self, rule: Rule, body: Absence, values: Mapping[str, str], came: Came) -> None:
        """Nothing more is expected of the key that *values* make."""
        self._heard_keys.clear()
        key = key_of(body.by, values)
        self._saying.say(self.listening[rule.id].ended(key, came.arrival_ns, seq=came.seq))

    def _identity(self, rule: Rule, said: Said, came: Came) -> int:
        """What *said* is known by if it is sent again: of equal ones of a frame each by its number, so
        that what came twice at once is two, and two again."""
        name = identity_of(said)
        if not name:
            return 0
        if self._told_in != came:
            self._told_in = came
            self._told.clear()
        one = rule.id, said.client, said.at_ns, name
        number = self._told[one] = self._told.get(one, 0) + 1
        return name + number

    def forget_heard(self) -> None:
        """Time has passed: whoever is heard now is heard anew."""
        self._heard_keys.clear()
