"""What one absence rule listens for: keys that were heard, and posts when they fall silent.

Without `by` there is one key, expected from the beginning. Rows are written when a key is new,
was heard much later than its row says, or changes sides: a restart counts silence from its own
beginning anyway.
"""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from heliograph.alert.model import Post
from heliograph.alert.rules import posts as rule_posts
from heliograph.alert.rules.rule import Absence, Rule, StateRow
from heliograph.core import duration, instant
from heliograph.core.labels import Labels, fingerprint
from heliograph.rules.absence import Absences

EVERYTHING: Labels = ()
_PARTS = 4
_DECODER = msgspec.msgpack.Decoder(tuple[tuple[tuple[str, str], ...], int, bool])


class Listening:
    """The keys of one absence rule. *since_ns* is when we began to listen; *whose* tells whose the
    alert of some labels is, where annotations ask for it."""

    __slots__ = (
        *("_absences", "_body", "_dirty", "_labels", "_names", "_resolve_after_ns", "_whose"),
        *("_written", "rule"),
    )

    def __init__(
        self,
        rule: Rule,
        body: Absence,
        *,
        since_ns: int,
        resolve_after_ns: int,
        whose: Callable[[Labels, int], Mapping[str, str]] | None = None,
    ) -> None:
        self.rule = rule
        self._whose = whose if rule_posts.asks_whose(rule) else None
        self._body = body
        self._resolve_after_ns = resolve_after_ns
        self._absences = Absences(
            window_ns=body.window_ns,
            forget_ns=max(body.forget_ns, body.window_ns) if body.by else 2**63,
            since_ns=since_ns,
        )
        self._labels: dict[str, Labels] = {}
        self._names: dict[Labels, str] = {}
        self._written: dict[str, int] = {}
        self._dirty: set[str] = set()
        if not body.by:
            self._know(EVERYTHING)
            self._absences.put("", since_ns, overdue=False)

    # Silence is by arrival, and nothing arrives late.
    late = 0

    @property
    def evicted(self) -> int:
        """Keys given up because there were too many."""
        return self._absences.evicted

    def heard(self, key: Labels, arrival_ns: int, *, seq: int = -1) -> Post | None:
        """*key* was heard; the post that ends its alert, where there was one."""
        if self._body.by and not key:
            return None
        name = self._know(key)
        last_ns, _ = self._absences.entry(name) or (arrival_ns, False)
        ended = self._absences.heard(name, arrival_ns)
        if len(self._labels) > self._absences.keys_max:
            self._bound()
        if (
            ended
            or arrival_ns - self._written.get(name, -(2**62)) >= self._body.window_ns // _PARTS
        ):
            self._dirty.add(name)
        return self._over(key, last_ns, arrival_ns, "heard again", seq) if ended else None

    def ended(self, key: Labels, arrival_ns: int, *, seq: int = -1) -> Post | None:
        """Nothing more is expected of *key*; the post that ends its alert, where there was one."""
        name = _name(key)
        if name not in self._labels:
            return None
        last_ns, _ = self._absences.entry(name) or (arrival_ns, False)
        firing = self._absences.gone(name)
        self._drop(name)
        return self._over(key, last_ns, arrival_ns, "it ended", seq) if firing else None

    def tick(self, now_ns: int) -> list[Post]:
        """What is to be said at *now_ns*: who is silent, and who is not expected any more."""
        tick = self._absences.tick(now_ns)
        posts = []
        for name, last_ns in (*tick.began, *tick.lasting):
            posts.append(self._silent(self._labels[name], last_ns, now_ns))
        self._dirty.update(name for name, _ in tick.began)
        for name, last_ns in tick.ended:
            key = self._labels[name]
            posts.append(self._over(key, last_ns, now_ns, "not expected any more", -1))
        for name, _ in tick.forgotten:
            self._drop(name)
        return posts

    def retire(self, now_ns: int) -> list[Post]:
        """The rule is no more: the posts that end what it said."""
        known = [(key, self._absences.entry(name)) for name, key in self._labels.items()]
        return [
            self._over(key, entry[0], now_ns, "rule removed", -1)
            for key, entry in known
            if entry is not None and entry[1]
        ]

    def load(self, state: bytes) -> None:
        """Take up a row's *state*. Raises ValueError when `drain` did not write it."""
        try:
            key, last_ns, overdue = _DECODER.decode(state)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a rule's state: {error}") from error
        name = self._know(key)
        self._absences.put(name, last_ns, overdue=overdue)
        self._written[name] = last_ns

    def drain(self) -> Iterator[StateRow]:
        """The rows that changed since the last time."""
        for name in sorted(self._dirty):
            entry = self._absences.entry(name)
            state = None
            if entry is not None:
                state = msgspec.msgpack.encode((self._labels[name], *entry))
                self._written[name] = entry[0]
            yield StateRow(self.rule.id, name, state)
        self._dirty.clear()

    def everything(self) -> Iterator[StateRow]:
        """The rows of all keys."""
        self._dirty = set(self._labels)
        return self.drain()

    def _know(self, key: Labels) -> str:
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = _name(key)
            self._labels[name] = key
        return name

    def _drop(self, name: str) -> None:
        key = self._labels.pop(name, None)
        if key is not None:
            del self._names[key]
        self._written.pop(name, None)
        self._dirty.add(name)

    def _bound(self) -> None:
        for name in [n for n in self._labels if self._absences.entry(n) is None]:
            self._drop(name)

    def _silent(self, key: Labels, last_ns: int, now_ns: int) -> Post:
        begin_ns = max(last_ns, self._absences.since_ns)
        return rule_posts.firing(
            self.rule,
            key,
            at_ns=begin_ns + self._body.window_ns,
            arrival_ns=now_ns,
            resolve_after_ns=self._resolve_after_ns,
            annotations={
                "match_reason": f"nothing for {duration.format_ns(self._body.window_ns)}",
                "last_heard": instant.text_of(last_ns),
            },
            values=self._values(key, now_ns, now_ns - begin_ns),
            value=(now_ns - begin_ns) / 1e9,
        )

    def _over(self, key: Labels, last_ns: int, now_ns: int, reason: str, seq: int) -> Post:
        # As it would read if it had lasted until now.
        silent_ns = now_ns - max(last_ns, self._absences.since_ns)
        return rule_posts.over(
            self.rule,
            key,
            now_ns=now_ns,
            resolve_after_ns=self._resolve_after_ns,
            reason=reason,
            seq=seq,
            values=self._values(key, now_ns, silent_ns),
            value=silent_ns / 1e9,
        )

    def _values(self, key: Labels, now_ns: int, silent_ns: int) -> dict[str, str]:
        """What annotations may name besides the labels."""
        shown = {"silent_for": duration.format_ns(silent_ns // 10**9 * 10**9)}
        if self._whose is None:
            return shown
        whose = self._whose(rule_posts.labels_of(self.rule, key), now_ns)
        return {**whose, **dict(key), **shown}


def _name(key: Labels) -> str:
    return fingerprint(key) if key else ""
