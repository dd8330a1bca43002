"""The OpenAPI document: valid, and of what is served, no more and no less."""

import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from heliograph.service.http import template

# What the interface promises of its parts 1 to 3, as far as it is built.
PROMISED = {
    "POST /v1/prometheus", "POST /v1/prometheus/api/v1/write", "POST /api/v1/write",
    "GET /v1/pods/cache", "GET /v1/pods/workload/cache", "GET /v1/attribution", "POST /v1/placements",
    "GET /v1/query/range", "GET /v1/query/labels", "GET /v1/query/metrics",
    "POST /v1/logs", "GET /v1/workloads", "GET /v1/workloads/{uid}", "GET /v1/workloads/{uid}/training",
    "GET /v1/workloads/{uid}/checkpoints", "GET /v1/workloads/{uid}/timeline", "POST /v1/parse",
    "POST /v1/container-events", "POST /v1/container-events/batch", "GET /v1/records",
    "GET /v1/openapi.json", "GET /healthz", "GET /readyz", "GET /metrics", "GET /",
}  # fmt: skip


@pytest.fixture(scope="module")
def described(shared_site):
    return shared_site.get("/v1/openapi.json").json()


def listed(described):
    return {
        f"{method.upper()} {path}"
        for path, methods in described["paths"].items()
        for method in methods
    }


def test_it_is_valid(described):
    assert list(OpenAPIV31SpecValidator(described).iter_errors()) == []


def test_what_is_promised_is_described(described):
    assert listed(described) >= PROMISED


def test_what_is_served_is_described_and_the_reverse(shared_site, described):
    served = {template(path) for path in shared_site.site.app.paths}

    assert served == described["paths"].keys()


def test_what_is_described_is_served(shared_site, described):
    for operation in listed(described):
        method, _, path = operation.partition(" ")
        known = re.sub(r"\{\w+\}", "none", path)
        answer = shared_site.ask(method, known)
        assert answer.status != 405, operation
        if answer.status == 404:
            # The endpoint's own, not that of a path which nobody serves.
            assert known != path, operation
            assert not answer.body.count(b"nothing at"), operation


def test_operations_are_told_apart_and_say_what_they_need(described):
    operations = [one for methods in described["paths"].values() for one in methods.values()]

    assert len({one["operationId"] for one in operations}) == len(operations)
    for one in operations:
        assert one["summary"]
        assert one["x-permission"] in {"open", "known", "ingest", "view", "edit", "admin"}
        assert ("security" in one) == (one["x-permission"] != "open")


def test_every_parameter_that_is_described_is_taken(shared_site, described):
    """A parameter of the document that the endpoint refuses as unknown would be a lie."""
    for path, methods in described["paths"].items():
        for parameter in methods.get("get", {}).get("parameters", []):
            if parameter["in"] == "query":
                answer = shared_site.get(
                    path.replace("{uid}", "none"), **{parameter["name"]: "1"}
                )
                assert b"unknown parameter" not in answer.body, (path, parameter["name"])
