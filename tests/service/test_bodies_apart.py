"""A body that takes long to read holds up nobody's lines."""

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from heliograph.receive import json_body
from tests.service.stories import T0_MS


@pytest.mark.parametrize(
    "path", ["/v1/records", "/v1/events", "/v1/metrics", "/v1/alerts/webhook"]
)
def test_lines_do_not_stand_behind_other_bodies(site, monkeypatch, path):
    begun, over, inflated = threading.Event(), threading.Event(), json_body.inflated

    def slowly(*args, **named):
        if not begun.is_set():
            begun.set()
            assert over.wait(20)
        return inflated(*args, **named)

    monkeypatch.setattr(json_body, "inflated", slowly)
    line = {"date": T0_MS / 1000, "log": "x", "kubernetes": {"pod_id": "p1"}}
    with ThreadPoolExecutor(1) as sender:
        sent = sender.submit(
            lambda: site.ask(
                "POST", path, gzip.compress(b"[]"),
                {"Content-Type": "application/json", "Content-Encoding": "gzip"},
            )
        )  # fmt: skip
        assert begun.wait(20)
        assert site.post("/v1/logs", [line]).status == 200
        assert site.post("/v1/placements", {"pods": []}).status < 300
        assert not sent.done()
        over.set()
        assert sent.result().status < 500
