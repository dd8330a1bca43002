"""A condition that must hold for a while before it counts: inactive → pending → firing → inactive.

    step(None, holds=True, at_ns=0, for_ns=60 s)      pending since 0
    step(pending, holds=True, at_ns=60 s, …)          firing, active since 0
    step(firing, holds=False, …)                      None: it is over

Time is what the caller says; a value is None while nothing is the matter.
"""

from typing import NamedTuple


class Pending(NamedTuple):
    """Holds since *since_ns*; *firing* once it did for long enough. *value* is the latest."""

    since_ns: int
    firing: bool
    value: float


class Step(NamedTuple):
    """What one evaluation came to: the next state, and whether it began or ended to fire."""

    state: Pending | None
    began: bool
    ended: bool


def step(state: Pending | None, *, holds: bool, value: float, at_ns: int, for_ns: int) -> Step:
    """The state after the condition was looked at, at *at_ns*."""
    if not holds:
        return Step(None, began=False, ended=state is not None and state.firing)
    since_ns = at_ns if state is None else min(state.since_ns, at_ns)
    firing = at_ns - since_ns >= for_ns or (state is not None and state.firing)
    began = firing and (state is None or not state.firing)
    return Step(Pending(since_ns, firing, value), began=began, ended=False)
