"""Who may do what with alerts; and what is answered while the store takes nothing; and all of it on
PostgreSQL."""

import pytest

from heliograph.core.errors import Unavailable
from tests.service.alert_site import (
    GPU_MEMORY,
    OOM,
    RULE,
    SILENCE,
    SLOW,
    at,
    body,
    firing,
    in_ledger,
    listed,
    over,
    post_v2,
    telling,
)
from tests.service.hooks import Hook
from tests.service.live import until
from tests.service.running import ROLES, WallAt, assert_problem, basic, bearer, running
from tests.store.conftest import pg_server, pg_url  # noqa: F401 - fixtures are found by name

JSON = {"Content-Type": "application/json"}
V2_SILENCE = {
    "matchers": [{"name": "alertname", "value": "x", "isRegex": False}],
    "startsAt": at(0), "endsAt": at(3600), "createdBy": "me", "comment": "c",
}  # fmt: skip
ROUTE = {
    "matchers": [{"name": "never", "value": "x"}],
    "channels": [{"type": "webhook", "config": {"url": "https://8.8.8.8/x"}}],
}
READS = ("viewer", "editor", "admin")
EDITS = ("editor", "admin")
SENDS = ("ingest", "admin")
INTAKE = [
    ("POST", "/api/v2/alerts", [firing("A")]),
    ("POST", "/v1/api/v2/alerts", [firing("A")]),
    ("POST", "/v1/alerts/metric/api/v2/alerts", [firing("A")]),
    ("POST", "/v1/alerts/metric", {"alerts": [GPU_MEMORY]}),
    ("POST", "/v1/alerts/log", OOM),
    ("POST", "/v1/alerts/trace", SLOW),
    ("POST", "/v1/alerts/webhook", {"alert_name": "W"}),
]
VIEWS = [
    *(
        ("GET", path, None)
        for path in (
            "/v1/alerts", "/v1/alerts/statistics", "/v1/alerts/none", "/v1/alerts/none/correlations",
            "/v1/notifications", "/v1/silences", "/v1/silences/none", "/v1/alert-rules",
            "/v1/alert-rules/none", "/v1/alert-routes", "/v1/alert-routes/none", "/api/v2/status",
            "/api/v2/alerts", "/api/v2/alerts/groups", "/api/v2/silences", "/api/v2/receivers",
        )
    ),
    ("POST", "/v1/alert-rules/test", {"rule": RULE, "lines": []}),
    ("POST", "/v1/alert-routes/test", {"labels": {"a": "b"}}),
]  # fmt: skip
CHANGES = [
    ("POST", "/v1/silences", SILENCE),
    ("PUT", "/v1/silences/none", SILENCE),
    ("DELETE", "/v1/silences/none", None),
    ("POST", "/api/v2/silences", V2_SILENCE),
    ("DELETE", "/api/v2/silence/11111111-2222-3333-4444-555555555555", None),
    ("POST", "/v1/alert-rules", {**RULE, "name": "Role"}),
    ("PUT", "/v1/alert-rules/none", RULE),
    ("DELETE", "/v1/alert-rules/none", None),
    ("POST", "/v1/alert-routes", ROUTE),
    ("PUT", "/v1/alert-routes/none", ROUTE),
    ("DELETE", "/v1/alert-routes/none", None),
]
ALLOWED = [
    *((*one, SENDS) for one in INTAKE),
    *((*one, READS) for one in VIEWS),
    *((*one, EDITS) for one in CHANGES),
]


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    with running(tmp_path_factory.mktemp("roles") / "data", with_tokens=True) as site:
        yield site
        assert site.measured("heliograph_bugs_total") == {}


@pytest.mark.parametrize(("method", "path", "document", "allowed"), ALLOWED)
def test_each_role_may_do_its_own(closed, method, path, document, allowed):
    raw = None if document is None else body(document)
    for role in ROLES:
        answer = closed.ask(method, path, raw, {**JSON, **bearer(closed.tokens[role])})
        if role in allowed:
            assert answer.status in {200, 201, 204, 404, 409}, (role, answer.body)
        else:
            assert_problem(answer, 403)
    assert_problem(closed.ask(method, path, raw, JSON), 401)
    assert_problem(closed.ask(method, path, raw, {**JSON, **bearer("wrong")}), 401)
    first = allowed[0]
    assert closed.ask(
        method, path, raw, {**JSON, **basic(closed.tokens[first])}
    ).status not in {401, 403}


def test_who_made_a_rule_is_noted(closed):
    headers = bearer(closed.tokens["editor"])
    made = closed.post("/v1/alert-rules", {**RULE, "name": "Mine"}, headers)
    assert made.status == 201
    shown = closed.get(f"/v1/alert-rules/{made.json()['rule_id']}", headers).json()
    assert shown["created_by"] == "the-editor"


def test_what_cannot_be_kept_is_503_and_changes_nothing(site, monkeypatch):
    post_v2(site, firing("Before"))

    def refuse(tx, changes):
        raise Unavailable("no space left on device", code="disk_full")

    with monkeypatch.context() as patch:
        patch.setattr("heliograph.service.alerting.alerts.write", refuse)
        for method, path, document in INTAKE:
            # Another name: a mere repeat changes nothing that must be kept at once.
            text = body(document).replace(b'"A"', b'"B"')
            answer = site.ask(method, path, text, JSON)
            assert_problem(answer, 503)
            assert int(answer.headers["Retry-After"]) >= 1
        assert site.post("/v1/silences", SILENCE).status == 503
        assert site.post("/v1/alert-routes", ROUTE).status == 503
        assert site.get("/v1/silences", state="all").status == 200
    assert [alert["alert_name"] for alert in listed(site)] == ["Before"]
    assert site.get("/v1/silences", state="all").json()["total"] == 0
    assert site.get("/v1/alert-routes").json()["total"] == 0
    for method, path, document in INTAKE:
        assert site.ask(method, path, body(document), JSON).status in {200, 201}
    assert {alert["alert_name"] for alert in listed(site)} == {
        "Before", "A", "GPUMemoryHigh", "OOMDetected", "SlowOperation", "W",
    }  # fmt: skip


def test_all_of_it_on_postgresql(tmp_path, pg_url):  # noqa: F811 - the fixture
    hook, clock = Hook(), WallAt()
    sections = {
        "state": {"url": pg_url},
        "alerting": telling(hook, evaluate_every="200ms"),
        "notify": {"allow_private": ["127.0.0.0/8"]},
    }
    try:
        with running(tmp_path / "data", clock=clock, **sections) as site:
            site.place(uid="w-1", pod="p-1", node="n-1", start="2026-11-01T00:00:00Z")
            ids = site.post("/v1/alerts/metric", {"alerts": [GPU_MEMORY]}).json()["alert_ids"]
            ids.append(site.post("/v1/alerts/log", OOM).json()["alert_id"])
            site.post("/v1/alerts/trace", {**SLOW, "workload_id": "w-1"})
            for alert_id in ids:
                items = site.get(f"/v1/alerts/{alert_id}/correlations").json()["items"]
                assert "causal" in {group["correlation_type"] for group in items}
                in_ledger(site, alert_id, "it is told", kind="sent")
            assert site.post("/v1/alert-rules", {**RULE, "name": "OnPg"}).status == 201
            assert site.post("/v1/alert-rules", {**RULE, "name": "OnPg"}).status == 409
            site.log(*({"log": f"NCCL error {n}", "date": at(-9 + n)} for n in range(3)))
            assert len(listed(site, alert_name="OnPg")) == 1
            assert site.post("/v1/alert-routes", ROUTE).status == 201
            made = site.post(
                "/v1/silences", {**SILENCE, "matchers": [{"name": "alertname", "value": "Qu*"}]}
            )
            post_v2(site, firing("Quiet"), firing("Loud"))
            post_v2(site, over("Loud"))
            (quiet,) = listed(site, alert_name="Quiet")
            assert quiet["suppressed_by"]["silences"] == [made.json()["silence_id"]]
            rows = site.get(
                "/v1/alerts/statistics", group_by="day,alert_name", limit=100
            ).json()["items"]
            counts = {
                row["group"]["alert_name"]: (row["firing_count"], row["resolved_count"])
                for row in rows
            }
            assert counts["Loud"] == (1, 1)
            assert counts["GPUMemoryHigh"] == (1, 0)
            assert (
                site.post(
                    "/v1/alerts/webhook", {"alert_name": "nul\0", "labels": {"a": "b\0"}}
                ).status
                == 201
            )
            assert len(listed(site, alert_name="nul\0")) == 1
            kinds = {
                item["event_type"]
                for item in site.get("/v1/workloads/w-1/timeline").json()["items"]
            }
            assert "alert" in kinds
            before = {alert["id"]: alert for alert in listed(site)}
            until(
                lambda: (
                    {"GPUMemoryHigh", "OOMDetected"}
                    <= {a["labels"]["alertname"] for a in hook.alerts()}
                ),
                "told",
            )
            site.assert_sound()
        told = len(hook.alerts())
        with running(tmp_path / "data", clock=clock, **sections) as site:
            after = {alert["id"]: alert for alert in listed(site)}
            assert after.keys() == before.keys()
            assert {i: a["labels"] for i, a in after.items()} == {
                i: a["labels"] for i, a in before.items()
            }
            assert len(site.get("/v1/alert-routes").json()["items"]) == 1
            post_v2(site, {**over("x"), "labels": GPU_MEMORY["labels"]})
            until(
                lambda: [
                    a
                    for a in hook.alerts("resolved")
                    if a["labels"]["alertname"] == "GPUMemoryHigh"
                ],
                "its end is told",
            )
            assert len(hook.alerts()) >= told
            site.assert_sound()
    finally:
        hook.close()
