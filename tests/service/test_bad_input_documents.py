"""Malformed and hostile documents: placements, container events, lines to try out. A row a request.

A document is taken whole or refused whole, with the field at fault; only batches of container
events are taken in part, with a result each.
"""

import json

import pytest

from tests.service.running import CANARY, assert_problem

WORKLOAD = {"uid": "canary-w", "name": "canary"}
POD = {"uid": "canary-p", "name": "canary"}
DEVICE = {"type": "gpu", "id": "0"}
DEEP = b'{"a":' * 100_000
WRONG = (1, 1.5, True, [], {})


def workloads(**more):
    return json.dumps({"workloads": [{**WORKLOAD, **more}]}).encode()


def pods(**more):
    return json.dumps({"pods": [{**POD, **more}]}).encode()


def device(**more):
    return pods(node="n", devices=[{**DEVICE, **more}])


# case, body, status, field ("" where no field is to blame)
PLACEMENTS = [
    ("nothing at all", b"", 400, ""),
    ("white space", b" \n ", 400, ""),
    ("text", b"canary", 400, ""),
    ("a number", b"5", 400, ""),
    ("a list", b"[]", 400, ""),
    ("null", b"null", 400, ""),
    ("JSON cut in the middle", b'{"workloads": [{"uid": "canary"', 400, ""),
    ("100,000 deep", DEEP, 400, ""),
    ("UTF-16", '{"workloads": []}'.encode("utf-16"), 400, ""),
    ("bytes that are not UTF-8", b'{"workloads": [{"uid": "\xff", "name": "canary"}]}', 400, ""),
    ("a NUL", b"workloads: [{uid: canary\0, name: x}]", 400, ""),
    ("an unknown key", b'{"workload": []}', 400, "workload"),
    ("an unknown key of a workload", workloads(owner="x"), 400, "workloads[0].owner"),
    ("an unknown key of a pod", pods(devcies=[]), 400, "pods[0].devcies"),
    ("an unknown key of a device", device(uid="x"), 400, "pods[0].devices[0].uid"),
    ("workloads that are a mapping", b'{"workloads": {"uid": "canary"}}', 400, "workloads"),
    ("workloads that are text", b'{"workloads": "canary"}', 400, "workloads"),
    ("a workload that is null", b'{"workloads": [null]}', 400, "workloads[0]"),
    ("a workload that is text", b'{"workloads": ["canary"]}', 400, "workloads[0]"),
    ("pods that are a number", b'{"pods": 1}', 400, "pods"),
    ("a pod that is a list", b'{"pods": [[]]}', 400, "pods[0]"),
    *((f"a workload's {key} of {value!r}", workloads(**{key: value}), 400, f"workloads[0].{key}") for key in ("uid", "name", "kind", "namespace", "parent_uid", "status") for value in WRONG),
    *((f"a pod's {key} of {value!r}", pods(**{key: value}), 400, f"pods[0].{key}") for key in ("uid", "name", "namespace", "node", "workload_uid") for value in WRONG),
    *((f"a pod's start of {value!r}", pods(start=value), 400, "pods[0].start") for value in (True, [], {}, "yesterday", "2026-13-01T00:00:00Z", 1e300, 10**18, "-1")),
    *((f"a device's {key} of {value!r}", device(**{key: value}), 400, f"pods[0].devices[0].{key}") for key in ("type", "id", "uuid", "serial", "partition") for value in (1.5, True, [], {})),
    ("an empty uid", workloads(uid=""), 400, "workloads[0].uid"),
    ("no uid", b'{"workloads": [{"name": "canary"}]}', 400, "workloads[0].uid"),
    ("a uid of 1,025 bytes", workloads(uid="u" * 1025), 400, "workloads[0].uid"),
    ("half a surrogate pair", b'{"workloads": [{"uid": "\\ud800", "name": "canary"}]}', 400, ""),
    ("a device that is none", device(type="quantum"), 400, "pods[0].devices[0].type"),
    ("devices that are text", pods(devices="gpu"), 400, "pods[0].devices"),
    ("a device twice", pods(node="n", devices=[DEVICE, DEVICE]), 400, "pods[0].devices[1]"),
    ("257 devices", pods(node="n", devices=[{"type": "gpu", "id": str(i)} for i in range(257)]), 413, "pods[0].devices"),
    ("an end before its start", pods(start=2, end=1), 400, "pods[0].end"),
    ("a workload twice", json.dumps({"workloads": [WORKLOAD, WORKLOAD]}).encode(), 400, "workloads[1].uid"),
    ("a workload that is its own parent", workloads(parent_uid="canary-w"), 400, "workloads[0].parent_uid"),
    ("a key twice", b'{"workloads": [{"uid": "canary", "uid": "b", "name": "c"}]}', 400, ""),
    ("a key twice among 400,000", b"{" + b",".join(b'"%d":0' % i for i in range(400_000)) + b',"399999":1}', 400, ""),
    ("100,001 workloads", b'{"workloads": [' + b"0," * 100_000 + b"0]}", 413, "workloads"),
    ("257 KiB of YAML", b"workloads:\n" + b"- canary\n" * 29_500, 413, "body"),
    ("a billion laughs", b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 10)) for c in b"bcdefghi"), 400, ""),
    ("an alias of itself", b"workloads: &a [*a]", 400, ""),
    ("YAML that asks for code", b"workloads: !!python/object/apply:os.system [canary]", 400, ""),
    *((f"YAML's {text}", b"workloads: [{uid: canary, name: %s}]" % text.encode(), 400, "") for text in ("!!timestamp foo", "!!bool maybe", '!!float ""', '!!int ""', "!!map [a]", "!!set {a}", "!!binary =", "!!omap [a]", "!!merge x", "*x", "!x y")),
    ("YAML with a key twice", b"workloads: []\nworkloads: [canary]", 400, ""),
    ("YAML of two documents", b"workloads: []\n---\nworkloads: [canary]", 400, ""),
    ("YAML with a key that is a list", b"? [a]\n: canary", 400, ""),
    ("YAML with a number for a key", b"5: canary", 400, ""),
]  # fmt: skip


@pytest.mark.parametrize("media", ["", "application/yaml", "application/json"])
@pytest.mark.parametrize(
    ("body", "status", "field"), [pytest.param(*row, id=case) for case, *row in PLACEMENTS]
)
def test_placements(shared_site, body, status, field, media):
    if media == "application/json" and body[:1] not in {b"{", b"["}:
        status, field = 400, ""
    headers = {"Content-Type": media} if media else {}

    answer = shared_site.ask("POST", "/v1/placements", body, headers)

    assert_problem(answer, status, field=field or None)


# case, body
PLACED = [
    ("an empty mapping", b"{}"),
    ("YAML", b"workloads:\n- {uid: good-1, name: yes}\n"),
    ("JSON without its type", b'{"workloads": [{"uid": "good-2", "name": "x"}]}'),
    ("a byte order mark", b'\xef\xbb\xbf{"workloads": [{"uid": "good-3", "name": "x"}]}'),
    ("a uid with slashes and per cent", b'{"workloads": [{"uid": "good/../4%2F?#", "name": "x"}]}'),
    ("markup and quotes", b'{"workloads": [{"uid": "good\'\\"</script>", "name": "{{7*7}}"}]}'),
    ("a NUL", b'{"workloads": [{"uid": "good\\u0000", "name": "x"}]}'),
    ("a device whose id is a number", b'{"pods": [{"uid": "good-p", "name": "x", "node": "n", "devices": [{"type": "gpu", "id": 0}]}]}'),
    ("a parent that nobody knows", b'{"workloads": [{"uid": "good-5", "name": "x", "parent_uid": "?"}]}'),
]  # fmt: skip


@pytest.mark.parametrize("body", [pytest.param(body, id=case) for case, body in PLACED])
def test_placements_that_are_taken(shared_site, body):
    answer = shared_site.ask("POST", "/v1/placements", body)

    assert answer.status == 200, answer.body


def event(**more):
    base = {"type": "task_start", "source": "k8s", "node": "n1", "container_id": "canary"}
    return {**base, "data": {"pod_uuid": "canary", "pod_name": "canary"}, **more}


def of_data(**more):
    return event(data={"pod_uuid": "canary", **more})


# case, event, field
EVENTS = [
    ("null", None, ""),
    ("text", "canary", ""),
    ("a number", 1, ""),
    ("empty", {}, "type"),
    *((f"{key} of {value!r}", event(**{key: value}), key) for key in ("type", "source", "node", "container_id", "data") for value in (None, 1, 1.5, True, [])),
    ("a type that is no name", event(type="canary; drop table"), "type"),
    ("a type of 65 characters", event(type="t" * 65), "type"),
    ("an unknown source", event(source="podman"), "source"),
    ("an empty node", event(node=""), "node"),
    ("a node of 1,025 bytes", event(node="n" * 1025), "node"),
    *((f"data.{key} of {value!r}", of_data(**{key: value}), f"data.{key}") for key in ("pod_uuid", "pod_name", "pod_namespace", "status") for value in (1, 1.5, True, [], {})),
    *((f"data.exit_code of {value!r}", of_data(exit_code=value), "data.exit_code") for value in ("1", 1.5, True, [], {}, 10**30)),
    *((f"data.oom_killed of {value!r}", of_data(oom_killed=value), "data.oom_killed") for value in ("true", 1, [], {})),
    *((f"data.created_at of {value!r}", of_data(created_at=value), "data.created_at") for value in (True, [], {}, "yesterday", 1e300)),
    *((f"data.devices of {value!r}", of_data(devices=value), "data.devices") for value in (1, True, "gpu")),
    ("gpus that are a mapping", of_data(devices={"gpu": {}}), "data.devices.gpu"),
    ("a gpu that is null", of_data(devices={"gpu": [None]}), "data.devices.gpu[0]"),
    ("a gpu without id and name", of_data(devices={"gpu": [{}]}), "data.devices.gpu[0].id"),
    ("a gpu whose id is a list", of_data(devices={"gpu": [{"id": []}]}), "data.devices.gpu[0].id"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "field"), [pytest.param(*row, id=case) for case, *row in EVENTS]
)
def test_container_event(shared_site, one, field):
    answer = shared_site.post("/v1/container-events", one)

    assert_problem(answer, 400, field=field or None)


@pytest.mark.parametrize(
    ("one", "field"), [pytest.param(*row, id=case) for case, *row in EVENTS]
)
def test_container_event_in_a_batch_costs_only_itself(shared_site, one, field):
    good = event(container_id="good-c", data={"pod_uuid": "good-p"})

    answer = shared_site.post("/v1/container-events/batch", {"events": [good, one, good]})

    assert answer.status == 206
    told = answer.json()
    assert (told["total"], told["success"], told["error"]) == (3, 2, 1)
    assert [result["status"] for result in told["results"]] == ["ok", "rejected", "ok"]
    assert told["results"][1]["index"] == 1
    where = f"events[1].{field}" if field else "events[1]"
    assert told["results"][1]["detail"].startswith(where)


# case, body, status, field
BATCHES = [
    ("nothing at all", b"", 400, ""),
    ("text", b"canary", 400, ""),
    ("null", b"null", 400, ""),
    ("100,000 deep", DEEP, 400, ""),
    ("UTF-16", "[]".encode("utf-16"), 400, ""),
    ("no events", b"{}", 400, "events"),
    ("an empty list", b"[]", 400, "events"),
    ("events that are a mapping", b'{"events": {}}', 400, "events"),
    ("events that are text", b'{"events": "canary"}', 400, "events"),
    ("1,001 events", b"[" + b"{}," * 1000 + b"{}]", 413, "events"),
    ("a million events", b"[" + b"0," * 1_000_000 + b"0]", 413, "events"),
    ("a key twice", b'{"events": [], "events": []}', 400, ""),
    ("an integer of 5,000 digits", b'{"events": ' + b"9" * 5000 + b"}", 400, "events"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "field"), [pytest.param(*row, id=case) for case, *row in BATCHES]
)
def test_container_events(shared_site, body, status, field):
    answer = shared_site.ask("POST", "/v1/container-events/batch", body)

    assert_problem(answer, status, field=field or None)


def test_container_events_that_are_all_good(shared_site):
    batch = [
        event(container_id=f"good-{i}", data={"pod_uuid": "good-p"}, type=kind)
        for i, kind in enumerate(("task_start", "oom", "die", "unheard.of-type"))
    ]

    assert shared_site.post("/v1/container-events/batch", batch).status == 200
    assert shared_site.post("/v1/container-events/batch", {"events": batch}).status == 200
    assert shared_site.post("/v1/container-events", batch[0]).status == 200


# case, body, status, field
PARSES = [
    ("nothing at all", b"", 400, "body"),
    ("text", b"canary", 400, "body"),
    ("a list", b"[]", 400, "body"),
    ("no lines", b"{}", 400, "body"),
    ("lines that are text", b'{"lines": "canary"}', 400, "lines"),
    ("lines that are null", b'{"lines": null}', 400, "lines"),
    ("a line that is a number", b'{"lines": ["a", 1]}', 400, "lines[1]"),
    ("a framework that is a number", b'{"lines": [], "framework": 1}', 400, "framework"),
    ("an unknown key", b'{"lines": [], "line": "canary"}', 400, "body"),
    ("100,000 deep", b'{"lines": ' + b"[" * 100_000, 400, None),
    ("deep in what is not asked for", b'{"x": ' + b"[" * 100_000, 400, "body"),
    ("half a surrogate pair", b'{"lines": ["\\ud800"]}', 400, None),
    ("bytes that are not UTF-8", b'{"lines": ["\xff"]}', 400, None),
    ("UTF-16", '{"lines": []}'.encode("utf-16"), 400, "body"),
    ("10,001 lines", json.dumps({"lines": ["a"] * 10_001}).encode(), 413, "lines"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "field"), [pytest.param(*row, id=case) for case, *row in PARSES]
)
def test_parse(shared_site, body, status, field):
    assert_problem(shared_site.ask("POST", "/v1/parse", body), status, field=field)


# case, line
LINES = [
    ("empty", ""),
    ("a NUL", "iteration \0 1/10"),
    ("30 MiB", "a" * (30 * 1024 * 1024)),
    ("a million spaces", "iteration" + " " * 1_000_000 + "x"),
    ("a million digits", "loss: " + "1" * 1_000_000),
    ("200,000 fields", "iteration 1/10 | " + "loss: 1 | " * 200_000),
    ("digits beyond any integer", "iteration " + "9" * 400 + "/10 | lm loss: 1e999"),
    ("nan and inf", "iteration 1/10 | lm loss: nan | grad norm: inf | loss: -inf"),
    ("negative iterations", "iteration -5/-10 | lm loss: -1"),
    ("colours", "\x1b[31miteration 1/10\x1b[0m | lm loss: 1.0"),
    ("brackets", "[" * 10_000),
    ("a format", "%s %n {0} {{7*7}} ${jndi:ldap://x}"),
]


@pytest.mark.parametrize("line", [pytest.param(line, id=case) for case, line in LINES])
def test_parse_of_any_line_answers(shared_site, line):
    answer = shared_site.post("/v1/parse", {"lines": [line, "iteration 1/10 | lm loss: 1.0"]})

    assert answer.status == 200
    items = answer.json()["items"]
    assert [item["index"] for item in items] == [0, 1]
    assert items[1]["fields"]["lm_loss"] == 1.0


def test_parse_stores_nothing(site):
    line = f"iteration 1/10 | lm loss: 1.0 | {CANARY}"

    assert site.post("/v1/parse", {"lines": [line]}).json()["items"][0]["kind"] == "performance"
    assert (site.records(), site.label_sets()) == ([], [])
