"""What is shown of the configuration: words that amtool reads, and no secret among them."""

from heliograph.alert.config import configuration, original, routing_rules, setup
from heliograph.core import document
from heliograph.core.matcher import Matcher

FILE = """
route: {receiver: all, routes: [{matchers: [a="b"], receiver: ops, continue: true}]}
receivers:
- name: all
  email_configs: [{to: o@x, from: us@x, smarthost: 'm:25', auth_password: very-secret}]
- name: ops
  webhook_configs: [{url: 'https://h/very-secret'}]
  wecom_configs: [{webhook_url: 'https://w/very-secret'}]
"""
ROUTE = {
    "matchers": [{"name": "team", "value": "ml-*"}],
    "channels": [{"type": "slack", "config": {"token": "very-secret", "channel": "#ml"}}],
    "group_by": ["..."],
    "continue": True,
}
SHOWN = """\
global:
  resolve_timeout: 5m
route:
  receiver: all
  routes:
  - receiver: api/7
    group_by:
    - '...'
    matchers:
    - team=~"ml-.*"
    group_wait: 30s
    group_interval: 5m
    repeat_interval: 4h
    continue: true
  - receiver: all
    group_wait: 30s
    group_interval: 5m
    repeat_interval: 4h
    continue: false
    routes:
    - receiver: ops
      matchers:
      - a="b"
      group_wait: 30s
      group_interval: 5m
      repeat_interval: 4h
      continue: true
receivers:
- name: all
  email_configs:
  - to: o@x
    from: us@x
    smarthost: m:25
    send_resolved: false
- name: ops
  webhook_configs:
  - url: https://secret.invalid/
    send_resolved: true
- name: api/7
  slack_configs:
  - api_url: https://secret.invalid/
    channel: '#ml'
    send_resolved: true
templates: []
"""


def test_routes_of_the_api_come_first_and_the_files_tree_is_whole():
    file = configuration.parse(document.parse(FILE, source="test"))
    route, receiver, _ = routing_rules.from_document("7", ROUTE, file)
    assert setup.with_api_routes(file, [route], [receiver]).original == SHOWN


def test_without_routes_of_the_api_the_files_root_is_the_root():
    file = configuration.parse(document.parse(FILE, source="test"))
    read = document.parse(file.original, source="original")
    assert read["route"]["routes"][0]["matchers"] == ['a="b"']
    assert "continue" not in read["route"]


def test_names_beyond_the_classic_grammar_are_quoted():
    assert original.matcher_text(Matcher("a", "=", 'b"c')) == r'a="b\"c"'
    assert original.matcher_text(Matcher("a b", "!~", "x")) == '"a b"!~"x"'
    assert original.matcher_text(Matcher('a"\\\n', "=", "x")) == r'"a\"\\\n"="x"'
