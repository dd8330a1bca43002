"""Samples in a real VictoriaMetrics or Prometheus, queried through the service, beside the embedded store."""

import json

import pytest

from heliograph.core.clock import SystemClock
from heliograph.core.samples import STALE
from heliograph.service.endpoints import samples as endpoint
from heliograph.store.prometheus import queries as remote_queries
from heliograph.store.protocol import AGGREGATIONS
from tests.peers import answers, free_port
from tests.service.live import CLOCK, Served, fetch, until
from tests.service.running import running

STEP_MS = 5000
SAMPLES = 120
NAN = float("nan")
PLACEMENTS = {
    "workloads": [{"uid": "w-1", "name": "llm", "kind": "Job", "namespace": "train"}],
    "pods": [
        {
            "uid": "p-1",
            "name": "llm-0",
            "namespace": "train",
            "node": "n1",
            "workload_uid": "w-1",
            "start": "2026-01-01T00:00:00Z",
            "devices": [{"type": "gpu", "id": "0"}],
        }
    ],
}


class Server:
    """A Prometheus-compatible server that can be stopped and started again on its folder."""

    def __init__(self, start, name, folder):
        self._start = start
        self._name = name
        self._folder = folder / name
        self.url = f"http://127.0.0.1:{free_port()}"
        self.begin()

    def begin(self):
        address = self.url.removeprefix("http://")
        if self._name == "victoria-metrics":
            arguments = [f"-httpListenAddr={address}", f"-storageDataPath={self._folder}"]
            ready = "/health"
        else:
            config = self._folder.with_suffix(".yml")
            config.write_text("global: {}\n")
            arguments = [
                f"--config.file={config}",
                f"--web.listen-address={address}",
                f"--storage.tsdb.path={self._folder}",
                "--web.enable-remote-write-receiver",
            ]
            ready = "/-/ready"
        self.program = self._start(self._name, *arguments)
        self.program.wait_for(answers(self.url + ready))

    @property
    def samples(self):
        """The section that makes it the backend."""
        return {
            "backend": "prometheus",
            "write_url": f"{self.url}/api/v1/write",
            "query_url": self.url,
        }

    def flush(self):
        """Make what was taken visible."""
        fetch(f"{self.url}/internal/force_flush")


def begin_ms():
    """The last window of a minute and more ends before now."""
    return CLOCK.now_ns() // 10**6 // 60_000 * 60_000 - SAMPLES * STEP_MS


def sample_set(begin):
    """(labels, [(ms, value), …]): values that 15 digits hold, an end, infinities, NaN."""
    at = [begin + n * STEP_MS for n in range(SAMPLES)]
    util = {"__name__": "util", "Hostname": "n1", "job": "dcgm"}
    ended = [(ms, None if n % 40 == 39 else float(n % 7)) for n, ms in enumerate(at[:100])]
    return [
        ({**util, "gpu": "0"}, [(ms, n * 0.25 - 8) for n, ms in enumerate(at)]),
        ({**util, "gpu": "1"}, ended),
        (
            {"__name__": "odd", "kind": "inf"},
            list(zip(at, [1.0, float("inf"), -1.0] * 40, strict=True)),
        ),
        (
            {"__name__": "odd", "kind": "minus"},
            list(zip(at, [float("-inf"), 2.0, 3.0] * 40, strict=True)),
        ),
        ({"__name__": "lost"}, list(zip(at, [1.0, NAN, 2.0] * 40, strict=True))),
    ]


def ask(site, metric, begin, **query):
    """{labels: points} of *metric* over the sample set's time."""
    span = {"start": begin / 1000, "end": begin / 1000 + SAMPLES * STEP_MS / 1000, **query}
    found = site.get("/v1/query/range", metric=metric, **span)
    assert found.status == 200, found.body
    document = found.json()
    assert document["truncated"] is False
    return {json.dumps(one["labels"]): one["points"] for one in document["series"]}


@pytest.fixture(params=["victoria-metrics", "prometheus"])
def backend(request, start, tmp_path):
    return Server(start, request.param, tmp_path)


@pytest.fixture
def both(backend, tmp_path):
    """(service on the backend, service on the embedded store, begin), with the sample set."""
    begin = begin_ms()
    with (
        running(tmp_path / "a", clock=SystemClock(), samples=backend.samples) as remote,
        running(tmp_path / "b", clock=SystemClock()) as embedded,
    ):
        for site in (remote, embedded):
            assert site.post("/v1/placements", PLACEMENTS).status in (200, 201)
        for labels, points in sample_set(begin):
            kept = [(ms, STALE if value is None else value) for ms, value in points]
            for site in (remote, embedded):
                assert site.write([(labels, kept)]).status == 204

        def arrived():
            backend.flush()
            return ask(remote, "lost", begin) and ask(remote, "workload_util", begin)

        until(arrived, "the samples")
        yield remote, embedded, begin


def without(points, value):
    return {labels: [p for p in one if p[1] != value] for labels, one in points.items()}


def test_the_backend_answers_as_the_embedded_store_does(both, backend):
    remote, embedded, begin = both
    victoria = backend._name == "victoria-metrics"

    for metric in ("util", "workload_util", "odd", "lost"):
        expected = ask(embedded, metric, begin)
        # It keeps no NaN but the stale marker; Prometheus shows no stale marker.
        expected = without(expected, "NaN" if victoria else None)
        assert ask(remote, metric, begin) == expected

    for agg in AGGREGATIONS:
        for metric in ("util", "workload_util"):
            for step in ("5s", "30s", "2m"):
                stepped = {"step": step, "agg": agg}
                compare(
                    ask(remote, metric, begin, **stepped),
                    ask(embedded, metric, begin, **stepped),
                )
        if not agg.startswith("p"):
            stepped = {"step": "15s", "agg": agg}
            compare(
                ask(remote, "odd", begin, **stepped), ask(embedded, "odd", begin, **stepped)
            )

    for query in ({}, {"match[]": 'gpu="0"'}, {"match[]": '__name__=~"workload_.*"'}):
        assert_same_items(remote, embedded, "/v1/query/metrics", query)
        assert_same_items(remote, embedded, "/v1/query/labels", query)
    assert ask(remote, "util", begin, **{"match[]": 'gpu!~"0|2"'}).keys() == (
        ask(embedded, "util", begin, **{"match[]": 'gpu!~"0|2"'}).keys()
    )
    assert ask(remote, "absent", begin) == ask(remote, "absent", begin, step="5s") == {}


def compare(found, expected):
    """Equal but for the last digits of a sum."""
    assert found.keys() == expected.keys()
    for labels, points in expected.items():
        assert [ms for ms, _ in found[labels]] == [ms for ms, _ in points]
        for (_, got), (_, wanted) in zip(found[labels], points, strict=True):
            assert got == wanted or got == pytest.approx(wanted, rel=1e-12, abs=1e-12)


def assert_same_items(remote, embedded, path, query):
    answers_of = [
        site.get(path, limit=1000, **query).json()["items"] for site in (remote, embedded)
    ]
    assert answers_of[0] == answers_of[1]
    assert answers_of[0]


def paged(site, begin, **query):
    """All points of `util` by following `next`, and how many answers that took."""
    found, start, pages = {}, begin / 1000, 0
    while True:
        span = {"start": start, "end": begin / 1000 + SAMPLES * STEP_MS / 1000}
        document = site.get("/v1/query/range", metric="util", **span, **query).json()
        pages += 1
        for one in document["series"]:
            found.setdefault(json.dumps(one["labels"]), []).extend(one["points"])
        if not document["truncated"]:
            return found, pages
        start = document["next"]


@pytest.mark.parametrize("query", [{}, {"step": "10s", "agg": "max"}], ids=["raw", "stepped"])
def test_too_many_points_are_had_piece_by_piece(both, monkeypatch, query):
    remote, _, begin = both
    whole = ask(remote, "util", begin, **query)

    for kind in ("RAW", "STEPPED"):
        monkeypatch.setattr(endpoint, f"{kind}_POINTS_MAX", 50)
    found, pages = paged(remote, begin, **query)
    assert found == whole
    assert pages > 2

    # So few bytes that the server's own answer is cut, not only ours.
    monkeypatch.setattr(remote_queries, "LABELS_BYTES_MAX", 500)
    monkeypatch.setattr(remote_queries, "POINT_BYTES_MAX", 5)
    found, pages = paged(remote, begin, **query)
    assert found == whole
    assert pages > 4

    monkeypatch.setattr(remote_queries, "LABELS_BYTES_MAX", 100)
    monkeypatch.setattr(remote_queries, "POINT_BYTES_MAX", 0)
    refused = remote.get("/v1/query/range", metric="util", start=begin / 1000, **query)
    assert (refused.status, refused.json()["code"]) == (400, "too_large")


def ticks(service, first, last):
    for n in range(first, last):
        assert service.write([({"__name__": "ticks"}, [(n, float(n))])]) == 204


def test_an_outage_and_a_crash_lose_nothing(start, tmp_path):
    victoria = Server(start, "victoria-metrics", tmp_path)
    service = Served(start, tmp_path, samples=victoria.samples)
    begin = CLOCK.now_ns() // 10**6 - 60_000
    ticks(service, begin, begin + 5)
    until(lambda: sum(service.metric("heliograph_forward_lag_frames").values()) == 0, "no lag")

    # Told to end: what it has acknowledged is its own to keep.
    victoria.program.stop()
    ticks(service, begin + 5, begin + 25)
    until(lambda: sum(service.metric("heliograph_forward_lag_frames").values()) == 20, "lag")
    until(lambda: "no answer: ConnectError" in json.dumps(service.ready()), "words in /readyz")
    status, problem = service.get("/v1/query/range", metric="ticks")
    assert (status, problem["code"]) == (503, "sample_store")
    assert problem["detail"] == "the sample store at 127.0.0.1 did not answer: ConnectError"

    service.kill()
    service.begin()
    ticks(service, begin + 25, begin + 30)
    victoria.begin()

    def seen():
        victoria.flush()
        status, found = service.get("/v1/query/range", metric="ticks")
        series = found["series"] if status == 200 else []
        return [ms for ms, _ in series[0]["points"]] if series else []

    expected = list(range(begin, begin + 30))
    until(lambda: sorted(set(seen())) == expected, "everything")
    assert sum(service.metric("heliograph_dropped_total").values()) == 0
