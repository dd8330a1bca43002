"""What rules say until it is drained: posts in order, and a key that fires often is one post.

saying.fire(rule, key, said, values, extra, came, 3.0)
saying.drain()  →  [Post, …]                the first that made it fire, and the latest `seq`
"""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import structs

from heliograph.alert.model import Post
from heliograph.alert.rules import posts as rule_posts
from heliograph.alert.rules.rule import Rule, Said
from heliograph.core.labels import Labels

POSTS_MAX = 10_000


class Came(NamedTuple):
    """The frame of the log that told something, -1 for none, and when it arrived."""

    seq: int
    arrival_ns: int


class Saying:
    """Posts of one stream. *resolve_after_ns* is after which an alert of an occurrence resolves.

    dropped    posts beyond POSTS_MAX between two drains
    """

    __slots__ = ("_latest", "_places", "_posts", "_resolve_after_ns", "dropped")

    def __init__(self, resolve_after_ns: int) -> None:
        self._resolve_after_ns = resolve_after_ns
        self._posts: list[Post] = []
        self._places: dict[tuple[str, Labels], int] = {}
        # By place of a post, when its rule fired for the same last.
        self._latest: dict[int, Came] = {}
        self.dropped = 0

    @property
    def any(self) -> bool:
        """Whether there are posts to drain."""
        return bool(self._posts)

    def say(self, post: Post | None) -> bool:
        """Say *post*, if there is one; whether there was room for it."""
        if post is None:
            return False
        if len(self._posts) >= POSTS_MAX:
            self.dropped += 1
            return False
        self._posts.append(post)
        return True

    def again(self, rule: Rule, key: Labels, came: Came) -> bool:
        """Whether *rule* fired for *key* since the last drain: that post is told to be later."""
        place = self._places.get((rule.id, key))
        if place is None:
            return False
        self._latest[place] = came
        return True

    def fire(
        self,
        rule: Rule,
        key: Labels,
        said: Said,
        values: Mapping[str, str],
        extra: Mapping[str, str],
        came: Came,
        value: float,
    ) -> None:
        """Say that *rule* fires for *key* because of what was *said*; *extra* is annotated, and may
        be named by placeholders as *values* may, which hide it."""
        post = rule_posts.firing(
            rule,
            key,
            at_ns=said.at_ns,
            arrival_ns=came.arrival_ns,
            resolve_after_ns=self._resolve_after_ns,
            seq=came.seq,
            values={**extra, **values},
            annotations=extra,
            value=value,
            hints=said.context,
        )
        if self.say(post):
            self._places[rule.id, key] = len(self._posts) - 1

    def drain(self) -> list[Post]:
        """The posts since the last time."""
        posts = self._posts
        for place, came in self._latest.items():
            posts[place] = structs.replace(
                posts[place], seq=came.seq, received_ns=came.arrival_ns
            )
        self._posts, self._places, self._latest = [], {}, {}
        return posts
