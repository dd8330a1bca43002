"""Posts on the v2 API that say nothing new: answered from memory, whoever has the store; and never
one that does say something."""

import pytest

from heliograph.core import instant
from tests.service.live import until
from tests.service.running import NOW_NS, running

MINUTE_NS = 60 * 10**9


@pytest.fixture
def site(tmp_path):
    with running(tmp_path / "data") as opened:
        yield opened
        opened.assert_sound()


def at(minutes):
    return instant.text_of(NOW_NS + round(minutes * MINUTE_NS))


def alert(name, *, ends=10.0, summary="hot", **labels):
    return {
        "labels": {"alertname": name, **labels},
        "annotations": {"summary": summary},
        "startsAt": at(-5),
        "endsAt": at(ends),
        "generatorURL": "http://prometheus/graph",
    }


def post(site, *alerts):
    return site.post("/api/v2/alerts", list(alerts))


def listed(site, name):
    answer = site.get("/v1/alerts", alert_name=name).json()
    return sorted(answer["items"], key=lambda one: one["episode"])


def test_a_repeat_is_counted_and_moves_the_end(site):
    assert post(site, alert("A"), alert("B")).status == 200
    for ends in (11, 12, 12):
        assert post(site, alert("A", ends=ends), alert("B", ends=ends)).status == 200

    for name in "AB":
        (one,) = listed(site, name)
        assert (one["count"], one["episode"], one["status"]) == (4, 1, "firing")
    v2 = site.get("/api/v2/alerts").json()
    assert {one["endsAt"] for one in v2} == {at(12).replace("Z", ".000Z")}


def test_new_words_among_repeats_are_kept(site):
    post(site, alert("A"), alert("B"))
    post(site, alert("A", ends=11), alert("B", ends=11, summary="hotter"), alert("C"))

    assert [listed(site, name)[0]["annotations"]["summary"] for name in "ABC"] == [
        "hot",
        "hotter",
        "hot",
    ]
    assert [listed(site, name)[0]["count"] for name in "ABC"] == [2, 2, 1]


def test_a_body_is_taken_in_its_order(site):
    post(site, alert("A"))
    post(site, alert("A", ends=-1), alert("A", ends=12))

    assert [(one["episode"], one["status"]) for one in listed(site, "A")] == [
        (1, "resolved"),
        (2, "firing"),
    ]
    post(site, alert("A", ends=13), alert("A", ends=-0.5))
    assert [one["status"] for one in listed(site, "A")] == ["resolved", "resolved"]


def test_what_was_refused_is_refused_again_and_costs_no_repeat(site):
    post(site, alert("A"))
    for _ in range(2):
        answer = post(site, alert("A", ends=11), alert("B", **{"not-a-name": "x"}))
        assert answer.status == 400
        assert answer.json().startswith("[1].labels: ")
    assert listed(site, "A")[0]["count"] == 3
    assert listed(site, "B") == []


def test_an_alert_without_labels_is_refused_although_its_annotations_were_labels(site):
    labels = {"alertname": "A"}
    for _ in range(2):
        assert post(site, {"labels": labels}).status == 200
    answer = post(site, {"annotations": labels})
    assert (answer.status, answer.json()) == (422, "[0].labels: labels in body is required")
    assert listed(site, "A")[0]["count"] == 2


def test_an_end_that_was_moved_is_there_after_a_restart(tmp_path):
    with running(tmp_path / "data") as site:
        post(site, alert("A", ends=10))
        post(site, alert("A", ends=30))
        until(lambda: listed(site, "A")[0]["count"] == 2, "it was counted")
    with running(tmp_path / "data") as site:
        (one,) = site.get("/api/v2/alerts").json()
        assert instant.parse(one["endsAt"]) >= NOW_NS + 30 * MINUTE_NS
        assert listed(site, "A")[0]["count"] == 2
