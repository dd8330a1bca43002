"""What of a channel's settings is shown: secrets are not, however YAML or JSON read them."""

import pytest

from heliograph.alert.config import routing_rules
from heliograph.core.errors import Refused


def document(**config):
    return {"channels": [{"type": "dingtalk", "config": config}]}


HELD = document(webhook_url="https://x/robot", secret=5378008, title="t")
SHOWN = document(webhook_url="<secret>", secret="<secret>", title="t")


def test_a_secret_of_digits_is_one():
    assert routing_rules.masked(HELD) == SHOWN
    assert routing_rules.unmasked(SHOWN, HELD) == HELD


def test_it_does_not_go_elsewhere():
    moved = document(webhook_url="https://y/robot", secret="<secret>")

    with pytest.raises(Refused, match=r"^channels\[0\]\.config\.secret: give the secret again"):
        routing_rules.unmasked(moved, HELD)


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"auth_identity": "i", "auth_password": ""}, {"auth_identity": "<secret>", "auth_password": ""}),
        ({"key_file": "f", "tls_config": {"key": "k", "key_file": "f"}}, {"key_file": "f", "tls_config": {"key": "<secret>", "key_file": "f"}}),
        ({"url": ["a", "b"]}, {"url": ["<secret>", "<secret>"]}),
        ({"http_headers": {"X": {"values": [1, True, None]}}}, {"http_headers": {"X": {"values": ["<secret>", True, None]}}}),
        ({1: {"secret": 1.5}}, {1: {"secret": "<secret>"}}),
    ],
)  # fmt: skip
def test_masked_settings(settings, shown):
    assert routing_rules.masked_settings(settings) == shown
