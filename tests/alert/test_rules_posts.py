"""What rules say when they fire and when it is over: placeholders, filled in."""

import pytest

from heliograph.alert.rules import posts as rule_posts
from heliograph.alert.rules.decode import decode

KEY = (("pod", "p0"),)


def said(summary, status, **more):
    given = {"name": "R", "source": "log", "rule_config": {"pattern": "x"}}
    one = decode({**given, "annotations": {"summary": summary}})
    if status == "over":
        post = rule_posts.over(one, KEY, now_ns=2, resolve_after_ns=1, reason="why", **more)
    else:
        post = rule_posts.firing(one, KEY, at_ns=1, arrival_ns=1, resolve_after_ns=1, **more)
    return dict(post.annotations)["summary"]


@pytest.mark.parametrize("status", ["firing", "over"])
@pytest.mark.parametrize(
    ("summary", "more", "expected"),
    [
        ("{{ $labels.pod }} is at {{ $value }}", {"value": 7.0}, "p0 is at 7"),
        ("{{ .Labels.pod }} is at {{ .Value }}", {"value": 7.0}, "p0 is at 7"),
        ("{{ $labels.rank }}", {"values": {"rank": "3"}}, "3"),
        ("{{ .PodName }}", {"values": {"pod_name": "a"}}, "a"),
        # Nobody knows it: it is not shown as it was written.
        ("{{ $value }} of {{ $labels.rank }}.", {}, "? of ."),
        # No placeholder of ours.
        ("{{ whatever }} {{ end }}", {"value": 1.0}, "{{ whatever }} {{ end }}"),
    ],
)
def test_placeholders(status, summary, more, expected):
    assert said(summary, status, **more) == expected
