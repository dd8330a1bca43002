"""Values that stand behind their keys without a sign, after a count of steps.

    iter 97: loss 2.3601, time 19.84ms, mfu 0.74%                                     nanoGPT
    Epoch: [0][ 10/5005]  Time  0.350 ( 0.612)  Loss 6.9130e+00 (6.9201e+00)     PyTorch's examples
    Iter 10: Train loss 2.905, It/sec 0.411, Tokens/sec 172.3                             MLX
    step 0001/0015 | step-time 73.352 sec | cross-entropy-loss 2.6636 | learning-rate 1e-06
    step 120/1000 (12.0%) | loss 2.11 | lr 1.0e-04 | 812.1 ms/step | 81,234 tok/s

All of the line behind the count must be such pairs, or none is one: words and numbers are prose too.
A rate stands for itself.
A number in parentheses behind a value is its average. Where any of them is an evaluation's, the line
is one.
"""

import re

from heliograph.training import evaluations, rates
from heliograph.training.grammar import NUMBER

PAIRS_MAX = 64

_PAIR = re.compile(
    r"[\s,|:;]{1,16}([A-Za-z][\w/@.-]{0,60}(?: [A-Za-z][\w/@.-]{0,40}){0,2}?)\s{1,8}"
    rf"({NUMBER})(?:\s?(%|{rates.EACH}|[mu]?s|secs?|seconds|[KMGT]i?B))?(?![\w.])(?:\s?\(\s{{0,8}}({NUMBER})\))?",
    re.IGNORECASE,
)
_RATE = re.compile(
    rf"[\s,|;]{{1,16}}({NUMBER})\s?({rates.EACH}|{rates.MANY})(?=\s{{0,16}}(?:[,|;]|\Z))",
    re.IGNORECASE,
)
_END = re.compile(r"[\s,|.;]*\Z")
# Behind a step, a time that has a unit is the step's; behind an epoch it may be of all so far.
_STEP_TIME = "step time"


def pairs(text: str, at: int, *, stepped: bool) -> list[tuple[str, str]]:
    """Keys and values of *text*, a cleaned line, from character *at* to its end; else [].

    *stepped* says that what is counted before them are steps alone.
    """
    found: list[tuple[str, str]] = []
    for _ in range(PAIRS_MAX):
        match = _PAIR.match(text, at)
        if match is None:
            if (rate := _RATE.match(text, at)) is None:
                break
            found.append((rate[2], rate[1]))
            at = rate.end()
            continue
        key, number, unit, average = match.groups()
        if evaluations.measured(key):
            return []
        unit, each, _ = (unit or "").partition("/")
        if key.lower() == "time" and (each or (stepped and unit)):
            key = _STEP_TIME
        value = f"{number} {unit}" if unit else number
        found.append((key, f"{value} ({average})" if average else value))
        at = match.end()
    return found if _END.match(text, at) is not None else []
