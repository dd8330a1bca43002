"""Where a stream's rows show that training began anew: it is at an earlier place than before.

    1 2 3 … 100 | 81 82 …              it went back far
    1 2 3 … 100 (silence) | 99 100 …   it went back, after more silence than there is between rows
    1 2 3 … 100 | 99 100 101 …         it went through the same again, one by one, and on

No beginning is what others show that go back a little:

    1 2 1 3 2 4 3 5 …                  two that print without a name, one of them behind
    epoch 1 19 20, epoch 2 1 2 …       an epoch's end, where steps are counted within it
    8/8 1/8 2/8 …                      so where an epoch is counted out and drawn again

A row's place is its iteration; of rows that name none, their epoch.
"""

import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

# Rows by which one that prints may be behind another, and that show what goes on after it.
LAG_ROWS_MAX = 6
# Less time no training takes to begin anew.
SILENCE_NS_MIN = 2 * 10**9


class Step(NamedTuple):
    """How far a row is: *epoch* and *iteration* are -1 where it does not say; *done*: an epoch's last;
    *starts*: no row, but a mark that training begins."""

    at_ns: int
    epoch: float
    iteration: int
    done: bool
    starts: bool = False

    @property
    def place(self) -> float:
        """What the step is compared by."""
        return self.epoch if self.iteration < 0 else self.iteration


def epoch_of(fields: Mapping[str, Any]) -> tuple[float, bool]:
    """The epoch that *fields* name, -1 where none, and whether they are its last step."""
    epoch = fields.get("epoch")
    if not isinstance(epoch, int | float) or not 0 <= epoch < math.inf:
        return -1.0, False
    done, target = fields.get("current_iteration"), fields.get("target_iteration")
    if not isinstance(done, int | float) or not isinstance(target, int | float):
        return float(epoch), False
    return float(epoch), done >= target > 0


def setbacks(steps: Sequence[Step]) -> list[int]:
    """Which of *steps*, of one stream and in order of time, show that training began anew. Steps that
    name an iteration and steps that name an epoch alone are looked at apart."""
    found: list[int] = []
    for by_iteration in (True, False):
        which = [
            n for n, step in enumerate(steps)
            if step.starts or ((step.iteration >= 0) == by_iteration and step.place >= 0)
        ]  # fmt: skip
        track = [steps[n] for n in which]
        found += (which[n] for n in _setbacks(track))
    return sorted(found)


def _setbacks(track: Sequence[Step]) -> Iterator[int]:
    # Those that got further than all before them since training began, the last of them, in order.
    reached: deque[Step] = deque(maxlen=1 + LAG_ROWS_MAX)
    for n, step in enumerate(track):
        if step.starts:
            reached.clear()
        elif not reached or step.place > reached[-1].place:
            reached.append(step)
        elif step.place == reached[-1].place:
            reached[-1] = step._replace(at_ns=reached[-1].at_ns)
        elif _next_epoch(reached[-1], step):
            reached.clear()
            reached.append(step)
        elif _silent(track[n - 1], step, reached) or not _lags(
            track[n : n + 1 + LAG_ROWS_MAX], [one.place for one in reached]
        ):
            yield n
            reached.clear()
            reached.append(step)


def _next_epoch(top: Step, step: Step) -> bool:
    """Whether *step* is of an epoch after that of *top*, or of one that is drawn again."""
    if step.iteration < 0 or min(top.epoch, step.epoch) < 0:
        return False
    return step.epoch > top.epoch or (step.epoch == top.epoch and top.done)


def _lags(ahead: Sequence[Step], reached: Sequence[float]) -> bool:
    """Whether the first of *ahead* is of one that prints behind another, who lately *reached* more."""
    place = ahead[0].place
    again = reached[bisect_right(reached, place) :]
    if len(again) > LAG_ROWS_MAX:
        return False
    known = bisect_left(reached, place)
    if place > reached[0] and reached[known] != place:
        # Who prints the same of the same steps prints at none that the other left out.
        return False
    after = [step.place for step in takewhile(lambda step: not step.starts, ahead)]
    one_by_one = all(one < later for one, later in pairwise(after))
    return not (one_by_one and after[-1] > reached[-1] and set(again) <= set(after))


def _silent(before: Step, step: Step, reached: Iterable[Step]) -> bool:
    """Whether nothing came for long between *before* and *step*, as time passes where steps are new."""
    usual_ns = max((later.at_ns - one.at_ns for one, later in pairwise(reached)), default=0)
    return step.at_ns - before.at_ns > max(2 * usual_ns, SILENCE_NS_MIN)
