"""Both kernels of a past: the same values kept, and the same scores, but for those within the limit; the
same rows looked at."""

import math
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.training import TrainingRow
from heliograph.kernels import past as kernel
from tests.twins import plain

PLAIN = plain("past")
pytestmark = pytest.mark.skipif(not kernel.COMPILED, reason="no compiler")
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.0, 2.0, 1e308, -1e308, 5e-324, math.nan, math.inf]),
    st.floats(-10, 10),
    st.floats(allow_nan=False, allow_infinity=False),
)
# How much later each value comes; earlier ones too.
STEPS = st.lists(st.tuples(st.sampled_from([1, 1, 10**9, 0, -2]), NUMBERS), max_size=80)


def alike(one, other, limit):
    """Whether the scores are the same, or one of them is 0 for one that is within *limit*."""
    if one is None or other is None:
        return one is other
    if limit > 0 and 0.0 in (one, other):
        return math.isnan(one + other) or abs(one + other) <= limit
    return one == other or (math.isnan(one) and math.isnan(other))


@given(
    STEPS, st.integers(1, 40), st.integers(1, 40), st.booleans(), st.sampled_from([0.0, 3.0])
)
def test_both_score_alike(steps, size, least, change, limit):
    pasts = [one.Past(size, min(least, size), change) for one in (kernel, PLAIN)]
    at_ns = 0
    for later_ns, value in steps:
        at_ns += later_ns
        compiled, plain = (past.score(at_ns, value, limit) for past in pasts)
        assert alike(compiled, plain, limit)
    assert repr(pasts[0].held()) == repr(pasts[1].held())
    assert pasts[0].late == pasts[1].late
    assert [past.taken for past in pasts] == [len(steps)] * 2
    goes_on = [one.Past(size, min(least, size), change) for one in (kernel, PLAIN)]
    for past, before in zip(goes_on, reversed(pasts), strict=True):
        past.begin(*before.held())
    assert alike(*(past.score(10**12, 1.5) for past in goes_on), 0.0)
    assert repr(goes_on[0].held()) == repr(goes_on[1].held())


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30), st.floats(-1e9, 1e9))
def test_both_score_one_value_alike(values, value):
    assert kernel.robust_z(value, values) == PLAIN.robust_z(value, values)
    assert kernel.median(sorted(values)) == PLAIN.median(sorted(values))


@pytest.mark.parametrize("size", [9, 200])
@pytest.mark.parametrize("level", [2.0, -5.0, 1e-9, 0.3])
def test_at_the_limit_rounding_tells_both_the_same(level, size):
    pasts = [one.Past(size, 5) for one in (kernel, PLAIN)]
    for at_ns in range(size + 20):
        for past in pasts:
            past.score(at_ns, level, 100.0)
    # A hundredth of the level is the least spread: to fall to nothing is just the limit.
    compiled, plain = (past.score(10**9, 0.0, 100.0) for past in pasts)
    assert (abs(compiled) > 100.0) is (abs(plain) > 100.0)
    assert compiled == plain


@pytest.mark.parametrize("module", [kernel, PLAIN])
def test_what_a_past_refuses(module):
    with pytest.raises(AssertionError):
        module.Past(3, 4)
    past = module.Past(3, 1)
    with pytest.raises(TypeError):
        past.score(1, "x")
    past.begin(5, [1.0, 2.0, 3.0, 4.0], None)
    assert past.held() == (5, [2.0, 3.0, 4.0], None)
    past.begin(None, (), None)
    assert past.held() == (None, [], None)


@pytest.mark.parametrize("module", [kernel, PLAIN])
def test_a_damaged_state_breaks_nothing(module):
    past = module.Past(3, 1)
    past.begin(0, [math.nan] * 3, None)
    for n in range(1, 9):
        past.score(n, float(n))
    assert past.held() == (8, [6.0, 7.0, 8.0], None)


class Look:
    """Keeps what it was asked for."""

    def __init__(self, kernel, fields, limit):
        self.kernel, self.fields, self.limit = kernel, fields, limit
        self.held, self.asked = {}, []

    def past(self, field):
        self.asked.append(field)
        self.held[field] = self.kernel.Past(5, 2)
        self.held[field].due = 3
        return self.held[field]

    def write(self, past):
        self.asked.append(past.taken)
        past.due += 3


FIELDS = st.dictionaries(
    st.sampled_from("abc"),
    st.one_of(NUMBERS, st.sampled_from([True, None, "x", 7, 10**400, -(10**400)])),
    max_size=3,
)


@given(st.lists(FIELDS, max_size=25), st.integers(0, 24))
def test_both_look_at_rows_alike(rows, at):
    told = []
    for one in (kernel, PLAIN):
        looks = [Look(one, ("a", "b"), 3), Look(one, ("c",), 0.5), Look(one, (), 1.0)]
        scores, found = one.Scores(looks), []
        for n, fields in enumerate(rows):
            if n == at:
                for past in looks[0].held.values():
                    past.gone = True
            found.append(scores.take(MappingProxyType(fields) if n % 2 else fields, n))
        told.append(repr((found, [look.asked for look in looks])))
    assert told[0] == told[1]


@pytest.mark.parametrize("module", [kernel, PLAIN])
def test_scores_beyond_the_limit_are_told(module):
    looks = [Look(module, ("a",), 3.0), Look(module, ("b", "a"), 3.0)]
    scores = module.Scores(looks)
    for n in range(4):
        assert scores.take({"a": 1.0, "b": 1}, n) is None
    ((number, field, value, z),) = scores.take({"a": 50, "c": 1.0}, 9)
    assert (number, field, value, z > 1000) == (0, "a", 50.0, True)
    assert [look.asked for look in looks] == [["a", 3], ["b", 3, "a"]]


class Track:
    """Scores of one look, and a test that has heard of some things."""

    def __init__(self, kernel, heard_in):
        self.look = Look(kernel, ("a",), 3.0)
        self.heard_in = heard_in
        self.scores = kernel.Scores([self.look], [] if heard_in is ... else [self], self)


@given(
    st.lists(st.tuples(st.sampled_from("xyz"), FIELDS), max_size=25),
    st.sampled_from([..., "now", "before"]),
)
def test_both_go_through_rows_alike(given, heard_in):
    rows = [
        TrainingRow(pod, "log", "", n, n, None, "primus", fields)
        for n, (pod, fields) in enumerate(given)
    ]
    told = []
    for one in (kernel, PLAIN):
        tracks = {("x", "log", ""): Track(one, heard_in).scores}
        at, found = 0, []
        while True:
            at, owner, beyond = one.look_through(tracks, rows, at, "now")
            found.append((at, beyond, owner and owner.look.asked[:]))
            if at == len(rows):
                break
            if owner is None:
                tracks[rows[at][:3]] = Track(one, "now").scores
            else:
                owner.heard_in = "now" if at % 3 else heard_in
                at += 1
        told.append(repr(found))
    assert told[0] == told[1]
