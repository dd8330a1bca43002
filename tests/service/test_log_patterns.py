"""The site's own patterns over HTTP: made, in force at once, counted, and what they left unread."""

import json

import pytest

from heliograph.service import pattern_tally
from heliograph.service.pattern_tally import PatternTally, shape
from heliograph.store.state import log_patterns
from heliograph.store.state.lanes import Lane
from heliograph.training.parse import Parsed, parse_line
from tests.service.running import assert_problem, bearer, running
from tests.service.stories import settled

OURS = {"name": "ours", "kind": "performance", "pattern": r"it=(?P<current_iteration>\d+) l=(?P<lm_loss>[0-9.]+)"}  # fmt: skip
NOISE = {"name": "noise", "kind": "blacklist", "pattern": "heartbeat"}
DIED = {"name": "died", "kind": "event", "pattern": "worker (?P<worker>[0-9]+) gone", "event_type": "process_failed", "severity": "error"}  # fmt: skip
JSON = {"Content-Type": "application/json"}
LINE = "it=7 l=2.5"
POD = {"pod_id": "p-1", "pod_name": "p-1", "namespace_name": "", "host": "n1"}


def body(document):
    return json.dumps(document).encode()


def made(site, document):
    answer = site.post("/v1/log-patterns", document)
    assert answer.status == 201, answer.body
    return answer.json()["pattern_id"]


def sent(site, *texts):
    answer = site.log(*({"log": text, "kubernetes": POD} for text in texts))
    assert answer.status == 200, answer.body
    settled(site)
    return answer.json()


def listed(site, **query):
    return site.get("/v1/log-patterns", **query).json()["items"]


def tried(site, line, **more):
    """What /v1/parse says of *line*."""
    (one,) = site.post("/v1/parse", {"lines": [line], **more}).json()["items"]
    return one["kind"], one["framework"], one["rule"]


def hits(site):
    return {one["name"]: one["hits"] for one in listed(site)}


def rows(site):
    found = site.get("/v1/workloads/w-1/training", limit=1000).json()["items"]
    return [(row["iteration"], row["fields"]["lm_loss"]) for row in found]


def test_a_pattern_is_in_force_when_it_is_answered_and_gone_when_it_is_deleted(site):
    site.place()
    assert sent(site, LINE)["performance"] == 0
    pattern_id = made(site, OURS)
    assert sent(site, LINE)["performance"] == 1
    assert rows(site) == [(7, 2.5)]
    assert hits(site) == {"ours": 1}
    assert tried(site, LINE) == ("performance", "unknown", "pattern:ours")
    assert tried(site, LINE, framework="mine") == ("performance", "mine", "pattern:ours")
    assert hits(site) == {"ours": 1}
    assert site.ask("DELETE", f"/v1/log-patterns/{pattern_id}").status == 204
    assert tried(site, LINE) == ("none", "unknown", "none")
    assert sent(site, LINE)["performance"] == 0
    assert len(rows(site)) == 1
    assert listed(site) == []
    assert_problem(site.get(f"/v1/log-patterns/{pattern_id}"), 404, code="not_found")


def test_what_a_pattern_says_is_what_ingest_and_applier_both_say(site):
    """Also of a line that came in pieces, which the applier alone reads."""
    site.place()
    made(site, OURS)
    site.log(
        {"log": "it=8 ", "logtag": "P", "kubernetes": POD},
        {"log": "l=3.5", "kubernetes": POD},
        {"log": LINE, "kubernetes": POD},
    )
    assert sorted(rows(site)) == [(7, 2.5), (8, 3.5)]
    assert hits(site) == {"ours": 2}
    assert (
        site.measured("log_pattern_match_total{")[
            'framework="unknown",pattern_type="performance",pattern_name="pattern:ours"}'
        ]
        == 2
    )


def test_one_is_shown_replaced_and_its_hits_stay_with_its_name(site):
    pattern_id = made(site, OURS)
    sent(site, LINE)
    one = site.get(f"/v1/log-patterns/{pattern_id}").json()
    assert {**one, "created_at": 0, "updated_at": 0, "last_hit_at": 0} == {
        **OURS, "priority": 50, "enabled": True, "event_type": "", "severity": "info",
        "framework": "", "pattern_id": pattern_id, "in_force": True, "configured": False,
        "hits": 1, "created_at": 0, "updated_at": 0, "last_hit_at": 0, "created_by": one["created_by"],
    }  # fmt: skip
    path = f"/v1/log-patterns/{pattern_id}"
    # As it was shown.
    off = {**one, "enabled": False}
    assert site.ask("PUT", path, body(off), JSON).json() == {"pattern_id": pattern_id}
    assert sent(site, LINE)["performance"] == 0
    assert (listed(site)[0]["enabled"], listed(site)[0]["in_force"]) == (False, False)
    assert hits(site) == {"ours": 1}
    other = {**OURS, "name": "another"}
    assert site.ask("PUT", path, body(other), JSON).status == 200
    assert sent(site, LINE)["performance"] == 1
    assert hits(site) == {"another": 1}


def test_pages_and_filters(site):
    for document in (OURS, NOISE, DIED):
        made(site, document)
    assert [one["name"] for one in listed(site)] == ["died", "noise", "ours"]
    assert [one["name"] for one in listed(site, kind="event")] == ["died"]
    assert listed(site, enabled="false") == []
    page = site.get("/v1/log-patterns", offset=1, limit=1).json()
    assert ([one["name"] for one in page["items"]], page["total"]) == (["noise"], 3)
    assert_problem(site.get("/v1/log-patterns", knid="event"), 400, field="knid")
    assert_problem(site.get("/v1/log-patterns", kind="x"), 400, field="kind")


@pytest.mark.parametrize(
    ("document", "status", "field"),
    [
        ({**OURS, "pattern": "it=("}, 400, "pattern"),
        ({**OURS, "pattern": "(?=x)"}, 400, "pattern"),
        ({**OURS, "kind": "training"}, 400, "kind"),
        ({**OURS, "name": ""}, 400, "name"),
        ({**OURS, "name": 7}, 400, "name"),
        ({**OURS, "priority": "high"}, 400, "priority"),
        ({**OURS, "colour": "red"}, 400, "colour"),
        ({"name": "x", "kind": "event"}, 400, "pattern"),
        ({}, 400, "name"),
    ],
)
def test_what_cannot_be_a_pattern_is_refused_by_field(shared_site, document, status, field):
    assert_problem(shared_site.post("/v1/log-patterns", document), status, field=field)
    assert listed(shared_site) == []


def test_names_are_unique_and_unknown_ones_are_404(site):
    pattern_id = made(site, OURS)
    other = made(site, NOISE)
    assert_problem(site.post("/v1/log-patterns", OURS), 409, code="conflict", field="name")
    assert_problem(
        site.ask("PUT", f"/v1/log-patterns/{other}", body({**NOISE, "name": "ours"}), JSON),
        409,
        field="name",
    )
    assert site.ask("PUT", f"/v1/log-patterns/{pattern_id}", body(OURS), JSON).status == 200
    for method in ("GET", "DELETE"):
        assert_problem(site.ask(method, "/v1/log-patterns/none"), 404)
    assert_problem(site.ask("PUT", "/v1/log-patterns/none", body(DIED), JSON), 404)


def test_roles(guarded):
    for role, may_edit, may_view in (
        ("ingest", False, False), ("viewer", False, True), ("editor", True, True),
    ):  # fmt: skip
        headers = bearer(guarded.tokens[role])
        document = {**OURS, "name": role}
        edited = guarded.post("/v1/log-patterns", document, headers).status
        assert edited == (201 if may_edit else 403)
        for path in ("/v1/log-patterns", "/v1/log-patterns/gaps"):
            assert guarded.get(path, headers).status == (200 if may_view else 403)


def test_a_blacklisted_line_is_nothing_and_is_counted(site):
    site.place()
    made(site, OURS)
    made(site, NOISE)
    assert sent(site, f"heartbeat {LINE}", LINE)["performance"] == 1
    assert rows(site) == [(7, 2.5)]
    # Hits alone are written with the cursor, within a second; rows take them along.
    sent(site, "heartbeat")
    sent(site, LINE)
    assert hits(site) == {"ours": 2, "noise": 2}


def test_an_event_pattern_makes_records(site):
    made(site, DIED)
    assert sent(site, "worker 3 gone")["events"] == 1
    (record,) = site.records(event_type="process_failed")
    assert (record["severity"], record["attributes"]["worker"]) == ("error", 3)


def test_trying_one_stores_nothing(site):
    answer = site.post("/v1/log-patterns/test", {"pattern": OURS, "lines": [LINE, "x"]})
    first, second = answer.json()["items"]
    assert (first["kind"], first["rule"]) == ("performance", "pattern:ours")
    assert first["fields"]["lm_loss"] == 2.5
    assert second["kind"] == "none"
    assert listed(site) == []
    for wrong, field in (
        ({"pattern": OURS}, "lines"),
        ({"lines": []}, "pattern"),
        ({"pattern": {**OURS, "pattern": "("}, "lines": []}, "pattern"),
        ({"pattern": OURS, "lines": [], "x": 1}, "x"),
    ):
        assert_problem(site.post("/v1/log-patterns/test", wrong), 400, field=field)


def test_hits_and_patterns_survive_a_restart_and_the_configurations_stand_first(tmp_path):
    configured = {"logs": {"patterns": [{**NOISE, "name": "ours"}]}}
    with running(tmp_path / "data") as site:
        site.place()
        made(site, OURS)
        sent(site, LINE, LINE)
        assert hits(site) == {"ours": 2}
    with running(tmp_path / "data") as site:
        assert hits(site) == {"ours": 2}
        assert sent(site, LINE)["performance"] == 1
        assert hits(site) == {"ours": 3}
    with running(tmp_path / "data", **configured) as site:
        assert sent(site, LINE)["performance"] == 0
        assert [(one["in_force"], one["configured"]) for one in listed(site)] == [
            (False, False),
            (True, True),
        ]
        shown = site.get("/v1/log-patterns/config:ours").json()
        assert (shown["created_at"], shown["kind"]) == (None, "blacklist")
        for method in ("PUT", "DELETE"):
            answer = site.ask(method, "/v1/log-patterns/config:ours", body(OURS), JSON)
            assert_problem(answer, 409, code="configured")
        assert_problem(site.post("/v1/log-patterns", OURS), 409, field="name")


def test_what_another_process_changed_is_seen(site):
    book = site.site.flow.patterns
    made(site, OURS)
    before = book.in_force().version

    def elsewhere(tx):
        log_patterns.remove(tx, listed(site)[0]["pattern_id"])

    site.site.core.state.write(elsewhere, lane=Lane.CONTROL).result()
    assert book.in_force().version == before
    book._refresh_s = 0.0
    book.refresh()
    assert book.in_force().version > before
    assert not book.in_force().own


def test_lines_that_gave_nothing_are_shown_until_a_pattern_reads_them(site):
    texts = [f"loss={n}.5 lr=0.1 speed=33" for n in range(3)]
    assert all(parse_line(text).gap for text in texts)
    sent(site, *texts)
    made(site, {**OURS, "pattern": r"loss=(?P<total_loss>\S+) lr=(?P<learning_rate>\S+) speed"})
    sent(site, *texts)
    found = site.get("/v1/log-patterns/gaps").json()
    assert (found["total"], found["lines"], found["lines_unlisted"]) == (1, 3, 0)
    (gap,) = found["items"]
    assert (gap["shape"], gap["lines"], gap["sample"], gap["pod_uid"]) == (
        "loss=# lr=# speed=#", 3, "loss=2.5 lr=0.1 speed=33", "p-1",
    )  # fmt: skip
    assert site.get("/v1/log-patterns/gaps", framework="nemo").json()["items"] == []
    assert hits(site) == {"ours": 3}
    (error,) = site.measured("log_pattern_match_error_total").items()
    assert error == ('{framework="unknown",error_type="gap"}', 3.0)


def test_gaps_are_counted_and_sampled_by_shape():
    tally = PatternTally(None, Counted())
    for number in range(3):
        tally.note(gap(), f"step {number} of job a7: los {number}.5e-3 ok", "p-1", number)
    tally.note(gap("megatron-lm"), "x" * 1000, "p-2", 9)

    (first, second) = tally.gaps()
    assert first == pattern_tally.Gap(
        "unknown",
        "step # of job a#: los # ok",
        3,
        "step 2 of job a7: los 2.5e-3 ok",
        "p-1",
        0,
        2,
    )
    assert (len(second.sample), len(second.shape)) == (300, 160)


def test_shapes_beyond_the_bound_take_the_place_of_the_rarest(monkeypatch):
    monkeypatch.setattr(pattern_tally, "SHAPES_MAX", 2)
    tally = PatternTally(None, Counted())
    for text in ("a 1", "a 2", "b", "c"):
        tally.note(gap(), text, "", 1)
    assert [(one.shape, one.lines) for one in tally.gaps()] == [("a #", 2), ("c", 1)]
    assert tally.unlisted == 1


def test_shape():
    assert shape("  loss=-1.5e-05,  12:30 [rank7]") == "loss=#, #:# [rank#]"


class Counted:
    """Meters that nobody reads."""

    def __getattr__(self, name):
        return self

    def add(self, *_):
        return None


def gap(framework="unknown"):
    return Parsed("none", framework, {}, (), "none", "", True)


def test_hits_of_patterns_that_the_configuration_no_longer_has_are_forgotten(tmp_path):
    with running(tmp_path / "data", logs={"patterns": [NOISE]}) as site:
        sent(site, "heartbeat", LINE)
        site.place()
        made(site, OURS)
        sent(site, "heartbeat", LINE)
        assert hits(site) == {"ours": 1, "noise": 2}
    with running(tmp_path / "data") as site:
        assert site.site.core.state.read(log_patterns.hits).keys() == {"ours"}
