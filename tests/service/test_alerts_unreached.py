"""Alertmanager's API where there is no endpoint: a code and a message say so, as there."""

import pytest

ROOTS = ["/api/v2", "/v1/api/v2", "/v1/alerts/metric/api/v2"]


@pytest.mark.parametrize("root", ROOTS)
def test_what_is_not_there(site, root):
    for path in (f"{root}/nope", f"{root}/silence/", f"{root}/alerts/groups/x"):
        answer = site.get(path)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/json")
        assert answer.json() == {"code": 404, "message": f"path {path} was not found"}
    # What is there, and lacks what is asked for, says so in a text.
    answer = site.get(f"{root}/silence/11111111-1111-1111-1111-111111111111")
    assert (answer.status, answer.json()) == (404, "silence not found")


@pytest.mark.parametrize("root", ROOTS)
def test_a_method_that_is_not_taken(site, root):
    for method, path, allowed in [
        ("POST", "status", "GET"),
        ("DELETE", "alerts", "GET, POST"),
        ("PATCH", "silences", "GET, POST"),
        ("PUT", "silence/x", "DELETE, GET"),
    ]:
        answer = site.ask(method, f"{root}/{path}")
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        words = f"method {method} is not allowed, but [{allowed}] are"
        assert answer.json() == {"code": 405, "message": words}


def test_elsewhere_it_is_a_problem(site):
    for status, answer in [
        (404, site.get("/v1/nope")),
        (404, site.get("/api/v1/alerts")),
        (405, site.ask("DELETE", "/v1/alerts")),
        (405, site.ask("DELETE", "/api/v2/metrics")),
        # Of whom it does not know.
        (403, site.ask("POST", "/api/v2/alerts", b"[]", headers={"Origin": "https://a.test"})),
    ]:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status == status


def test_filters_are_in_the_document(site):
    paths = site.get("/v1/openapi.json").json()["paths"]
    for path in ("alerts", "alerts/groups", "silences"):
        (given,) = [
            one
            for one in paths[f"/api/v2/{path}"]["get"]["parameters"]
            if one["name"] == "filter"
        ]
        assert given["schema"]["type"] == "array"
