"""Silences: what may be one, what becomes of it, what it holds back."""

import json

import pytest
from msgspec import structs

from heliograph.alert import silence_documents, silences
from heliograph.alert.model import Silence
from heliograph.alert.silences import Silencer, State, Wanted
from heliograph.core import instant
from heliograph.core.clock import SystemClock
from heliograph.core.errors import Refused
from heliograph.core.matcher import Matcher
from tests.conftest import NEW_YEAR_NS

NOW_NS = NEW_YEAR_NS
S = 10**9
HOUR = 3600


def wanted(start_s=0, end_s=HOUR, *, matchers=(("a", "=", "b"),), **more):
    return Wanted(
        matchers=tuple(Matcher(*one) for one in matchers),
        starts_ns=None if start_s is None else NOW_NS + start_s * S,
        ends_ns=None if end_s is None else NOW_NS + end_s * S,
        **more,
    )


def silence(start_s, end_s, **more):
    fields = {
        "id": "one",
        "matchers": (("a", "=", "b"),),
        "created_by": "me",
        "comment": "c",
        "created_ns": NOW_NS - 9 * HOUR * S,
        "updated_ns": NOW_NS - 9 * HOUR * S,
    }
    return Silence(
        starts_ns=NOW_NS + start_s * S, ends_ns=NOW_NS + end_s * S, **(fields | more)
    )


def put(existing, want):
    return silences.update(existing, want, now_ns=NOW_NS, new_id="two")


def test_alertmanagers_table(shared_data):
    cases = json.loads((shared_data / "tables" / "am_silence_rules.json").read_text())["cases"]
    for case in cases:
        CHECKS[case["op"]](case)
    assert len(cases) == 23


def check_validate(case):
    matchers = [
        (one["name"], "=~" if one["isRegex"] else "=", one["value"]) for one in case["matchers"]
    ]
    want = wanted(case["startsAt"], case["endsAt"], matchers=matchers)
    if case["error_contains"] is None:
        silences.validate(want)
        return
    with pytest.raises(Refused) as caught:
        silences.validate(want)
    assert case["error_contains"] in str(caught.value)


def check_can_update(case):
    old, new = silence(*case["old"]), silence(*case["new"])
    assert silences.can_update(old, new, NOW_NS) is case["ok"], case


def check_post(case):
    start_s, end_s = case["body_times"]
    want = wanted(start_s, end_s, id=case.get("id", ""))
    if case["status"] != 200:
        with pytest.raises(Refused) as caught:
            put(None, want)
        assert caught.value.status == case["status"], case
        return
    (made,) = put(None, want)
    assert made.starts_ns == max(NOW_NS, want.starts_ns)


def check_matchers(_):
    existing = silence(-HOUR, HOUR)
    old, new = put(existing, wanted(-HOUR, HOUR, matchers=[("a", "=", "c")], id="one"))
    assert (old.id, old.ends_ns, new.id) == ("one", NOW_NS, "two")


def check_extend(_):
    (same,) = put(silence(-HOUR, HOUR), wanted(-HOUR, 2 * HOUR, id="one"))
    assert (same.id, same.ends_ns) == ("one", NOW_NS + 2 * HOUR * S)


def check_delete(case):
    """What an unknown id is answered with is the endpoint's; twice is once."""
    once = silences.expire(silence(-HOUR, HOUR), NOW_NS)
    assert silences.expire(once, NOW_NS + S) is once


CHECKS = {
    "validate": check_validate,
    "can_update": check_can_update,
    "api_post": check_post,
    "api_delete": check_delete,
    "api_delete_twice": check_delete,
    "api_update_matchers": check_matchers,
    "api_update_extend": check_extend,
}


def test_a_new_one_is_kept_as_it_was_asked_for():
    want = wanted(60, HOUR, created_by="me", comment="why")
    assert silences.create(want, now_ns=NOW_NS, new_id="x") == Silence(
        id="x",
        matchers=(("a", "=", "b"),),
        starts_ns=NOW_NS + 60 * S,
        ends_ns=NOW_NS + HOUR * S,
        created_by="me",
        comment="why",
        created_ns=NOW_NS,
        updated_ns=NOW_NS,
    )


@pytest.mark.parametrize("start_s", [None, -60, 0])
def test_without_a_start_to_come_it_begins_now(start_s):
    made = silences.create(wanted(start_s), now_ns=NOW_NS, new_id="x")
    assert made.starts_ns == NOW_NS


NEVER = [
    # case                          wanted                                        field
    ("no end", wanted(0, None), "ends_at"),
    ("an end that is the start", wanted(60, 60), "ends_at"),
    ("an end before the start", wanted(60, 30), "ends_at"),
    ("an end in the past", wanted(-60, -30), "ends_at"),
    ("an end right now", wanted(-60, 0), "ends_at"),
    ("no matchers", wanted(matchers=()), "matchers"),
    ("all match nothing", wanted(matchers=[("a", "=", ""), ("b", "=~", ".*")]), "matchers"),
    (
        "a name of digits",
        wanted(matchers=[("a", "=", "b"), ("0", "=", "")]),
        "matchers[1].name",
    ),
    ("too many words", wanted(comment="x" * 5000), "comment"),
]


@pytest.mark.parametrize(("want", "field"), [pytest.param(*row, id=i) for i, *row in NEVER])
def test_what_is_no_silence(want, field):
    with pytest.raises(Refused) as caught:
        put(None, want)
    assert (caught.value.field, caught.value.status) == (field, 400)


def test_negative_matchers_alone_are_enough():
    for op, value in (("!=", "b"), ("!~", "b|c"), ("!=", "")):
        (made,) = put(None, wanted(matchers=[("a", op, value)]))
        assert made.matchers == (("a", op, value),)


UPDATES = [
    # existing            wanted                                     ids that change; start, end of the last
    ("active: the end", (-HOUR, HOUR), wanted(-HOUR, 60), ["one"], -HOUR, 60),
    ("active: the start", (-HOUR, HOUR), wanted(-60, HOUR), ["one", "two"], 0, HOUR),
    ("active: a start to come", (-HOUR, HOUR), wanted(60, HOUR), ["one", "two"], 60, HOUR),
    ("active: no start said", (-HOUR, HOUR), wanted(None, HOUR), ["one"], -HOUR, HOUR),
    ("pending: both times", (60, HOUR), wanted(30, 90), ["one"], 30, 90),
    ("pending: now", (60, HOUR), wanted(0, 90), ["one"], 0, 90),
    ("pending: the past", (60, HOUR), wanted(-30, 90), ["one", "two"], 0, 90),
    ("pending: no start said", (60, HOUR), wanted(None, 90), ["one"], 60, 90),
    ("expired", (-HOUR, -60), wanted(-HOUR, HOUR), ["two"], 0, HOUR),
]


@pytest.mark.parametrize(
    ("existing", "want", "ids", "start_s", "end_s"),
    [pytest.param(*row, id=case) for case, *row in UPDATES],
)
def test_updates(existing, want, ids, start_s, end_s):
    changed = put(silence(*existing), structs.replace(want, id="one"))
    assert [one.id for one in changed] == ids
    assert changed[-1].starts_ns == NOW_NS + start_s * S
    assert changed[-1].ends_ns == NOW_NS + end_s * S
    assert all(one.updated_ns == NOW_NS for one in changed)
    if len(changed) == 2:
        assert silences.state(changed[0], NOW_NS) is State.EXPIRED


def test_words_change_and_the_order_of_matchers_does_not_matter():
    existing = silence(-HOUR, HOUR, matchers=(("a", "=", "b"), ("c", "=", "d")))
    matchers = [("c", "=", "d"), ("a", "=", "b")]
    (same,) = put(existing, wanted(-HOUR, HOUR, matchers=matchers, comment="new", id="one"))
    assert (same.id, same.comment, same.created_ns) == ("one", "new", existing.created_ns)


def test_a_start_to_the_second_is_the_same_start():
    existing = silence(-HOUR, HOUR)
    existing = structs.replace(existing, starts_ns=existing.starts_ns + 123_456_789)
    (same,) = put(existing, wanted(-HOUR, 2 * HOUR, id="one"))
    assert (same.id, same.starts_ns) == ("one", existing.starts_ns)


def test_another_schedule_is_another_silence():
    nightly = {"cron": "0 2 * * *", "duration": "1h", "timezone": "UTC"}
    changed = put(silence(-HOUR, HOUR), wanted(-HOUR, HOUR, schedule=nightly, id="one"))
    assert [one.id for one in changed] == ["one", "two"]
    assert changed[1].schedule == nightly


def test_the_clock_alone_decides_the_state():
    one = silence(60, 120)
    assert [silences.state(one, NOW_NS + s * S) for s in (59, 60, 119, 120)] == [
        State.PENDING, State.ACTIVE, State.ACTIVE, State.EXPIRED,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("start_s", "end_s", "left"),
    [(-60, 60, (-60, 0)), (60, 120, (0, 0)), (-120, -60, (-120, -60))],
)
def test_expire(start_s, end_s, left):
    ended = silences.expire(silence(start_s, end_s), NOW_NS)
    assert ((ended.starts_ns - NOW_NS) // S, (ended.ends_ns - NOW_NS) // S) == left
    assert silences.state(ended, NOW_NS) is State.EXPIRED


def test_the_list_begins_with_what_ends_first():
    spans = {
        "late": (-1, 90), "soon": (-1, 30), "next": (10, 20), "far": (50, 60), "old": (-90, -60),
        "gone": (-90, -30),
    }  # fmt: skip
    listed = silences.listed((silence(*span, id=id_) for id_, span in spans.items()), NOW_NS)
    assert [one.id for one in listed] == ["soon", "late", "next", "far", "gone", "old"]


def test_the_expired_are_listed_for_five_days():
    one = silence(-HOUR, 0)
    assert not silences.forgettable(one, NOW_NS + 120 * HOUR * S - 1)
    assert silences.forgettable(one, NOW_NS + 120 * HOUR * S)


# Documents.
SPEC = {
    "matchers": [
        {"name": "alertname", "value": "GPUMemoryHigh"},
        {"name": "workload_id", "value": "test-job-*"},
    ],
    "starts_at": "2026-01-01T10:00:00Z",
    "ends_at": "2026-01-01T12:00:00Z",
    "comment": "Maintenance window for test workloads",
    "created_by": "admin@example.com",
}


def test_the_documented_silence_works_as_written():
    want, warnings = silence_documents.from_document(SPEC)
    made = silences.create(want, now_ns=NOW_NS, new_id="s")
    assert warnings == []
    silencer = Silencer([made])
    noon_ns = instant.parse("2026-01-01T11:00:00Z")
    held = {"alertname": "GPUMemoryHigh", "workload_id": "test-job-7"}
    assert silencer.silenced_by(held, noon_ns) == ("s",)
    assert silencer.silenced_by({**held, "workload_id": "prod-7"}, noon_ns) == ()
    assert silencer.silenced_by({**held, "alertname": "Other"}, noon_ns) == ()
    assert silencer.silenced_by(held, NOW_NS) == ()


def test_what_was_taken_as_a_glob_is_said():
    document = {**SPEC, "matchers": [{"name": "w", "value": "prod-*", "is_regex": True}]}
    want, warnings = silence_documents.from_document(document)
    assert want.matchers == (Matcher("w", "=~", "prod-.*"),)
    assert len(warnings) == 1


DOCUMENTS = [
    # change                                        field
    ({"matchers": []}, "matchers"),
    ({"matchers": None}, "matchers"),
    ({"matchers": [{"name": "a"}]}, "matchers[0].value"),
    ({"ends_at": None}, "ends_at"),
    ({"ends_at": "soon"}, "ends_at"),
    ({"ends_at": True}, "ends_at"),
    ({"starts_at": [1]}, "starts_at"),
    ({"comment": 5}, "comment"),
    ({"schedule": {"cron": "x"}}, "schedule.duration"),
    ({"end": "2026-01-01T12:00:00Z"}, "end"),
]


@pytest.mark.parametrize(("change", "field"), DOCUMENTS)
def test_documents_that_are_refused(change, field):
    with pytest.raises(Refused) as caught:
        silence_documents.from_document({**SPEC, **change})
    assert (caught.value.field, caught.value.status) == (field, 400)


def test_instants_may_be_seconds_and_words_may_be_missing():
    want, _ = silence_documents.from_document(
        {"matchers": ["a=b"], "ends_at": 1_767_232_800, "starts_at": 1_767_225_600.5}
    )
    assert want == Wanted(
        matchers=(Matcher("a", "=", "b"),),
        starts_ns=NOW_NS + S // 2,
        ends_ns=NOW_NS + 2 * HOUR * S,
        begun=True,
    )


@pytest.mark.parametrize(
    ("begun", "start_s", "ids"),
    [
        # What it was made with extends it: its start was moved, and this one says that it has begun.
        (True, -2 * HOUR, ["one"]),
        (True, 0, ["one"]),
        (True, None, ["one"]),
        (True, 60, ["one", "two"]),
        (False, -2 * HOUR, ["one", "two"]),
    ],
)
def test_the_document_of_an_active_silence_extends_it(begun, start_s, ids):
    before = silence(-60, 60)
    changed = put(before, wanted(start_s, HOUR, id="one", begun=begun))
    assert [one.id for one in changed] == ids
    if len(ids) == 1:
        assert (changed[0].starts_ns, changed[0].ends_ns) == (
            before.starts_ns,
            NOW_NS + HOUR * S,
        )


def test_a_past_start_does_not_begin_what_is_ahead():
    changed = put(silence(60, HOUR), wanted(-60, HOUR, id="one", begun=True))
    assert [(one.id, one.starts_ns, one.ends_ns) for one in changed] == [
        ("one", NOW_NS, NOW_NS),
        ("two", NOW_NS, NOW_NS + HOUR * S),
    ]


V2 = {
    "matchers": [{"name": "a", "value": "b*", "isRegex": False}],
    "startsAt": "2026-01-01T00:00:00.111Z",
    "endsAt": "2026-01-01T01:00:00Z",
    "createdBy": "me",
    "comment": "",
}
V2_CHANGES = [
    # change                                       status
    ({}, 200),
    ({"id": "x", "annotations": {}}, 200),
    ({"startsAt": "0001-01-01T00:00:00Z"}, 200),
    ({"createdBy": None}, 422),
    ({"comment": None}, 422),
    # As Debian's Alertmanager answers: types first, then what is missing, then what it means.
    ({"comment": 1}, 400),
    ({"matchers": None}, 422),
    ({"matchers": []}, 422),
    ({"matchers": [], "createdBy": 5}, 400),
    ({"comment": None, "createdBy": 5}, 400),
    ({"comment": None, "endsAt": "x"}, 400),
    ({"comment": None, "matchers": [{"name": 1}]}, 400),
    ({"matchers": "a=b"}, 400),
    ({"matchers": ["a=b"]}, 400),
    ({"matchers": {}}, 400),
    ({"matchers": [{"name": "a"}]}, 422),
    ({"matchers": [{"name": "a", "value": "(", "isRegex": True}]}, 400),
    ({"startsAt": None}, 422),
    ({"startsAt": ""}, 200),
    ({"endsAt": ""}, 400),
    ({"startsAt": 1}, 400),
    ({"startsAt": "now"}, 400),
    ({"endsAt": "0001-01-01T00:00:00Z"}, 400),
    ({"id": None}, 200),
    ({"id": 1}, 400),
]


@pytest.mark.parametrize(("change", "status"), V2_CHANGES)
def test_bodies_of_alertmanagers_api(change, status):
    def post():
        want = silence_documents.from_v2({**V2, **change})
        return put(None, structs.replace(want, id=""))

    if status == 200:
        (made,) = post()
        # On this path nothing is a glob.
        assert made.matchers == (("a", "=", "b*"),)
    else:
        with pytest.raises(Refused) as caught:
            post()
        assert caught.value.status == status


@pytest.mark.parametrize("body", [None, [], "a"])
def test_bodies_that_are_no_objects(body):
    for read in (silence_documents.from_v2, silence_documents.from_document):
        with pytest.raises(Refused) as caught:
            read(body)
        assert caught.value.status == 400


# The reference's silences, as matchers of ours.
def test_the_references_silences(shared_data):
    path = shared_data / "lens_vectors" / "matchers_silences.json"
    cases = json.loads(path.read_text())["cases"]
    asked = [case for case in cases if case["kind"] == "silence"]
    for case in asked:
        alert = case["alert"]
        names = ("cluster_name", "node_name", "pod_name", "workload_id")
        seen = {**alert["labels"], **{n: alert[n] for n in names if alert[n]}}
        expected = case.get("recommended_match", case["observed_match"])
        assert silenced(case["silence"], seen) is expected, case["id"]
    assert len(asked) == 7


def silenced(document, seen):
    matchers = list(document.get("label_matchers", []))
    for one in document.get("resource_filters", []):
        if one["resource_type"] == "gpu":
            matchers.append({"name": "gpu", "value": one["resource_name"]})
        else:
            names = {"node": "node_name", "pod": "pod_name", "workload": "workload_id"}
            matchers.append(
                {"name": names[one["resource_type"]], "value": one["resource_name"]}
            )
    if document["cluster_name"]:
        matchers.append({"name": "cluster_name", "value": document["cluster_name"]})
    body = {"matchers": matchers, "ends_at": "2026-01-02T00:00:00Z"}
    try:
        want, _ = silence_documents.from_document(body)
        made = silences.create(want, now_ns=NOW_NS, new_id="s")
    except Refused:
        # What it cannot mean is refused when it is made, rather than matching all or nothing.
        return False
    return Silencer([made]).silenced_by(seen, NOW_NS) == ("s",)


def test_the_references_requests(shared_data):
    path = shared_data / "lens_vectors" / "matchers_silences.json"
    cases = json.loads(path.read_text())["cases"]
    asked = [case for case in cases if case["kind"] == "silence_api"]
    for case in asked:
        expected = {**case["observed"], **case.get("recommended", {})}
        answer = answered(case["request"])
        assert answer == expected.get("http", expected.get("stored_operator")), case["id"]
    assert len(asked) == 5


def answered(body):
    """The status that refuses *body*, or the first operator that is kept."""
    then_ns = instant.parse("2025-11-03T09:00:00Z")
    try:
        want, _ = silence_documents.from_document(body)
        made = silences.create(want, now_ns=then_ns, new_id="s")
    except Refused as error:
        return error.status
    return made.matchers[0][1]


# Who is silenced.
def test_all_matchers_must_match_and_all_silences_are_named():
    silencer = Silencer(
        [
            silence(-1, 9, id="both", matchers=(("a", "=", "1"), ("b", "=~", "x|y"))),
            silence(-1, 9, id="not", matchers=(("a", "!=", "2"), ("b", "!~", "z"))),
            silence(-1, 9, id="another", matchers=(("a", "=", "2"),)),
        ]
    )
    assert silencer.silenced_by({"a": "1", "b": "x"}, NOW_NS) == ("both", "not")
    assert silencer.silenced_by({"a": "1", "b": "z"}, NOW_NS) == ()
    assert silencer.silenced_by({}, NOW_NS) == ("not",)
    assert silencer.silenced_by({"a": "2"}, NOW_NS) == ("another",)
    # Of the same alert something else may be seen later.
    assert silencer.silenced_by({"a": "3"}, NOW_NS) == ("not",)


def test_time_passes_without_a_change():
    silencer = Silencer([silence(10, 20)])
    seen = {"a": "b"}
    at = [silencer.silenced_by(seen, NOW_NS + s * S) for s in (9, 10, 19, 20)]
    assert at == [(), ("one",), ("one",), ()]


def test_a_scheduled_silence_is_in_force_within_its_span_alone():
    nightly = {"cron": "0 2 * * *", "duration": "1h", "timezone": "UTC"}
    silencer = Silencer([silence(0, 26 * HOUR + 1800, schedule=nightly)])

    def held(hours):
        return bool(silencer.silenced_by({"a": "b"}, NOW_NS + int(hours * HOUR) * S))

    assert [held(h) for h in (0, 2, 2.9, 3, 26, 26.4, 26.5, 26.9)] == [
        False, True, True, False, True, True, False, False,
    ]  # fmt: skip


def test_changes_take_effect_at_once():
    silencer = Silencer()
    seen = {"a": "b"}

    def ids():
        return silencer.silenced_by(seen, NOW_NS)

    assert ids() == ()
    silencer.put(silence(-1, 9))
    assert ids() == ("one",)
    silencer.put(silences.expire(silence(-1, 9), NOW_NS))
    assert ids() == ()
    silencer.put(silence(-1, 9))
    assert ids() == ("one",)
    silencer.put(silence(-1, 9, matchers=(("a", "=", "c"),)))
    assert ids() == ()
    silencer.put(silence(-1, 9, id="two"))
    assert ids() == ("two",)
    silencer.remove("two")
    silencer.remove("two")
    assert ids() == ()
    assert silencer.get("one").matchers == (("a", "=", "c"),)
    assert silencer.get("two") is None


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(silences, "CACHE_MAX", 10)
    silencer = Silencer([silence(-1, 9, matchers=(("pod", "=~", "p.*"),))])
    for number in range(100):
        assert silencer.silenced_by({"pod": f"p{number}"}, NOW_NS) == ("one",)
    assert len(silencer._cache) <= 10


def test_a_hundred_thousand_alerts_and_a_thousand_silences():
    silencer = Silencer(
        silence(-1, 9, id=str(n), matchers=(("pod", "=", f"p{n}"), ("a", "=~", "b|c")))
        for n in range(1000)
    )
    alerts = [{"pod": f"p{n % 5000}", "a": "b", "n": str(n)} for n in range(100_000)]
    clock = SystemClock()
    began_s = clock.monotonic_s()
    held = 0
    for _ in range(2):
        held = sum(bool(silencer.silenced_by(a, NOW_NS)) for a in alerts)
    assert held == 20_000
    # About 0.6 s alone.
    assert clock.monotonic_s() - began_s < 6


def test_there_is_room_for_so_many(monkeypatch):
    monkeypatch.setattr(silences, "SILENCES_MAX", 2)
    monkeypatch.setattr(silences, "LISTED_MAX", 3)
    there = [silence(-HOUR, HOUR, id="1"), silence(HOUR, 2 * HOUR, id="2")]
    new = silence(0, HOUR, id="new")
    silences.check_room(there[:1], [new], NOW_NS)
    silences.check_room(there, [silence(-HOUR, 2 * HOUR, id="1")], NOW_NS)
    ended = silences.expire(there[0], NOW_NS)
    silences.check_room(there, [ended, new], NOW_NS)
    over = [silence(-HOUR, -1, id=str(number)) for number in range(3)]
    for held in (there, over):
        with pytest.raises(Refused) as caught:
            silences.check_room(held, [new], NOW_NS)
        assert (caught.value.status, caught.value.code) == (409, "limit")


def test_a_silence_that_left_is_asked_for_no_more():
    silencer = Silencer([silence(-HOUR, HOUR, id="1")])
    other = silence(-HOUR, HOUR, id="2", matchers=(("c", "=~", ".+"), ("a", "=", "b")))
    silencer.put(other)
    seen = {"a": "b", "c": "d"}
    assert silencer.silenced_by(seen, NOW_NS) == ("1", "2")
    silencer.put(structs.replace(other, matchers=(("c", "!=", "d"),)))
    assert silencer.silenced_by(seen, NOW_NS) == ("1",)
    assert silencer.silenced_by({"c": "e"}, NOW_NS) == ("2",)
    silencer.remove("1")
    assert silencer.silenced_by(seen, NOW_NS) == ()
    silencer.remove("2")
    silencer.remove("2")
    assert silencer.silenced_by({"c": "e"}, NOW_NS) == ()


def test_many_are_taken_in_at_once():
    """A put looks at no other silence: this took minutes when each did."""
    many = [
        silence(-HOUR, HOUR, id=str(number), matchers=((f"n{number}", "=", "b"),))
        for number in range(20_000)
    ]
    silencer = Silencer(many)
    for one in many[1:]:
        silencer.remove(one.id)
    assert silencer.silenced_by({"n0": "b"}, NOW_NS) == ("0",)
