"""Forwards beside the embedded store, in a real process: matched, in order, over a crash, discreet."""

from tests.service.live import CLOCK, Served, fetch, until
from tests.service.sink import RESET, Sink

SECRETS = ("hunter2", "tok3n", "letmein")


def test_forwards_beside_the_store_are_matched_resume_and_keep_secrets(start, tmp_path):
    sinks = [Sink(), Sink()]
    try:
        run(start, tmp_path, *sinks)
    finally:
        for sink in sinks:
            sink.close()


def run(start, tmp_path, whole, part):
    def url(port):
        return f"http://user:{SECRETS[0]}@127.0.0.1:{port}/write?token={SECRETS[1]}"

    part.script += [503, RESET, (429, {"Retry-After": "1"})]
    service = Served(
        start,
        tmp_path,
        forward=[
            {"url": url(whole.port)},
            {"url": url(part.port), "match": ['kind="kept"', "n!=0"]},
            # Nobody is there.
            {"url": f"http://{SECRETS[2]}:x@127.0.0.1:9/write"},
        ],
        metrics={"keep_original": True},
    )
    begin = CLOCK.now_ns() // 10**6 - 60_000

    def ticks(first, last):
        for n in range(first, last):
            kept = {"__name__": "ticks", "kind": "kept", "n": "1"}
            other = {"__name__": "ticks", "kind": "other"}
            samples = [(begin + n, float(n))]
            assert service.write([(kept, samples), (other, samples)]) == 204

    ticks(0, 20)
    until(lambda: len(came(whole, "kept")) >= 20, "all of it at the first")
    until(lambda: len(came(part, "kept")) >= 20, "what matches at the second")
    service.kill()
    part.default = 503
    service.begin()
    ticks(20, 30)
    until(lambda: part.taken[-1].status == 503, "a receiver that is down")
    service.kill()
    part.default = 204
    service.begin()

    wanted = [(begin + n, float(n)) for n in range(30)]
    for sink, kinds in ((whole, ("kept", "other")), (part, ("kept",))):
        for kind in kinds:
            until(lambda s=sink, k=kind: set(came(s, k)) == set(wanted), f"all {kind}")
            assert in_order(came(sink, kind))
    assert came(part, "other") == []
    assert {taken.headers["Authorization"] for taken in whole.taken} == {
        "Basic dXNlcjpodW50ZXIy"
    }

    ready = until(lambda: "ConnectError" in (text := str(service.ready())) and text, "/readyz")
    pages = [ready, service.metrics(), fetch(f"{service.url}/")[2].decode()]
    logs = [path.read_text() for path in tmp_path.glob("heliograph-*.log")]
    assert len(logs) == 3
    for secret in SECRETS:
        assert [text for text in (*pages, *logs) if secret in text] == []
    assert sum(service.metric("heliograph_dropped_total").values()) == 0


def came(sink, kind):
    """(ms, value) of the series of *kind*, as *sink* took them."""
    return [
        (ms, value)
        for taken in list(sink.taken)
        if taken.status == 204
        for labels, ms, value in taken.samples
        if labels["kind"] == kind
    ]


def in_order(points):
    """Whether each life's samples ascend: only a crash goes back, and not behind what was sent."""
    first_seen = list(dict.fromkeys(points))
    return first_seen == sorted(first_seen)
