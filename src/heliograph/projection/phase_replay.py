"""Phases read back from events: when each scope was open, and whose an instant was.

    replay = phases_of(events)
    replay.spans        [PhaseSpan(name="forward", path=("train", "forward"), start_ns=…, end_ns=…), …]
    replay.errors       [PhaseFault(at_ns=…, scope_id=…, reason="never entered"), …]
    phase_at(replay.spans, at_ns, session_id="run-7", rank=0)    Attribution(span, "unique")

Scopes are told apart by session, rank and id; the order of the events is that of their times, of equal
times that of their sequence. A scope that is never left ends with its session and says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from heliograph.projection.event import TelemetryEvent, is_integer

FAULTS_MAX = 1000


class PhaseSpan(NamedTuple):
    """One scope over [start_ns, end_ns]; *synthetic_end* when nobody told its end."""

    session_id: str
    rank: int
    thread_id: int | None
    scope_id: str
    parent_scope_id: str | None
    name: str
    path: tuple[str, ...]
    start_ns: int
    end_ns: int
    synthetic_end: bool


class PhaseFault(NamedTuple):
    """What does not fit: `entered twice`, `never entered`, `out of order`, `no scope`."""

    session_id: str
    rank: int
    scope_id: str
    at_ns: int
    reason: str


class Replay(NamedTuple):
    """Spans by start, outer before inner; the first `FAULTS_MAX` faults, by time."""

    spans: list[PhaseSpan]
    errors: list[PhaseFault]


class Attribution(NamedTuple):
    """The innermost scope at an instant; *how* sure: by its id, by its thread, as the only one, or one
    of several threads' (then the latest begun)."""

    span: PhaseSpan
    how: Literal["exact", "thread_local", "unique", "ambiguous"]


class _Mark(NamedTuple):
    at_ns: int
    sequence: int
    event: TelemetryEvent
    scope: Mapping[str, Any]


_Key = tuple[str, int, str]


def phases_of(events: Iterable[TelemetryEvent], *, end_ns: int | None = None) -> Replay:
    """The scopes of *events*, in any order. What stays open ends at *end_ns*, by default with the last
    event of its session."""
    marks: list[_Mark] = []
    errors: list[PhaseFault] = []
    last_ns: dict[str, int] = {}
    for event in events:
        session = event.session_id
        last_ns[session] = max(last_ns.get(session, event.timestamp_ns), event.timestamp_ns)
        if event.event_type not in {"phase_enter", "phase_exit"}:
            continue
        scope = event.metadata.get("phase_scope")
        if isinstance(scope, Mapping) and isinstance(scope.get("scope_id"), str):
            sequence = scope.get("sequence")
            number = sequence if is_integer(sequence) else 0
            marks.append(_Mark(event.timestamp_ns, number, event, scope))  # type: ignore[arg-type]
        else:
            errors.append(PhaseFault(session, event.rank, "", event.timestamp_ns, "no scope"))
    marks.sort(key=lambda mark: mark[:2])
    spans = _paired(
        marks, errors, last_ns if end_ns is None else dict.fromkeys(last_ns, end_ns)
    )
    spans.sort(key=lambda span: (span.start_ns, len(span.path)))
    errors.sort(key=lambda fault: fault.at_ns)
    return Replay(spans, errors[:FAULTS_MAX])


def phase_at(
    spans: Sequence[PhaseSpan],
    at_ns: int,
    *,
    session_id: str,
    rank: int,
    thread_id: int | None = None,
    scope_id: str | None = None,
) -> Attribution | None:
    """Which of *spans* the instant *at_ns* of a rank belongs to, None outside all."""
    near = [
        span
        for span in spans
        if span.session_id == session_id
        and span.rank == rank
        and span.start_ns <= at_ns <= span.end_ns
    ]
    if exact := [span for span in near if span.scope_id == scope_id]:
        return Attribution(exact[0], "exact")
    if thread_id is not None and (own := [s for s in near if s.thread_id == thread_id]):
        return Attribution(_innermost(own), "thread_local")
    if not near:
        return None
    threads = {span.thread_id for span in near}
    return Attribution(_innermost(near), "unique" if len(threads) == 1 else "ambiguous")


def _innermost(spans: Sequence[PhaseSpan]) -> PhaseSpan:
    return max(spans, key=lambda span: (span.start_ns, len(span.path)))


def _paired(
    marks: Sequence[_Mark], errors: list[PhaseFault], end_ns: Mapping[str, int]
) -> list[PhaseSpan]:
    open_: dict[_Key, _Mark] = {}
    # The open scopes of each thread, outermost first.
    stacks: dict[tuple[str, int, object], list[str]] = {}
    spans = []
    for mark in marks:
        event, scope_id = mark.event, mark.scope["scope_id"]
        key = (event.session_id, event.rank, scope_id)
        fault = None
        if event.event_type == "phase_enter":
            if key in open_:
                fault = "entered twice"
            else:
                open_[key] = mark
                stacks.setdefault(_thread(mark), []).append(scope_id)
        elif (entered := open_.pop(key, None)) is None:
            fault = "never entered"
        else:
            stack = stacks[_thread(entered)]
            if stack[-1] != scope_id:
                fault = "out of order"
            stack.remove(scope_id)
            spans.append(_span(entered, mark.at_ns, synthetic=False))
        if fault is not None:
            errors.append(PhaseFault(*key, mark.at_ns, fault))
    for mark in open_.values():
        ends_ns = max(end_ns[mark.event.session_id], mark.at_ns)
        spans.append(_span(mark, ends_ns, synthetic=True))
    return spans


def _thread(mark: _Mark) -> tuple[str, int, object]:
    return mark.event.session_id, mark.event.rank, mark.scope.get("thread_id")


def _span(entered: _Mark, end_ns: int, *, synthetic: bool) -> PhaseSpan:
    scope, event = entered.scope, entered.event
    path = scope.get("path")
    steps = tuple(map(str, path)) if isinstance(path, (list, tuple)) else ()
    name = scope.get("name")
    if not isinstance(name, str):
        name = steps[-1] if steps else scope["scope_id"]
    parent, thread = scope.get("parent_scope_id"), scope.get("thread_id")
    return PhaseSpan(
        session_id=event.session_id,
        rank=event.rank,
        thread_id=thread if is_integer(thread) else None,
        scope_id=scope["scope_id"],
        parent_scope_id=parent if isinstance(parent, str) else None,
        name=name,
        path=steps or (name,),
        start_ns=entered.at_ns,
        end_ns=end_ns,
        synthetic_end=synthetic,
    )
