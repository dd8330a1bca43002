"""Spec 003's projection and its events, case by case, as its users know them."""

import json

import pytest

from heliograph.projection import (
    project_telemetry_mapping,
    projected_record_to_dict,
    unique_projected_correlations,
    unique_projected_resources,
)
from heliograph.projection.collector_health import collector_retry_delay_seconds
from heliograph.projection.events import (
    resolve_distributed_identity,
    telemetry_event_from_record,
    telemetry_event_to_dict,
    validate_telemetry_record,
)
from heliograph.projection.session import stable_legacy_session_id

# Cases of the tables that we answer otherwise, and why. None so far.
DEVIATIONS = {}


def plain(value):
    """*value* with the floats that JSON does not have."""
    if isinstance(value, dict):
        if set(value) == {"$float"}:
            return float(value["$float"].replace("Infinity", "inf"))
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def _project(given, **more):
    optional = {"observed_timestamp_ns"} & given.keys()
    record = project_telemetry_mapping(
        given["record"], **{name: given[name] for name in optional}, **more
    )
    return projected_record_to_dict(record)


def _unique(given):
    records = list(map(project_telemetry_mapping, given["records"]))
    return {
        "resources": unique_projected_resources(records),
        "correlations": unique_projected_correlations(records),
    }


OPERATIONS = {
    "project_telemetry_mapping": _project,
    "unique": _unique,
    "validate_telemetry_record": lambda given: validate_telemetry_record(**given),
    "telemetry_event_from_record": lambda given: telemetry_event_to_dict(
        telemetry_event_from_record(**given)
    ),
    "resolve_distributed_identity": lambda given: resolve_distributed_identity(
        **{"env": {}, **given}
    ),
    "stable_legacy_session_id": lambda given: stable_legacy_session_id(*given["parts"]),
    "collector_retry_delay_seconds": lambda given: collector_retry_delay_seconds(**given),
}


def answer(operation, given, **more):
    """What *operation* comes to, in the words of the tables."""
    try:
        return {"expect": OPERATIONS[operation](given, **more)}
    except ValueError as error:
        return {"raises": {"type": type(error).__name__, "message": str(error)}}


def as_text(value):
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize("table", ["projection", "events"])
def test_every_case_of_the_tables(shared_data, table):
    path = shared_data / "library_vectors" / f"stormlog_{table}.json"
    wrong = []
    for case in json.loads(path.read_text("utf-8"))["cases"]:
        wanted = {name: plain(case[name]) for name in ("expect", "raises") if name in case}
        got = answer(case["op"], plain(case["input"]))
        if as_text(got) != as_text(wanted) and case["id"] not in DEVIATIONS:
            wrong.append((case["id"], got, wanted))
    assert wrong == []


def test_the_later_version_is_a_switch_away(shared_data):
    path = shared_data / "library_vectors" / "stormlog_projection.json"
    cases = [c for c in json.loads(path.read_text("utf-8"))["cases"] if "latest_0_4_3" in c]

    assert cases
    for case in cases:
        got = answer(case["op"], plain(case["input"]), any_backend=True)
        assert as_text(got) == as_text(plain(case["latest_0_4_3"])), case["id"]
