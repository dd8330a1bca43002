"""The labels of training rows by whose they are: many rows come of one pod, with the very same context.

values = owned.of(said, "log")        {"pod_name": "llm-0", …, "row_source": "log"}
owned_key(("workload_id",), values)   as `key_of`, once for all rows of the pod
"""

from collections.abc import Mapping, Sequence

from heliograph.alert.model import Context
from heliograph.alert.rules.rule import Anomaly, FieldTest, Rule, Said, admitted, key_of, known
from heliograph.core.labels import Labels

# Contexts whose labels are remembered; one more forgets them all.
OWNERS_MAX = 4096


RowRule = tuple[Rule, FieldTest | Anomaly]


class Values(dict[str, str]):
    """Labels, the keys that rules make of them, by what they count by, and the rules that they pass."""

    __slots__ = ("admitted", "keys_by")

    def __init__(self, values: dict[str, str], rules: Sequence[RowRule]) -> None:
        super().__init__(values)
        self.keys_by: dict[tuple[str, ...], Labels] = {}
        self.admitted = [(rule, body) for rule, body in rules if admitted(body.match, values)]


class Owned:
    """Remembers labels by context; bounded. Whoever gives the same context again gets the same.
    *rules* are those that look at rows."""

    def __init__(self, rules: Sequence[RowRule]) -> None:
        self._rules = rules
        self._known: dict[tuple[int, str, str], tuple[Context, Values]] = {}

    def of(self, said: Said, source: str, rank: str = "") -> Values:
        """The labels of a row of *source* and *rank*, not to be changed, and the rules that they
        pass."""
        own = {"row_source": source, "rank": rank} if rank else {"row_source": source}
        if said.labels:
            return Values({**known(said), **own}, self._rules)
        # What is remembered keeps its context, so that no other can have its id.
        name = id(said.context), source, rank
        found = self._known.get(name)
        if found is None:
            if len(self._known) >= OWNERS_MAX:
                self._known.clear()
            found = said.context, Values({**known(said), **own}, self._rules)
            self._known[name] = found
        return found[1]


def owned_key(by: tuple[str, ...], values: Mapping[str, str]) -> Labels:
    """`key_of`, once for all rows that share *values*."""
    if not isinstance(values, Values):
        return key_of(by, values)
    key = values.keys_by.get(by)
    if key is None:
        key = values.keys_by[by] = key_of(by, values)
    return key
