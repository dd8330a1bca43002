"""Bodies that take long to read are read where no other request waits for them."""

import gzip
import json
import threading

import pytest

from heliograph.receive import json_body, wandb_reports
from heliograph.service import http
from heliograph.service.endpoints.wandb_reports import AT_ONCE_BYTES_MAX

POINTS = [{"name": "loss", "value": n, "step": n} for n in range(AT_ONCE_BYTES_MAX // 30)]
REPORT = {"workload_uid": "w1", "run_id": "r1", "metrics": POINTS}
LINES = {"files": {"wandb-history.jsonl": {"offset": 0, "content": ['{"_step": 0, "a": 1}']}}}


@pytest.fixture
def readers(monkeypatch):
    """{what: threads that did it}: took a body in, undid its encoding, decoded it."""
    done = {"taken": set(), "inflated": set(), "decoded": set()}

    def noted(owner, name, what):
        real = getattr(owner, name)

        def wrapped(*args, **more):
            done[what].add(threading.get_ident())
            return real(*args, **more)

        monkeypatch.setattr(owner, name, wrapped)

    noted(http, "headers", "taken")
    noted(json_body, "inflated", "inflated")
    noted(wandb_reports, "json_of", "decoded")
    return done


@pytest.mark.parametrize(
    ("path", "document", "status"),
    [
        ("/v1/wandb/metrics", REPORT, 200),
        ("/v1/wandb/batch", {"metrics": REPORT}, 200),
        ("/graphql", {"query": "query Viewer { viewer { id } }"}, 200),
        ("/files/e/p/r/file_stream", LINES, 200),
        ("/v1/alert-rules", {}, 400),
        ("/v1/silences", {}, 400),
    ],
)
def test_a_compressed_body_is_read_beside_the_loop(readers, site, path, document, status):
    body = gzip.compress(json.dumps(document).encode())
    sent = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert site.ask("POST", path, body, sent).status == status
    (loop,) = readers["taken"]
    assert readers["inflated"]
    assert loop not in readers["inflated"] | readers["decoded"]


@pytest.mark.parametrize(("points", "at_once"), [(POINTS, False), (POINTS[:10], True)])
def test_only_a_small_report_is_read_at_once(readers, site, points, at_once):
    assert site.post("/v1/wandb/metrics", {**REPORT, "metrics": points}).status == 200
    assert (readers["decoded"] == readers["taken"]) is at_once
