"""Alerts correlated many at a time: as one by one, whatever became of them, and undone alike."""

from array import array
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from heliograph.alert.correlation import ties
from heliograph.alert.correlation.correlate import Correlator
from heliograph.alert.model import Context
from heliograph.core import instant
from heliograph.core.duration import MINUTE_NS
from heliograph.kernels import alert_ties
from tests.alert.test_correlate import alert
from tests.twins import plain

NAMES = st.sampled_from(["Plain", "Other", "OOMDetected", "GPUMemoryHigh", ""])
UIDS = st.sampled_from(["", "", "1", "2"])
CONTEXTS = st.builds(
    Context,
    workload_id=UIDS,
    workload_uid=UIDS,
    pod_name=st.sampled_from(["", "p1", "p2", "p3", "p4"]),
    pod_id=UIDS,
    node_name=st.sampled_from(["", "n1", "n2"]),
    cluster_name=st.sampled_from(["", "", "c1", "c2"]),
)
ENTITIES = st.lists(
    st.sampled_from(
        [
            *("workload:1", "pod:1", "pod:ns/p1", "node:n1", "node:n9", "device:a", "device:b"),
            *("device:c", "device:n1/0", "other"),
            *(f"pod:x{n}" for n in range(12)),
        ]
    ),
    max_size=12,
    unique=True,
)
ALERTS = st.fixed_dictionaries(
    {
        "name": NAMES,
        # Mostly one storm, at times one that is apart.
        "at_s": st.sampled_from([0, 0, 0, 1, 30, 200, 400, 3000]),
        "source": st.sampled_from(["metric", "metric", "log"]),
        "labels": st.sampled_from(
            [
                *((), (("kind", "oom"),), (("error_type", "x"),)),
                *((("namespace", "a"),), (("pod_namespace", "b"), ("zone", "z"))),
                (("namespace", "a"), ("pod_namespace", "b")),
                (("exported_namespace", "b"), ("namespace", "a")),
            ]
        ),
        "entities": ENTITIES,
        "context": CONTEXTS,
    }
)
STEPS = st.lists(
    st.one_of(
        st.lists(ALERTS, min_size=1, max_size=12),
        st.sampled_from(["commit", "commit", "abort", "resolve"]),
    ),
    max_size=8,
)


@dataclass
class Told:
    """What a correlator said of a history."""

    correlator: Correlator = field(
        default_factory=lambda: Correlator(
            members_max=4, groups_max=2, candidates_max=3, ties_max=20
        )
    )
    said: list = field(default_factory=list)

    def inside(self):
        """All that it remembers."""
        of = self.correlator._ties
        held = {
            key: one if not isinstance(one, ties.Tie) else (one.pending, _of_groups(one.groups))
            for key, one in of._ties.items()
        }
        waiting = [(at_ns, list(keys)) for at_ns, keys in of._queue]
        return held, of._came, waiting, of._now_ns, dict(of.counts)


def _of_groups(groups):
    return [(group.id, group.refs, group.created_ns, group.updated_ns) for group in groups]


def _alerts(given, numbers):
    return [
        alert(
            next(numbers),
            one["name"],
            one["at_s"],
            source=one["source"],
            entities=one["entities"],
            labels=one["labels"],
            **{name: getattr(one["context"], name) for name in Context.__struct_fields__},
        )
        for one in given
    ]


def _follow(many, single, steps):
    numbers = iter(range(10**6))
    kept = []
    for step in steps:
        if step == "resolve":
            for one in kept[:2]:
                assert many.correlator.resolve(one) == single.correlator.resolve(one)
        elif isinstance(step, str):
            getattr(many.correlator, step)()
            getattr(single.correlator, step)()
        else:
            some = _alerts(step, numbers)
            kept = some
            one_by_one = {}
            for one in some:
                found = single.correlator.add(one)
                one_by_one |= {group.id: group for group in found}
            # What was found is what was said last of each.
            assert {g.id: g for g in many.correlator.add_all(some)} == one_by_one
        assert many.inside() == single.inside()


@given(STEPS)
@settings(max_examples=50)
def test_many_are_as_one_by_one(steps):
    _follow(Told(), Told(), steps)


@given(STEPS)
@settings(max_examples=50)
def test_without_a_compiler_too(steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ties.alert_ties, "begin", plain("alert_ties").begin)
        _follow(Told(), Told(), steps)


def _storm(begin, count, **more):
    return [
        alert(n, "Plain", entities=[f"pod:{n}"], **more) for n in range(begin, begin + count)
    ]


@pytest.mark.skipif(not alert_ties.COMPILED, reason="the plain twin takes none")
def test_a_storm_is_remembered_in_passing(monkeypatch):
    storm = Correlator(members_max=4)
    storm.add_all(_storm(0, 5))
    monkeypatch.setattr(storm, "add", lambda _: pytest.fail("one by one"))

    assert storm.add_all(_storm(5, 100)) == []
    assert storm.counts == {"members_full": 101}

    storm.abort()
    assert len(storm._ties._ties) == 0


def test_what_comes_to_one_of_a_storm_is_tied_to_it():
    many = Correlator(members_max=4)
    many.add_all(_storm(0, 20))
    (group,) = many.add_all([alert(99, "Plain", 3, entities=["pod:17"])])

    assert (group.type, [int(one[:16], 16) for one in group.members]) == ("entity", [17, 99])


def test_what_is_outside_the_window_is_no_part_of_the_storm():
    many = Correlator(members_max=4)
    many.add_all(_storm(0, 20))
    after_s = ties.WINDOW_NS // 10**9
    assert many.add_all(_storm(20, 1, at_s=after_s)) == []
    counted = many.counts["members_full"]
    many.add_all(_storm(21, 1, at_s=after_s + 1, created_s=MINUTE_NS // 10**9))

    assert many.counts["members_full"] == counted
    (group,) = many.add_all(_storm(22, 1, at_s=after_s + 2))
    assert [int(one[:16], 16) for one in group.members] == [21, 22]


@pytest.mark.parametrize("at_ns", [instant.AT_NS_MIN, instant.AT_NS_MAX])
def test_a_storm_at_the_ends_of_time(at_ns):
    many, single = Told(), Told()
    storm = [structs.replace(one, starts_ns=at_ns) for one in _storm(0, 9)]
    many.correlator.add_all(storm)
    for one in storm:
        single.correlator.add(one)

    assert many.inside() == single.inside()


def test_names_beyond_the_bound_are_learned_anew(monkeypatch):
    monkeypatch.setattr("heliograph.alert.correlation.correlate.NAMES_MAX", 3)
    many = Correlator()
    many.add_all([alert(n, f"N{n}") for n in range(8)])
    assert len(many._is_quiet) <= 3


REFS = st.builds(
    ties.Ref,
    id=st.sampled_from("abc"),
    starts_ns=st.sampled_from([0, -5, 2**60]),
    source=st.just("metric"),
    pod_id=st.sampled_from(["", "p"]),
    namespace=st.sampled_from(["", "a"]),
    cluster=st.sampled_from(["", "c1"]),
    owned=st.booleans(),
)
# Keys that are near each other in the table, and the ends of what a hash may be.
KEYS = st.one_of(st.integers(-20, 20), st.sampled_from([2**63 - 1, -(2**63), 2**44, 2**45]))


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "put", "other", "pop"]), KEYS, REFS), max_size=90
    )
)
def test_what_is_held_is_as_in_a_dict(steps):
    held, known = alert_ties.Held(ties.Ref), {}
    for step, key, ref in steps:
        if step == "pop":
            assert held.pop(key, None) == known.pop(key, None)
        else:
            held[key] = known[key] = ref if step == "put" else [ref]
        assert len(held) == len(known)
        assert (key in held) == (key in known)
    assert dict(held.items()) == known
    assert [held.get(key) for key in range(-20, 20)] == [known.get(k) for k in range(-20, 20)]
    with pytest.raises(KeyError):
        del held[99]


@given(
    st.lists(st.tuples(KEYS, st.one_of(REFS, st.none())), max_size=20),
    st.lists(KEYS, max_size=20),
    st.integers(0, 20),
)
def test_what_is_shed_is_what_the_twin_sheds(steps, some, most):
    told = []
    for kernel in (alert_ties, plain("alert_ties")):
        held, keys = kernel.Held(ties.Ref), array("q", some)
        for key, ref in steps:
            held[key] = [key] if ref is None else ref
        told.append((held.shed(keys, most), keys, dict(held.items())))
    assert told[0] == told[1]


def test_much_is_held():
    held = alert_ties.Held(ties.Ref)
    refs = {
        hash(str(n)): ties.Ref(str(n), n, "s", "", "", "", owned=False) for n in range(3000)
    }
    for key, ref in refs.items():
        held[key] = ref
    for key in list(refs)[::2]:
        del held[key], refs[key]
    assert dict(held.items()) == refs
    assert all(held.get(key) == ref for key, ref in refs.items())
