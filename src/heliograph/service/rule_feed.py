"""Rules over what streams in, on the applier's thread: lines, rows and records, in the log's order.

    for each frame        line(…), row(…), record(…)       evaluated at once, in memory
    before the cursor     posts()  ─► the engine has them, durably; taken()
    with the cursor       write(tx) the rules' own states

A frame that is applied again after a crash is evaluated again from the states of its cursor, and
gives the same posts with the same `seq`, which the engine knows already.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import structs
from sqlalchemy import Connection

from heliograph.alert.model import Context, Post
from heliograph.alert.rules.rule import Said, StateRow
from heliograph.alert.rules.stream import RuleStream
from heliograph.core.clock import Clock
from heliograph.core.record import Record
from heliograph.core.training import TrainingRow
from heliograph.receive.lines import Line, LineBlock
from heliograph.service.rule_book import RuleBook
from heliograph.store.state import rule_states
from heliograph.store.state.state import State

TICK_EVERY_S = 1.0


class RuleFeed:
    """The stream rules at work. Used by the applier alone.

    *owner* gives context by pod uid, pod name and node.
    """

    def __init__(
        self,
        book: RuleBook,
        state: State,
        clock: Clock,
        *,
        resolve_after_ns: int,
        owner: Callable[[str, str, str], Context],
    ) -> None:
        self._book = book
        self._state = state
        self._clock = clock
        self._resolve_after_ns = resolve_after_ns
        self._owner = owner
        # Of pods, within a stretch: who owns them is one question then, not one a row.
        self._contexts: dict[str, Context] = {}
        self._rows: list[StateRow] = []
        self._posts: list[Post] = []
        self._earlier: Counter[str] = Counter()
        self._rules = book.rules()
        self._stream = self._opened(
            StateRow(*row) for row in self._state.read(rule_states.load)
        )
        self._tick_due_s = clock.monotonic_s() + TICK_EVERY_S

    def refresh(self) -> None:
        """Take over the rules of the moment, if they are others; between two stretches only.

        What a rule that stays remembers, stays; what one that is no more said, ends.
        """
        self._contexts.clear()
        rules = self._book.rules()
        if rules.version == self._rules.version:
            return
        now_ns = self._clock.now_ns()
        stays = {rule.id for rule in rules.enabled if self._rules.by_id.get(rule.id) == rule}
        gone = [rule for rule in self._rules.enabled if rule.id not in stays]
        states = self._stream.everything()
        self._drain(self._stream)
        leaving = RuleStream(
            gone, since_ns=now_ns, states=[row for row in states if row.rule_id not in stays]
        )
        leaving.retire(now_ns)
        self._posts.extend(leaving.drain()[0])
        self._rules = rules
        earlier = self._earlier + self._stream.bounds() + leaving.bounds()
        self._stream = self._opened([row for row in states if row.rule_id in stays])
        self._earlier = earlier

    def wanted(self, block: LineBlock) -> Iterator[Line]:
        """The lines of *block* that a rule may be about, for `line`."""
        return map(block.line, self._stream.matching(block.blob, block.ends))

    def line(self, line: Line, pod_uid: str, seq: int, arrival_ns: int) -> None:
        """Evaluate one whole line."""
        hits = self._stream.match(line.text)
        if not hits:
            return
        context = self._owner(pod_uid, line.pod_name, line.node)
        labels = {
            "namespace": line.namespace,
            "container": line.container,
            "stream": line.stream,
        }
        client = line.node or pod_uid or _pod(line.namespace, line.pod_name)
        said = Said(line.at_ns, client, context, labels, line.text)
        self._stream.line(hits, said, seq=seq, arrival_ns=arrival_ns)

    def row(self, row: TrainingRow, seq: int, arrival_ns: int) -> None:
        """Evaluate one training row."""
        if not self._stream.wants_rows:
            return
        context = self._contexts.get(row.pod_uid)
        if context is None:
            context = self._contexts[row.pod_uid] = self._owner(row.pod_uid, "", "")
        said = Said(row.at_ns, context.node_name or row.pod_uid, context)
        self._stream.row(row, said, seq=seq, arrival_ns=arrival_ns)

    def record(self, record: Record, seq: int, arrival_ns: int) -> None:
        """Evaluate one record that was not known before."""
        if not self._stream.wants(record.event_type):
            return
        resource = record.resource

        def text(*names: str) -> str:
            return next((str(resource[name]) for name in names if resource.get(name)), "")

        pod_uid, node = text("pod_uid", "pod_id"), text("node", "node_name")
        context = self._owner(pod_uid, text("pod_name"), node)
        if not context.workload_id and (workload := text("workload_id")):
            context = structs.replace(context, workload_id=workload)
        client = (
            node
            or pod_uid
            or _pod(text("namespace", "pod_namespace"), text("pod_name"))
            or text("workload_id", "workload_uid")
            or record.session_id
        )
        said = Said(record.timestamp_ns, client, context, {}, record.body or "")
        self._stream.record(record, said, seq=seq, arrival_ns=arrival_ns)

    def tick(self) -> None:
        """Look for silence, now and then: only when all that has arrived is applied."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._tick_due_s:
            self._tick_due_s = now_s + TICK_EVERY_S
            self._stream.tick(self._clock.now_ns())

    def posts(self) -> Sequence[Post]:
        """What the rules say since `taken`: to be handed to the engine before the cursor moves."""
        self._drain(self._stream)
        return self._posts

    def taken(self) -> None:
        """The engine has what `posts` gave: it is not said again, also where no cursor moves."""
        self._posts = []

    @property
    def counts(self) -> Counter[str]:
        """Bounds reached since the start, under the rules of the moment and those before them."""
        return self._earlier + self._stream.bounds()

    @property
    def touched(self) -> bool:
        """Whether there is something to write with the cursor; after `posts`."""
        return bool(self._rows)

    def write(self, tx: Connection) -> None:
        """Write the states that changed, of rules that are still there."""
        known = self._rules.by_id
        rows = [row for row in self._rows if row.rule_id in known]
        rule_states.put(tx, rows, now_ns=self._clock.now_ns())

    def settle(self) -> None:
        """States are written."""
        self._rows = []

    def _drain(self, stream: RuleStream) -> None:
        posts, rows = stream.drain()
        self._posts.extend(posts)
        self._rows.extend(rows)

    def _opened(self, states: Iterable[StateRow]) -> RuleStream:
        return RuleStream(
            self._rules.enabled,
            since_ns=self._clock.now_ns(),
            resolve_after_ns=self._resolve_after_ns,
            states=states,
        )


def _pod(namespace: str, name: str) -> str:
    """By whose clock something was told whose pod is known by its name only."""
    return f"{namespace}/{name}" if name else ""
