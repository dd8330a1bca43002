"""What is said of channels: templates that cannot be read, and the ledger's under both their names."""

import json

import pytest
from click.testing import CliRunner

from heliograph.cli.config import check_file
from tests.service.alert_site import ROUTE
from tests.service.live import until

CHECKED = """
alerting:
  global: {slack_api_url: 'http://x/y'}
  route: {receiver: a}
  receivers:
  - name: a
    webhook_configs: [{url: 'http://x'}, {url: 'http://x', payload: {a: '{{ if }}'}}]
    slack_configs: [{channel: '#x', fields: [{title: t, value: '{{ .Status'}]}]
    wecom_configs: [{webhook_url: 'http://x', text: '{{ range .Alerts }}{{ break }}{{ end }}'}]
"""
TOLD = [
    "alerting.receivers[0].webhook_configs[1].payload.a: line 1: ",
    "alerting.receivers[0].slack_configs[0].fields[0].value: line 1: an action that does not end",
    "alerting.receivers[0].wecom_configs[0].text: line 1: break is not in the subset",
]


def test_a_template_that_cannot_be_read_is_warned_of_by_the_check(tmp_path):
    path = tmp_path / "heliograph.yaml"
    path.write_text(CHECKED)
    said = CliRunner().invoke(check_file, [str(path)])
    assert said.exit_code == 0
    assert said.output.endswith(f"{path}: ok\n")
    for told in TOLD:
        assert told in said.output
    assert said.output.count("line 1: ") == len(TOLD)


@pytest.mark.parametrize("verb", ["POST", "PUT"])
def test_and_by_who_makes_a_route_of_it(site, verb):
    robot = {"webhook_url": "http://alert-handler/x", "title": "{{ .Status }}"}
    channels = [
        {"type": "webhook", "config": {"url": "http://alert-handler/x"}},
        {"type": "wechat", "config": {**robot, "text": "{{ if }}"}},
    ]
    plain = {**ROUTE, "matchers": [{"name": "a", "value": "b"}]}
    path = "/v1/alert-routes"
    if verb == "PUT":
        path += "/" + site.post(path, {**plain, "channels": channels[:1]}).json()["route_id"]
    body = json.dumps({**plain, "channels": channels}).encode()
    answer = site.ask(verb, path, body, (("Content-Type", "application/json"),))
    assert answer.status in {200, 201}, answer.body
    (told,) = answer.json()["warnings"]
    assert told.startswith("channels[1].config.text: line 1: ")


def test_the_ledger_knows_wecom_by_its_other_name_too(site):
    channel = {"type": "wechat", "config": {"webhook_url": "http://alert-handler/x"}}
    route = {
        "matchers": [{"name": "alertname", "value": "W"}],
        "group_wait": "1s", "channels": [channel],
    }  # fmt: skip
    assert site.post("/v1/alert-routes", route).status == 201
    silence = {
        "matchers": [{"name": "alertname", "value": "W"}],
        "comment": "none is sent", "created_by": "me", "starts_at": "2026-01-01T00:00:00Z",
        "ends_at": "2100-01-01T00:00:00Z",
    }  # fmt: skip
    assert site.post("/v1/silences", silence).status == 201
    site.post("/api/v2/alerts", [{"labels": {"alertname": "W"}}])
    until(lambda: site.get("/v1/notifications", channel="wecom").json()["total"], "it is held")
    found = [
        site.get("/v1/notifications", channel=name).json()["items"]
        for name in ("wecom", "wechat", "email")
    ]
    assert found[0] == found[1] != []
    assert found[2] == []
