"""Rules over training rows: what each looks up is looked up once for all rows of one printer.

    rows.several([row, …], whose, came)      *whose* is asked for each pod that is not known yet
    rows.one(row, said, came)                a row with labels or a line of its own

A *track* is the rows of one pod, source and rank group, and of one rank where a rule asks for it:
whose they are, which rules they pass, by which keys these count, and the pasts that their values
belong to. It holds while the owner does.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heliograph.alert.model import Context
from heliograph.alert.rules import match as rule_match
from heliograph.alert.rules import posts as rule_posts
from heliograph.alert.rules.index import RuleIndex
from heliograph.alert.rules.occurring import OWNER, Occurring
from heliograph.alert.rules.owned import Owned, Values, owned_key
from heliograph.alert.rules.pasts import Held, Pasts
from heliograph.alert.rules.rule import Absence, Anomaly, FieldTest, Rule, Said
from heliograph.alert.rules.saying import Came, Saying
from heliograph.core.training import TrainingRow
from heliograph.rules.anomaly import Scores, is_anomalous, look_through

# Tracks that are remembered; one more forgets them all.
TRACKS_MAX = 4096

Whose = Callable[[str], Context]


class _Scored:
    """An anomaly rule, as it looks at the rows of one track."""

    __slots__ = ("_client", "body", "fields", "held", "key", "limit", "pasts", "rule")

    def __init__(
        self, rule: Rule, body: Anomaly, pasts: Pasts, values: Values, client: str
    ) -> None:
        self.rule, self.body, self.pasts, self._client = rule, body, pasts, client
        self.fields, self.limit = body.fields, body.z
        self.key = owned_key(OWNER if body.by is None else body.by, values)
        # By field, once it was seen.
        self.held: dict[str, Held] = {}

    def past(self, field: str) -> Held:
        """The past of the values of *field*."""
        held = self.held[field] = self.pasts.of(self.key, f"{self._client}/{field}")
        return held

    def write(self, past: Held) -> None:
        """*past* is to be written."""
        self.pasts.write(past)


class _Tested:
    """A rule that asks something of a field, as it looks at the rows of one track. An absence listens
    for *key*, and asks no more of what came with a row that it heard."""

    __slots__ = ("absence", "any_number", "body", "heard_in", "key", "rule")

    def __init__(self, rule: Rule, body: FieldTest, values: Values) -> None:
        self.rule, self.body = rule, body
        self.absence = rule.body if isinstance(rule.body, Absence) else None
        self.key = owned_key(self.absence.by, values) if self.absence else ()
        self.any_number = body.op == "any"
        self.heard_in: Came | None = None

    def hears(self, fields: Mapping[str, Any]) -> bool:
        """Whether one of *fields* passes."""
        if self.any_number:
            for name in self.body.fields:
                if type(fields.get(name)) in _NUMBERS:
                    return True
        return rule_match.field_of(self.body, fields) is not None


_Looks = list[_Scored | _Tested]
_NUMBERS = frozenset({int, float})
# Which of the scored looks, its field, the value and its score.
_Beyond = Sequence[tuple[int, str, float, float]]


class _Track:
    """What a row of it says, but for its time, the labels of all, and the rules that look at them, in
    order."""

    __slots__ = ("looks", "said", "scored", "tested", "values")

    def __init__(self, said: Said, values: Values, looks: _Looks) -> None:
        self.said, self.values, self.looks = said, values, looks
        self.scored = [look for look in looks if isinstance(look, _Scored)]
        self.tested = [look for look in looks if isinstance(look, _Tested)]


class RowRules:
    """The rules of *index* over rows."""

    __slots__ = (
        *("_asks_rank", "_occurring", "_owned", "_saying", "_tracked", "_tracks"),
        "pasts",
    )

    def __init__(self, index: RuleIndex, saying: Saying, occurring: Occurring) -> None:
        self._saying, self._occurring = saying, occurring
        self._owned = Owned(index.rows)
        self._asks_rank = any(_asks_rank(rule, body) for rule, body in index.rows)
        self._tracks: dict[tuple[str, str, str], Scores] = {}
        # The pods of these.
        self._tracked: set[str] = set()
        self.pasts = {
            rule.id: Pasts(rule.id, size=body.size, least=body.least, of=body.of)
            for rule, body in index.deviating
        }

    def one(self, row: TrainingRow, said: Said, came: Came) -> None:
        """Evaluate *row*, of which *said* tells time and labels, and perhaps its line."""
        scores = self._scores(row, said)
        self._look(scores.owner, row, scores.take(row.fields, said.at_ns), said.at_ns, came)

    def several(self, rows: Sequence[TrainingRow], whose: Whose, came: Came) -> None:
        """Evaluate *rows* in their order; *whose* tells, by a pod's uid, all their labels."""
        # A list once, not each time that we look on.
        tracks, at = self._tracks, 0
        some = [_of_rank(row) for row in rows] if self._asks_rank else list(rows)
        while True:
            # Nearly all rows are values as before: they are not looked at one by one here.
            at, track, beyond = look_through(tracks, some, at, came)
            if at == len(some):
                return
            row = some[at]
            if track is not None:
                self._look(track, row, beyond, row.at_ns, came)
                at += 1
                continue
            if len(tracks) >= TRACKS_MAX:
                self.forget_owners()
            self._tracked.add(row.pod_uid)
            context = whose(row.pod_uid)
            said = Said(row.at_ns, row.pod_uid, context)
            tracks[row[:3]] = self._scores(row, said)

    def forget_owners(self, pod_uid: str | None = None) -> None:
        """Whose rows are may be another from now on, of *pod_uid* or of all."""
        if pod_uid is None:
            self._tracks.clear()
            self._tracked.clear()
        elif pod_uid in self._tracked:
            self._tracked.discard(pod_uid)
            for name in [name for name in self._tracks if name[0] == pod_uid]:
                del self._tracks[name]

    def _scores(self, row: TrainingRow, said: Said) -> Scores:
        """Those of the track of *row*, their owner, which does not know them: a forgotten one is gone
        at once."""
        values = self._owned.of(said, row.source, _rank(row) if self._asks_rank else "")
        client = f"{said.client}/{row.rank_group}"
        looks: _Looks = [
            _Scored(rule, body, self.pasts[rule.id], values, client)
            if isinstance(body, Anomaly)
            else _Tested(rule, body, values)
            for rule, body in values.admitted
        ]
        track = _Track(said, values, looks)
        return Scores(track.scored, track.tested, track)

    def _look(
        self, track: _Track, row: TrainingRow, beyond: _Beyond | None, at_ns: int, came: Came
    ) -> None:
        if beyond is None:
            for tested in track.tested:
                if tested.heard_in is not came:
                    self._test(tested, track, row, at_ns, came)
            return
        deviated = {track.scored[n]: (name, value, z) for n, name, value, z in beyond}
        for look in track.looks:
            if isinstance(look, _Tested):
                self._test(look, track, row, at_ns, came)
            elif look in deviated:
                self._deviated(look, track, row, at_ns, came, *deviated[look])

    def _test(
        self, tested: _Tested, track: _Track, row: TrainingRow, at_ns: int, came: Came
    ) -> None:
        if tested.absence is not None:
            if tested.heard_in is not came and tested.hears(row.fields):
                tested.heard_in = came
                self._occurring.heard_key(tested.rule, tested.key, came)
            return
        found = rule_match.field_of(tested.body, row.fields)
        if found is not None:
            self._passed(tested, track, row, at_ns, came, *found)

    def _deviated(
        self,
        scored: _Scored,
        track: _Track,
        row: TrainingRow,
        at_ns: int,
        came: Came,
        name: str,
        value: float,
        z: float,
    ) -> None:
        rule, body, key = scored.rule, scored.body, scored.key
        if not is_anomalous(z, limit=body.z, direction=body.direction):
            return
        if self._saying.again(rule, key, came):
            return
        said = track.said._replace(at_ns=at_ns)
        extra = {"field": name, "match_reason": f"robust z-score {z:.1f}", **_shown(row, said)}
        self._saying.fire(rule, key, said, track.values, extra, came, value)

    def _passed(
        self,
        tested: _Tested,
        track: _Track,
        row: TrainingRow,
        at_ns: int,
        came: Came,
        name: str,
        value: float,
    ) -> None:
        # A row that comes again is the row that it was.
        teller = (row.pod_uid, row.source, row.rank_group, str(row.iteration))
        said = track.said._replace(at_ns=at_ns, teller=teller)
        self._occurring.occurred(
            tested.rule,
            tested.body.threshold,
            said,
            track.values,
            lambda: {"field": name, **_shown(row, said)},
            came,
            value=value,
        )


def _asks_rank(rule: Rule, body: FieldTest | Anomaly) -> bool:
    """Whether *rule* matches on the rank of a row, or counts by it."""
    parts = (rule.body, body, getattr(body, "threshold", None))
    by = {
        one
        for part in parts
        for names in getattr(part, "by", None) or ()
        for one in names.split("|")
    }
    return "rank" in by or any(matcher.name == "rank" for matcher in body.match)


def _rank(row: TrainingRow) -> str:
    """The rank that *row* tells of, "" for none."""
    rank = row.fields.get("rank")
    if not isinstance(rank, int | float) or isinstance(rank, bool):
        return ""
    return rule_posts.number(rank)


def _of_rank(row: TrainingRow) -> TrainingRow:
    """*row* in a group of its rank: its line may name the rank as a value only."""
    rank = _rank(row)
    if rank in {"", row.rank_group}:
        return row
    return row._replace(rank_group=f"{row.rank_group}/{rank}")


def _shown(row: TrainingRow, said: Said) -> dict[str, str]:
    """What an alert shows of *row*: its step, its rank, and its line where there is one."""
    shown = {} if row.iteration is None else {"iteration": str(row.iteration)}
    if rank := _rank(row):
        shown["rank"] = rank
    if said.text:
        shown["log_line"] = rule_posts.line_cut(said.text)
    return shown
