"""Alertmanager's API to the letter: orders, names of alerts, and errors as its clients read them."""

import pytest

from tests.service.alert_site import at, firing, over, post_v2

ALERTING = {
    "route": {
        "receiver": "z",
        "group_by": ["zone"],
        "routes": [
            {"receiver": "z", "matchers": ["twice=1"], "continue": True},
            {"receiver": "a", "matchers": ["twice=1"], "continue": True, "group_by": ["..."]},
            {"receiver": "z", "matchers": ["twice=1"], "group_by": ["alertname", "zone"]},
        ],
    },
    "receivers": [{"name": "z"}, {"name": "nobody"}, {"name": "a"}],
    "inhibit_rules": [{"source_matchers": ["alertname=Cause"], "target_matchers": ["hit=1"]}],
}
TEXT = {"Content-Type": "text/plain"}
SILENCE = {
    "matchers": [{"name": "a", "value": "b", "isRegex": False}],
    "startsAt": at(0),
    "endsAt": "2999-01-01T00:00:00Z",
    "createdBy": "me",
    "comment": "c",
}


@pytest.mark.parametrize("site", [{"alerting": ALERTING}], indirect=True)
def test_lists_are_in_its_order(site):
    post_v2(site, firing("B", zone="eu"), firing("A", twice="1", zone="us"), firing("C"))

    assert site.get("/api/v2/receivers").json() == [
        {"name": "z"}, {"name": "nobody"}, {"name": "a"},
    ]  # fmt: skip
    told = {
        one["labels"]["alertname"]: [receiver["name"] for receiver in one["receivers"]]
        for one in site.get("/api/v2/alerts").json()
    }
    # Once for each route, in the order of routes; among groups by name.
    assert told == {"A": ["z", "a", "z"], "B": ["z"], "C": ["z"]}
    groups = site.get("/api/v2/alerts/groups").json()
    assert [(one["labels"], one["receiver"]["name"]) for one in groups] == [
        ({}, "z"),
        ({"zone": "eu"}, "z"),
        ({"zone": "us"}, "z"),
        ({"alertname": "A", "zone": "us"}, "z"),
        ({"alertname": "A", "twice": "1", "zone": "us"}, "a"),
    ]
    assert groups[2]["alerts"][0]["receivers"] == [{"name": "a"}, {"name": "z"}, {"name": "z"}]
    assert len(site.get("/api/v2/status").json()["uptime"]) == len("2026-01-01T00:00:00.000Z")


@pytest.mark.parametrize("site", [{"alerting": ALERTING}], indirect=True)
def test_alerts_are_called_what_they_are_called_there(site):
    post_v2(
        site,
        {"labels": {"alertname": "Down", "node": "n2", "t": "3", "zone": "eu"}},
        firing("Cause"),
        firing("Hit", hit="1"),
    )
    found = site.get("/api/v2/alerts").json()
    by_name = {one["labels"]["alertname"]: one for one in found}

    assert by_name["Down"]["fingerprint"] == "4b3b50e3ecf30c5f"
    assert by_name["Hit"]["status"]["inhibitedBy"] == [by_name["Cause"]["fingerprint"]]
    prints = [one["fingerprint"] for one in found]
    assert prints == sorted(prints)


def test_refused_alerts_are_named_in_a_text(site):
    bad = {"labels": {"9x": "a"}}
    late = over("late") | {"startsAt": at(9)}
    answer = site.post("/api/v2/alerts", [bad, firing("good"), late])
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/json")
    assert answer.json() == (
        "[0].labels: invalid label set: invalid name '9x'; "
        "[2].endsAt: start time must be before end time"
    )
    assert site.post("/api/v2/alerts", [bad] * 25).json().endswith("'9x'; 5 more")
    answer = site.ask("POST", "/api/v2/alerts", b"[]", headers=TEXT)
    assert (answer.status, answer.headers["Content-Type"]) == (415, "application/json")


def test_a_silence_is_json_and_may_be_for_ever(site):
    for headers in (TEXT, {}):
        assert site.ask("POST", "/api/v2/silences", b"{}", headers=headers).status == 415
    silence = site.post("/api/v2/silences", SILENCE).json()["silenceID"]
    path = f"/api/v2/silence/{silence}"
    assert site.get(path).json()["endsAt"] == "2262-04-11T23:47:16.854Z"
    for odd in (f"urn:uuid:{silence}", f"{{{silence}}}"):
        assert site.get(f"/api/v2/silence/{odd}").status == 422
    empty = {**SILENCE, "matchers": [{"name": "a", "value": "", "isRegex": False}]}
    assert site.post("/api/v2/silences", empty).json() == (
        "silence invalid: at least one matcher must not match the empty string"
    )


def test_a_filters_value_may_have_a_comma(site):
    post_v2(site, firing("x", a="b,c=d"))
    assert len(site.get("/api/v2/alerts", filter="a=b,c=d").json()) == 1
    answer = site.get("/api/v2/alerts", filter="{a")
    assert (answer.status, answer.json()) == (
        400,
        "bad matcher format: unexpected open or close brace: '{a'",
    )


def test_a_silence_of_all_pods_of_a_job(site):
    pods = "|".join(f"llm-7b-worker-{rank}" for rank in range(200))
    silence = {**SILENCE, "matchers": [{"name": "pod", "value": pods, "isRegex": True}]}
    post_v2(
        site, firing("Hot", pod="llm-7b-worker-199"), firing("Hot", pod="llm-7b-worker-200")
    )
    made = site.post("/api/v2/silences", silence).json()["silenceID"]

    found = site.get("/api/v2/alerts", filter=f'pod=~"{pods}"').json()
    assert [(one["labels"]["pod"], one["status"]["silencedBy"]) for one in found] == [
        ("llm-7b-worker-199", [made])
    ]
