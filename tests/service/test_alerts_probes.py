"""What a real Alertmanager 0.25 was asked and answered: the same requests here, over HTTP."""

import json
import re

import pytest

from heliograph.core import instant
from tests.service.running import WallAt, running

# When the last of them was recorded: nothing begins later.
RECORDED_NS = instant.parse("2026-11-22T00:55:56.7Z")
ALERTING = {
    "route": {"receiver": "r", "group_by": ["alertname"]},
    "receivers": [{"name": "r"}],
}
# Where we mean to differ: v1 is gone from today's Alertmanager, and what is unknown is no bug.
OURS = {"api_v1_gone": 404, "silence_delete_unknown": 404}
# What differs from one run to the next, or between versions.
VOLATILE = ("fingerprint", "updatedAt", "startsAt", "endsAt", "mutedBy", "id", "silencedBy")
RECORDED_MAX = 1900
PATTERNS = {
    "labels_missing": r"\[0\]\.labels.*required",
    "labels_empty": r"\[0\]\.labels.*at least one label pair required",
    "all_label_values_empty": r"\[0\]\.labels.*at least one label pair required",
    "label_invalid_name": r"invalid label set: invalid name 'bad-name'",
    "label_value_number": r"\[0\]\.labels.*int",
    "ends_before_starts": r"\[0\]\.endsAt: start time must be before end time",
    "bad_timestamp": r"\[0\]\.startsAt.*yesterday",
    "generatorURL_invalid": r"\[0\]\.generatorURL: must be of type uri: 'not a url %%'",
    "object_instead_of_array": r"array",
    "mixed_valid_invalid_partial": r"\[1\]\.labels: invalid label set: invalid name '9x'",
    "json_syntax_error": r"not JSON",
    "wrong_content_type": r"unsupported media type 'text/plain'",
    "no_content_type": r"unsupported media type 'application/octet-stream'",
    "silence_no_matchers": r"matchers.*at least 1",
    "silence_matches_empty": r"at least one matcher must not match the empty string",
    "silence_bad_regex": r"^matchers\[0\]\.value: .*\(",
    "silence_no_comment": r"comment.*required",
    "silence_no_createdBy": r"createdBy.*required",
    "silence_end_past": r"end time can't be in the past",
    "silence_end_before_start": r"start time must be before end time",
    "silence_unknown_id": r"silence not found",
    "silence_delete_unknown": r"silence not found",
    "silence_delete_not_uuid": r"must be of type uuid: 'abc'",
}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Ids:
    """The ids that silences have here, by those that they had there; and when the first began."""

    def __init__(self):
        self.ours = {}
        self.starts = "none", "none"

    def learn(self, theirs, ours):
        for one, other in zip(UUID.findall(theirs), UUID.findall(ours), strict=True):
            self.ours.setdefault(one, other)

    def here(self, text):
        text = text.replace(*self.starts)
        return UUID.sub(lambda found: self.ours.get(found.group(), found.group()), text)


def settled(value):
    """*value* without what no two runs have in common; lists of objects in one order."""
    if isinstance(value, dict):
        kept = {key: settled(one) for key, one in value.items() if key not in VOLATILE}
        if "silencedBy" in value:
            kept["silenced"] = len(value["silencedBy"])
        return kept
    if isinstance(value, list):
        return sorted(map(settled, value), key=lambda one: json.dumps(one, sort_keys=True))
    return value


@pytest.fixture(scope="module")
def answered(shared_data, tmp_path_factory):
    """(case, answer, ids of silences) of each request, made in order."""
    path = shared_data / "recorded/alertmanager_0.25_api_v2_probes.json"
    cases = json.loads(path.read_text())["cases"]
    ids, found = Ids(), []
    data_dir = tmp_path_factory.mktemp("probes") / "data"
    with running(data_dir, clock=WallAt(RECORDED_NS), alerting=ALERTING) as site:
        for case in cases:
            body = case["request"]
            if body is not None:
                text = body if isinstance(body, str) else json.dumps(body)
                body = ids.here(text).encode()
            headers = {"Content-Type": case["content_type"]} if case["content_type"] else {}
            answer = site.ask(case["method"], ids.here(case["path"]), body, headers)
            if "silenceID" in case["response"] and answer.status == 200:
                ids.learn(case["response"], answer.body.decode())
            if case["name"] == "silence_get":
                ids.starts = json.loads(case["response"])["startsAt"], answer.json()["startsAt"]
            if case["name"] == "silence_start_past_moved_to_now":
                # The one that is deleted later was made by no request of the record.
                extra = site.ask(case["method"], case["path"], body, headers)
                ids.ours["806f4bef-0b15-4d38-994e-4b45e768785b"] = extra.json()["silenceID"]
            found.append((case, answer))
        site.assert_sound()
    assert len(found) == 55
    return found


def test_statuses(answered):
    wrong = [
        (case["name"], case["status"], answer.status, answer.body[:200])
        for case, answer in answered
        if answer.status != OURS.get(case["name"], case["status"])
    ]
    assert wrong == []


def test_answers_to_those_who_read(answered):
    wrong = []
    for case, answer in answered:
        if case["method"] != "GET" or case["status"] != 200 or case["name"] == "get_status":
            continue
        ours = settled(answer.json())
        if len(case["response"]) >= RECORDED_MAX:
            # Cut off when it was recorded; its beginning tells the shape.
            first, _ = json.JSONDecoder().raw_decode(case["response"][1:])
            assert settled(first) in ours, case["name"]
            continue
        theirs = settled(json.loads(case["response"]))
        if theirs != ours:
            wrong.append((case["name"], theirs, ours))
    assert wrong == []


def test_status_has_what_clients_read(answered):
    (answer,) = [answer for case, answer in answered if case["name"] == "get_status"]
    document = answer.json()
    assert document["cluster"] == {"status": "disabled", "peers": []}
    assert document["versionInfo"].keys() == {
        "branch", "buildDate", "buildUser", "goVersion", "revision", "version",
    }  # fmt: skip
    assert "receiver: r" in document["config"]["original"]


def test_refusals_say_what_is_wrong(answered):
    words = {
        case["name"]: answer.json()
        for case, answer in answered
        if 400 <= answer.status < 500 and answer.body and case["method"] != "GET"
    }
    del words["api_v1_gone"]
    assert {name: bool(re.search(PATTERNS[name], text)) for name, text in words.items()} == (
        dict.fromkeys(PATTERNS, True)
    ), words
