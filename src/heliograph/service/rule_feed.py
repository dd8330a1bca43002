"""Rules over what streams in, on the applier's thread: lines, rows and records, in the log's order.

    for each frame        line(…), rows(…), record(…)      evaluated at once, in memory
    before the cursor     posts()  ─► the engine has them, durably; taken()
    with the cursor       write(tx) the rules' own states

A frame that is applied again after a crash is evaluated again from the states of its cursor, and
gives the same posts with the same `seq`, which the engine knows already.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from heliograph.alert.model import Context, Post
from heliograph.alert.rules.rule import AHEAD_NS, Rule, Said, StateRow, clock_of, watches_alike
from heliograph.alert.rules.stream import RuleStream
from heliograph.core.clock import Clock
from heliograph.core.record import Record
from heliograph.core.training import TrainingRow
from heliograph.kernels.log_shapes import Plan
from heliograph.receive.lines import Line, LineBlock, Source, source
from heliograph.rules.patterns import Hit
from heliograph.service import rule_memory
from heliograph.service.line_parses import Read
from heliograph.service.rule_book import RuleBook
from heliograph.service.rule_said import Speaker, said_by, speaker_of, told_by
from heliograph.store.state import rule_states
from heliograph.store.state.state import State
from heliograph.training.clean import uncolored
from heliograph.training.parse import Parsed

TICK_EVERY_S = 1.0
# Pods, as they are named, whose owners are remembered; one more, and all are forgotten.
CONTEXTS_MAX = 20_000
# Pods of which it is remembered what their lines call them: those heard last. Of others rows know
# but the uid.
NAMED_MAX = 100_000
# Plans of which it is remembered which lines need no look; one more, and all are forgotten.
GUARDS_MAX = 8192
_DIGITS = re.compile(rb"[0-9]+")
# What is in every colour code, however its ESC byte is written, or if it is lost.
_COLOUR = re.compile(rb"\[\d{0,3}(?:;\d{1,3}){0,15}m")

Span = tuple[int, int]
Guard = Sequence[Span] | None
Places = NDArray[np.intp]


class RuleFeed:
    """The stream rules at work. Used by the applier alone.

    *owner* gives context by pod uid, pod name and node; *moment* is the same object as long as the
    owners are. Without it they are asked for anew for every stretch.
    """

    def __init__(
        self,
        book: RuleBook,
        state: State,
        clock: Clock,
        *,
        resolve_after_ns: int,
        owner: Callable[[str, str, str], Context],
        moment: Callable[[], object] = object,
    ) -> None:
        self._book = book
        self._state = state
        self._clock = clock
        self._resolve_after_ns = resolve_after_ns
        self._owner = owner
        self._moment = moment
        self._owned_at = moment()
        self._contexts: dict[tuple[str, str, str], Context] = {}
        self._speakers: dict[tuple[str, Source], Speaker] = {}
        # Name and node of a pod, as its lines tell them.
        self._named: dict[str, tuple[str, str]] = {}
        self._names_evicted = 0
        # By the number of a plan: the digits that are zeros where no rule is about a line.
        self._guards: dict[int, Guard] = {}
        self._colours: dict[int, bool] = {}
        self._rows: list[StateRow] = []
        self._posts: list[Post] = []
        self._earlier: Counter[str] = Counter()
        self._rules = book.rules()
        rows, documents = rule_memory.load(state)
        before = rule_memory.as_they_were(book, self._rules, rows, documents, over_series=False)
        # The rules whose document is kept, or will be with the cursor.
        self._noted = {rule_id for rule_id in before if rule_id in documents}
        self._noting: set[str] = set()
        self._stream = self._taken_over(before, rows)
        self._rows += rule_memory.forgotten(
            rows, rule_memory.strangers(rows, documents, self._rules)
        )
        self._tick_due_s = clock.monotonic_s() + TICK_EVERY_S

    def refresh(self) -> None:
        """Take over the rules of the moment, if they are others; between two stretches only.

        What a rule that stays remembers, stays; what one that is no more said, ends.
        """
        moment = self._moment()
        if moment is not self._owned_at:
            self._owned_at = moment
            self._contexts.clear()
            self._speakers.clear()
            self._stream.forget_owners()
        rules = self._book.rules()
        if rules.version == self._rules.version:
            return
        before = {
            rule.id: rule
            for rule in self._rules.enabled
            if not rule_memory.is_over_series(rule)
        }
        states, bounds = self._stream.everything(), self._stream.bounds()
        self._drain(self._stream)
        self._rules = rules
        self._stream = self._taken_over(before, states)
        self._earlier = self._earlier + bounds
        self._guards.clear()

    def heard(self, sources: Iterable[Source]) -> None:
        """Note what *sources* of lines call their pods: rows know but a uid, which nobody may have
        placed."""
        for pod_uid, _, pod_name, node, *_ in sources:
            if not (pod_uid and pod_name):
                continue
            # Taken out and put back: they are in the order in which they were last heard.
            before = self._named.pop(pod_uid, None)
            # Of two that ship its lines, one may know no node.
            named = self._named[pod_uid] = pod_name, node or (before[1] if before else "")
            if named == before:
                continue
            self._stream.forget_owners(pod_uid)
            if len(self._named) > NAMED_MAX:
                del self._named[next(iter(self._named))]
                self._names_evicted += 1

    def wanted(self, read: Read) -> list[Hit]:
        """The places of those lines of *read* that rules may be about, and these, for `line`. What one
        plan reads differs in digits alone, so that most such lines need no look."""
        block, parsed = read.block, read.parsed
        guards = [self._guard(plan) for plan in parsed.plans]
        plan_of = np.frombuffer(parsed.plan_of, np.uint32)
        # Where a line that one plan reads may have a pattern, the others will.
        likely = np.array([False, *[guard is None for guard in guards]])[plan_of]
        looked = plan_of == 0
        for plan, guard in enumerate(guards, 1):
            if guard:
                places = np.flatnonzero(plan_of == plan)
                looked[places] = _without_zeros(block, places, guard)
        coloured = self._coloured(read, plan_of)
        looked[[*coloured]] = likely[[*coloured]] = False
        found = self._stream.matching(block.blob, block.ends, np.flatnonzero(looked).tolist())
        some = np.flatnonzero(likely).tolist()
        if some:
            found += self._stream.matching(block.blob, block.ends, some, together=False)
        for place, text in coloured.items():
            if hits := self._stream.match(text):
                found.append((place, hits))
        if some or coloured:
            found.sort()
        return found

    def _coloured(self, read: Read, plan_of: NDArray[np.uint32]) -> dict[int, str]:
        """The lines of *read* that have colours, between which no word stands as it is: by their
        places, without them."""
        block = read.block
        # Of most blocks no byte is looked at twice.
        if b"\x1b" not in block.blob and _COLOUR.search(block.blob) is None:
            return {}
        plans = [n for n, plan in enumerate(read.parsed.plans, 1) if self._has_colours(plan)]
        found = {}
        for place in np.flatnonzero(np.isin(plan_of, [0, *plans])).tolist():
            text = block.text(place)
            if (bare := uncolored(text)) != text:
                found[place] = bare
        return found

    def _has_colours(self, plan: Plan) -> bool:
        number = plan.number
        if number not in self._colours:
            if len(self._colours) >= GUARDS_MAX:
                self._colours.clear()
            text = _shown(plan)[0].decode("latin-1")
            self._colours[number] = uncolored(text) != text
        return self._colours[number]

    def line(
        self,
        line: Line,
        pod_uid: str,
        seq: int,
        arrival_ns: int,
        parsed: Parsed | None = None,
        hits: tuple[int, ...] | None = None,
    ) -> None:
        """Evaluate one whole line, and what it was *parsed* to; *hits* as `wanted` told them."""
        text = uncolored(line.text)
        if hits is None or not text.isascii():
            # A block has a lone surrogate as three bytes, and patterns are over `?` in its place.
            hits = self._stream.match(text)
        if not hits:
            return
        teller = source(line)
        client, context, labels, values = self._speaker(pod_uid, teller)
        said = Said(line.at_ns, client, context, labels, text, teller)
        told = told_by(text, parsed)
        self._stream.line(hits, said, values=values, told=told, seq=seq, arrival_ns=arrival_ns)

    def rows(self, rows: Sequence[TrainingRow], seq: int, arrival_ns: int) -> None:
        """Evaluate training rows, in their order."""
        if rows and self._stream.wants_rows:
            if max(row.at_ns for row in rows) > arrival_ns + AHEAD_NS:
                rows = [
                    row._replace(rank_group=clock_of(row.rank_group, row.at_ns, arrival_ns))
                    for row in rows
                ]
            self._stream.rows(rows, self._of_pod, seq=seq, arrival_ns=arrival_ns)

    def wanted_records(
        self, records: Sequence[tuple[Record, int, int]]
    ) -> Sequence[tuple[Record, int, int]]:
        """Those of *records*, with what else came with them, that a rule may be about, for `record`."""
        types = self._stream.event_types
        return (
            records if types is None else [one for one in records if one[0].event_type in types]
        )

    def record(self, record: Record, seq: int, arrival_ns: int) -> None:
        """Evaluate one record that was not known before."""
        said = said_by(record, self._context)
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
        """Bounds reached since the start, under the rules of the moment and those before them; and
        `names_evicted`, pods whose names were given up for room. Any thread may ask."""
        own = Counter(names_evicted=self._names_evicted)
        return self._earlier + self._stream.bounds() + own

    @property
    def touched(self) -> bool:
        """Whether there is something to write with the cursor; after `posts`."""
        return bool(self._rows)

    def write(self, tx: Connection) -> None:
        """Write the states that changed, and whose they are."""
        documents = self._rules.documents
        kept = {row.rule_id for row in self._rows if row.state is not None}
        self._noting = kept & documents.keys() - self._noted
        noted = [rule_memory.noted(rule_id, documents[rule_id]) for rule_id in self._noting]
        rule_states.put(tx, [*self._rows, *noted], now_ns=self._clock.now_ns())

    def settle(self) -> None:
        """States are written."""
        self._rows = []
        self._noted |= self._noting

    def _guard(self, plan: Plan) -> Guard:
        number = plan.number
        if number not in self._guards:
            if len(self._guards) >= GUARDS_MAX:
                self._guards.clear()
            self._guards[number] = self._stream.guard(*_shown(plan))
        return self._guards[number]

    def _speaker(self, pod_uid: str, teller: Source) -> Speaker:
        found = self._speakers.get((pod_uid, teller))
        if found is None:
            if len(self._speakers) >= CONTEXTS_MAX:
                self._speakers.clear()
            found = speaker_of(pod_uid, teller, self._context)
            self._speakers[pod_uid, teller] = found
        return found

    def _of_pod(self, pod_uid: str) -> Context:
        return self._context(pod_uid, *self._named.get(pod_uid, ("", "")))

    def _context(self, pod_uid: str, pod_name: str, node: str) -> Context:
        name = pod_uid, pod_name, node
        context = self._contexts.get(name)
        if context is None:
            if len(self._contexts) >= CONTEXTS_MAX:
                self._contexts.clear()
            context = self._contexts[name] = self._owner(*name)
        return context

    def _drain(self, stream: RuleStream) -> None:
        posts, rows = stream.drain()
        self._posts.extend(posts)
        self._rows.extend(rows)

    def _taken_over(self, before: Mapping[str, Rule], states: Sequence[StateRow]) -> RuleStream:
        """The stream of the rules of the moment, of those *before* it and their *states*; what those
        said that are no more, or are others now, ends."""
        now_ns = self._clock.now_ns()
        stays = {
            rule.id
            for rule in self._rules.enabled
            if rule.id in before and watches_alike(before[rule.id], rule)
        }
        gone = {rule_id: rule for rule_id, rule in before.items() if rule_id not in stays}
        leaving = RuleStream(
            [*gone.values()],
            since_ns=now_ns,
            states=[row for row in states if row.rule_id in gone],
        )
        leaving.retire(now_ns)
        self._posts.extend(leaving.drain()[0])
        self._earlier = self._earlier + leaving.bounds()
        if gone:
            self._rows.extend(rule_memory.forgotten(states, gone))
            self._noted -= gone.keys()
        return RuleStream(
            self._rules.enabled,
            since_ns=now_ns,
            resolve_after_ns=self._resolve_after_ns,
            states=[row for row in states if row.rule_id in stays],
        )


def _without_zeros(
    block: LineBlock, places: Places, guard: Sequence[Span]
) -> NDArray[np.bool_]:
    """(n,) whether the line at each of *places* has a digit but 0 at *guard*."""
    texts = np.frombuffer(block.blob, np.uint8)
    starts = np.concatenate(([0], np.frombuffer(block.ends, np.uint32)))[places]
    digits = np.concatenate([np.arange(start, stop) for start, stop in guard])
    found: NDArray[np.bool_] = (texts[starts[:, None] + digits] != ord("0")).any(axis=1)
    return found


def _shown(plan: Plan) -> tuple[bytes, Sequence[Span]]:
    """A line that *plan* reads, and where others that it reads have other digits."""
    text, at = bytearray(plan.mask), 0
    for start, stop in plan.spans:
        text[start:stop] = plan.literal[at : at + stop - start]
        at += stop - start
    same = set(plan.spans)
    return bytes(text), [
        run for found in _DIGITS.finditer(text) if (run := found.span()) not in same
    ]
