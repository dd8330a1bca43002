"""Rules over series, on a ticker: asked of the sample store, told to the engine in transactions of
bounded size; the last of them keeps what the rule must remember.

A crash in between says posts again that the engine has already, which changes nothing.
"""

import logging
import threading
from collections import Counter
from collections.abc import Sequence

from heliograph.alert.model import Post
from heliograph.alert.rules import metrics as rule_metrics
from heliograph.alert.rules import pieces
from heliograph.alert.rules.metrics import Query
from heliograph.alert.rules.rule import Rule, Series, StateRow, watches_alike
from heliograph.core.clock import Clock
from heliograph.core.errors import HeliographError, Refused
from heliograph.core.samples import STALE
from heliograph.service import rule_memory
from heliograph.service.alert_meters import AlertMeters
from heliograph.service.alert_posts import Enrich
from heliograph.service.alerting import ALERTS_PER_TURN, Alerting, Turn
from heliograph.service.rule_book import RuleBook
from heliograph.service.rule_said import alert_owner
from heliograph.service.storable import put_storable
from heliograph.service.supervisor import Supervisor
from heliograph.store.protocol import RangeQuery, SampleQueries
from heliograph.store.state import batches, rule_states
from heliograph.store.state.state import State

# Points of one rule's question; more are left out, and counted as a failure.
POINTS_MAX = 1_000_000
SOURCE = "metric"
_STALE = float(STALE)

log = logging.getLogger(__name__)


class RuleTicker:
    """Evaluates every *every_s* seconds on a thread of its own.

    counts   `series_left_out`: series of an evaluation beyond SERIES_MAX;
             `posts_refused`: posts that no store can hold
    """

    def __init__(
        self,
        book: RuleBook,
        queries: SampleQueries,
        alerting: Alerting,
        enrich: Enrich,
        state: State,
        supervisor: Supervisor,
        meters: AlertMeters,
        clock: Clock,
        *,
        every_s: float,
        resolve_after_ns: int,
    ) -> None:
        self._book = book
        self._queries = queries
        self._alerting = alerting
        self._enrich = enrich
        self._whose = alert_owner(enrich)
        self._supervisor = supervisor
        self._meters = meters
        self._clock = clock
        self._every_s = every_s
        self._resolve_after_ns = resolve_after_ns
        self._since_ns = clock.now_ns()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.counts: Counter[str] = Counter()
        # Why rules could not be evaluated, by id.
        self._failing: dict[str, str] = {}
        rules = book.rules()
        rows, documents = rule_memory.load(state)
        kept = pieces.joined(rows)
        self._states = {rule_id: one for rule_id, (one, _) in kept.items()}
        # Rows that a state takes.
        self._row_counts = {rule_id: count for rule_id, (_, count) in kept.items()}
        # By id, as they were when they were last evaluated, also before the start.
        self._evaluated = rule_memory.as_they_were(
            book, rules, rows, documents, over_series=True
        )
        # Those whose document is kept.
        self._noted = {rule_id for rule_id in self._evaluated if rule_id in documents}

    def start(self) -> None:
        """Begin to evaluate."""
        self._thread = self._supervisor.thread("rules", self._run)

    def close(self) -> None:
        """Stop after the rule in work."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        # What was changed just before the last end is not known to be over.
        self._retire()
        while not self._closing.wait(self._every_s):
            self._retire()
            rules = self._book.rules()
            for rule in rules.enabled:
                if self._closing.is_set():
                    return
                asked = rule_metrics.query(rule, self._clock.now_ns())
                document = rules.documents.get(rule.id)
                if asked is not None:
                    error = self._supervisor.attempt(
                        lambda rule=rule, asked=asked, document=document: self._evaluate(  # type: ignore[misc]
                            rule, asked, document
                        ),
                        where="rules",
                    )
                    self._meters.rule_evaluations.add(1, rule.source)
                    self._meters.rule_failures.add(error is not None, rule.source)
                    self._note(rule, error)
            self._failing = {
                one: why for one, why in self._failing.items() if one in rules.by_id
            }

    def _note(self, rule: Rule, error: Exception | None) -> None:
        """Log what became of *rule*, where that is another thing than the last time."""
        why = None if error is None else str(error)
        if why == self._failing.get(rule.id):
            return
        if why is None:
            del self._failing[rule.id]
            log.info("rule evaluated again", extra={"rule": rule.name, "id": rule.id})
        else:
            self._failing[rule.id] = why
            facts = {"rule": rule.name, "id": rule.id, "why": why}
            log.warning("rule not evaluated", extra=facts)

    def _evaluate(self, rule: Rule, asked: Query, document: bytes | None) -> None:
        before = self._states.get(rule.id, b"")
        answer = rule_metrics.evaluate(
            rule,
            before,
            self._series(asked),
            now_ns=self._clock.now_ns(),
            since_ns=self._since_ns,
            resolve_after_ns=self._resolve_after_ns,
            whose=self._whose,
        )
        self._evaluated[rule.id] = rule
        self.counts["series_left_out"] += answer.left_out
        if not answer.posts and answer.state == before:
            return
        self._say(rule.id, answer.posts, answer.state, document)

    def _retire(self) -> None:
        """End what rules said that are no more, or are another one now."""
        rules = {rule.id: rule for rule in self._book.rules().enabled}
        for rule_id, rule in list(self._evaluated.items()):
            now = rules.get(rule_id)
            if now is not None and watches_alike(now, rule):
                continue
            posts = rule_metrics.retire(
                rule,
                self._states.get(rule_id, b""),
                now_ns=self._clock.now_ns(),
                whose=self._whose,
            )
            error = self._supervisor.attempt(
                lambda rule_id=rule_id, posts=posts: self._say(rule_id, posts, b""),  # type: ignore[misc]
                where="rules",
            )
            if error is None:
                del self._evaluated[rule_id]

    def _say(
        self,
        rule_id: str,
        posts: Sequence[Post],
        state: bytes,
        document: bytes | None = None,
    ) -> None:
        """Have the engine take *posts*, and keep *state* with the last of them; beside it the
        *document* of its rule."""
        rows = pieces.cut(rule_id, state, before=self._row_counts.get(rule_id, 0))
        count = sum(row.state is not None for row in rows)
        if not state:
            rows += rule_memory.forgotten([], [rule_id])
        elif document is not None and rule_id not in self._noted:
            rows.append(rule_memory.noted(rule_id, document))
        *first, last = list(batches.cut(posts, ALERTS_PER_TURN)) or [[]]
        for few in first:
            self._hand_over(few)
        try:
            self._transact(last, rows)
        except Refused:
            if not last:
                raise
            self._hand_over(last)
            self._transact([], rows)
        if state:
            self._states[rule_id] = state
            self._row_counts[rule_id] = count
            self._noted.add(rule_id)
        else:
            self._noted.discard(rule_id)
            self._states.pop(rule_id, None)
            self._row_counts.pop(rule_id, None)

    def _hand_over(self, posts: Sequence[Post]) -> None:
        put_storable(posts, lambda some: self._transact(some, []), self._dropped)

    def _dropped(self, _: Post, refused: Refused) -> None:
        self.counts["posts_refused"] += 1
        log.warning("a rule's alert is dropped", extra={"why": refused.detail})

    def _transact(self, posts: Sequence[Post], rows: Sequence[StateRow]) -> None:
        """Have the engine take *posts* and the store keep *rows*, in a transaction of their own."""
        if not posts and not rows:
            return

        def work(turn: Turn) -> None:
            for post in posts:
                turn.engine.take(post, self._enrich, turn.now_ns)
            if rows:
                turn.also(lambda tx: rule_states.put(tx, rows, now_ns=turn.now_ns))

        self._alerting.submit(work, alone=True).result()
        self._meters.rule_firings.add(len(posts), SOURCE)

    def _series(self, asked: Query) -> Sequence[Series]:
        found = self._queries.range(
            RangeQuery(
                asked.metric, asked.match, asked.start_ns, asked.end_ns, None, "", POINTS_MAX
            )
        )
        if found.truncated:
            raise HeliographError(f"{asked.metric}: over {POINTS_MAX} points")
        return [
            Series(
                one.labels,
                [
                    (ms * 1_000_000, _STALE if value is None else value)
                    for ms, value in zip(one.at_ms, one.value, strict=True)
                ],
            )
            for one in found.series
        ]
