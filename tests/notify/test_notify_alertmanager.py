import json
import threading
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from msgspec import structs

from heliograph.core.clock import ManualClock, SystemClock
from heliograph.notify.alertmanager import peers_of
from tests.notify.fakes import (
    NEW_YEAR_NS,
    SECOND_NS,
    Provider,
    Reply,
    alert,
    channels,
    in_turn,
    integration,
    message,
)
from tests.notify.real import alertmanager_command
from tests.peers import answers, free_port
from tests.service.live import until

CONFIG = "route: {receiver: none}\nreceivers: [{name: none}]\n"


def get(url):
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.loads(response.read())


def moved(one, by_ns):
    ends_ns = None if one.ends_ns is None else one.ends_ns + by_ns
    return structs.replace(one, starts_ns=one.starts_ns + by_ns, ends_ns=ends_ns)


@pytest.fixture
def peers(start, tmp_path):
    """Two real Alertmanagers that do not know each other."""
    (tmp_path / "am.yml").write_text(CONFIG)
    urls, running = [], []
    program, before = alertmanager_command()
    for number in range(2):
        port = free_port()
        running.append(
            start(
                program,
                *before,
                f"--config.file={tmp_path / 'am.yml'}",
                f"--storage.path={tmp_path / str(number)}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            )
        )
        urls.append(f"http://127.0.0.1:{port}")
    for one, url in zip(running, urls, strict=True):
        one.wait_for(answers(f"{url}/-/ready"))
    return urls


def test_real_alertmanagers_take_what_fires_and_what_resolves(peers):
    clock = SystemClock()
    shift_ns = clock.now_ns() - NEW_YEAR_NS
    hot = alert("GPUHot", severity="critical", annotations={"summary": "热 <b>"}, pod="llm-0")
    odd = alert(
        "Odd", **{"app.kubernetes.io/name": "x", "0zone": "y", "app_kubernetes_io_name": "z"}
    )
    alerts = [
        moved(structs.replace(one, generator_url="http://vm/g?x=1"), shift_ns)
        for one in (hot, odd)
    ]
    alerts.append(moved(structs.replace(alert("Bad"), generator_url="not a url"), shift_ns))
    firing = structs.replace(message(*alerts), now_ns=clock.now_ns())
    target = integration("alertmanager", url=",".join(peers))
    opened = channels(clock)
    came = opened["alertmanager"].deliver(firing, target)
    assert came.outcome == "sent", came
    assert "renamed labels: 0zone, app.kubernetes.io/name" in came.answer
    for url in peers:
        kept = {one["labels"]["alertname"]: one for one in get(f"{url}/api/v2/alerts")}
        assert set(kept) == {"GPUHot", "Odd", "Bad"}
        assert kept["GPUHot"]["labels"] == {
            "alertname": "GPUHot",
            "severity": "critical",
            "pod": "llm-0",
        }
        assert kept["GPUHot"]["annotations"] == {"summary": "热 <b>"}
        assert kept["GPUHot"]["generatorURL"] == "http://vm/g?x=1"
        assert kept["Odd"]["labels"] == {
            "alertname": "Odd", "severity": "warning", "app_kubernetes_io_name": "z",
            "app_kubernetes_io_name_": "x", "_0zone": "y",
        }  # fmt: skip
    resolved = structs.replace(alerts[0], ends_ns=clock.now_ns() - SECOND_NS)
    came = opened["alertmanager"].deliver(
        structs.replace(firing, alerts=(resolved,), now_ns=clock.now_ns()), target
    )
    assert came.outcome == "sent"
    for url in peers:
        names = {one["labels"]["alertname"] for one in get(f"{url}/api/v2/alerts")}
        assert names == {"Odd", "Bad"}
    # It ended and began again since: what is told of its past must not end its present.
    again = structs.replace(alerts[0], id="again", starts_ns=clock.now_ns())
    came = opened["alertmanager"].deliver(
        structs.replace(firing, alerts=(again, resolved), now_ns=clock.now_ns()), target
    )
    assert came.outcome == "sent"
    for url in peers:
        names = {one["labels"]["alertname"] for one in get(f"{url}/api/v2/alerts")}
        assert names == {"GPUHot", "Odd", "Bad"}


def test_the_body_is_that_of_the_api(shared_data):
    specification = yaml.safe_load(
        (shared_data / "upstream/prometheus+alertmanager/api/v2/openapi.yaml").read_text()
    )
    allowed = set()
    for part in ("postableAlert", "alert"):
        definition = specification["definitions"][part]
        for one in definition.get("allOf", [definition]):
            allowed |= set(one.get("properties", ()))
    with Provider(lambda _: Reply(200)) as provider:
        channels()["alertmanager"].deliver(
            message(alert(), alert("B", ends_s=30)),
            integration("alertmanager", url=provider.url),
        )
    request = provider.requests[0]
    assert (request.path, request.headers["Content-Type"]) == (
        "/api/v2/alerts",
        "application/json",
    )
    firing, resolved = request.document
    assert set(firing) <= allowed
    # Four repetitions ahead: one that is lost ends nothing.
    assert firing["endsAt"] == "2026-01-01T00:04:00Z"
    assert (resolved["startsAt"], resolved["endsAt"]) == (
        "2025-12-31T23:55:00Z",
        "2025-12-31T23:59:30Z",
    )


def test_a_severity_that_no_label_says_goes_along():
    one = structs.replace(alert("Slow", severity=""), severity="high")
    with Provider(lambda _: Reply(200)) as provider:
        channels()["alertmanager"].deliver(
            message(one), integration("alertmanager", url=provider.url)
        )
    assert provider.requests[0].document[0]["labels"] == {
        "alertname": "Slow",
        "severity": "high",
    }


def test_every_peer_is_told_and_one_that_is_dead_does_not_keep_it_from_the_others():
    with (
        Provider(lambda _: Reply(200)) as good,
        Provider(in_turn(Reply(503), Reply(200))) as slow,
    ):
        dead = f"http://127.0.0.1:{free_port()}"
        came = channels()["alertmanager"].deliver(
            message(alert()),
            integration("alertmanager", url=f"{dead}, {slow.url}/, {good.url}/api/v2/alerts"),
        )
    assert came.outcome == "sent"
    assert came.answer.startswith("peer 1 of 3: ConnectError")
    assert (len(good.requests), len(slow.requests)) == (1, 2)


def test_when_no_peer_takes_it_it_is_not_told():
    with (
        Provider(lambda _: Reply(400, "bad label")) as bad,
        Provider(lambda _: Reply(503)) as busy,
    ):
        target = integration("alertmanager", url=bad.url)
        came = channels()["alertmanager"].deliver(message(alert()), target)
        assert (came.outcome, came.status, "bad label" in came.answer) == ("refused", 400, True)
        both = integration("alertmanager", url=f"{bad.url},{busy.url}")
        assert channels()["alertmanager"].deliver(message(alert()), both).outcome == "later"


class Hanging:
    """An answer that waits until it is let go."""

    def __init__(self):
        self.going = threading.Event()
        self.asked = threading.Semaphore(0)

    def __call__(self, _):
        self.asked.release()
        self.going.wait(30)
        return Reply(200)


def test_a_peer_that_hangs_costs_the_healthy_one_nothing():
    """More messages than there are attempts at once, and far less time than one of its time-outs."""
    count, clock, hanging = 60, SystemClock(), Hanging()
    with Provider(hanging) as slow, Provider(lambda _: Reply(200)) as good:
        channel = channels(clock)["alertmanager"]
        target = integration("alertmanager", url=f"{slow.url},{good.url}")
        began_s = clock.monotonic_s()
        messages = [message(alert(n=str(n)), key=f"k{n}") for n in range(count)]
        with ThreadPoolExecutor(4) as places:
            came = list(places.map(lambda one: channel.deliver(one, target), messages))
        assert clock.monotonic_s() - began_s < 6
        assert {one.outcome for one in came} == {"sent"}
        assert len(good.requests) == count
        said = Counter(one.answer.partition(" of 2: ")[2] for one in came)
        # One attempt of each place at most, and the others do without it.
        assert said["no answer yet"] <= 4
        assert said["passed over, for it has not answered what came before"] >= count - 4
        assert hanging.asked.acquire(timeout=5)
        hanging.going.set()

        def answers():
            return channel.deliver(messages[0], target).answer == ""

        until(answers, "it is told again once it has answered")


def test_when_all_peers_hang_the_attempt_ends_in_time_and_nobody_knows():
    clock, hanging = SystemClock(), Hanging()
    with Provider(hanging) as provider:
        target = integration(
            "alertmanager", url=[f"{provider.url}/{n}" for n in range(12)], timeout="400ms"
        )
        began_s = clock.monotonic_s()
        came = channels(clock)["alertmanager"].deliver(message(alert()), target)
        took_s = clock.monotonic_s() - began_s
        hanging.going.set()
    assert (came.outcome, came.unsure) == ("later", True)
    assert came.answer.startswith("peer 1 of 12: ReadTimeout")
    assert took_s < 3


def test_a_second_try_is_in_the_time_of_the_first():
    clock = ManualClock(NEW_YEAR_NS)

    def slow(_):
        clock.advance(9.6)
        return Reply(503)

    with Provider(slow) as provider:
        target = integration("alertmanager", url=provider.url)
        came = channels(clock)["alertmanager"].deliver(message(alert()), target)
    assert (came.outcome, came.status, len(provider.requests)) == ("later", 503, 1)


@pytest.mark.parametrize(
    ("replies", "unsure"),
    [
        ((Reply(503),), False),
        ((Reply(504),), True),
        # It has the first five hundred.
        ((Reply(200), Reply(503)), True),
        ((Reply(200), Reply(400)), True),
    ],
)
def test_what_a_peer_may_know_that_did_not_take_all_of_it(replies, unsure):
    firing = message(*(alert(n=str(n)) for n in range(600)))
    # A peer that is no better, and surely knows nothing, changes nothing of that.
    with Provider(lambda _: Reply(503)) as busy:
        for others in ("", f"{busy.url},"):
            with Provider(in_turn(*replies)) as provider:
                target = integration("alertmanager", url=others + provider.url)
                came = channels()["alertmanager"].deliver(firing, target)
            assert (came.outcome == "sent", came.unsure) == (False, unsure)


def test_without_a_peer_it_is_refused(tmp_path):
    (tmp_path / "url").write_text(" , \n")
    target = integration("alertmanager", url_file=str(tmp_path / "url"))
    came = channels()["alertmanager"].deliver(message(alert()), target)
    assert (came.outcome, came.answer) == ("refused", "url: no peer")


def test_many_alerts_go_in_several_requests():
    alerts = [alert("X", n=str(n)) for n in range(1100)]
    with Provider(lambda _: Reply(200)) as provider:
        came = channels()["alertmanager"].deliver(
            message(*alerts), integration("alertmanager", url=provider.url)
        )
    assert [len(one.document) for one in provider.requests] == [500, 500, 100]
    assert came.messages == 3


def test_addresses_of_peers():
    assert peers_of("http://a:9093/, http://b/x/api/v2/alerts,http://a:9093") == [
        "http://a:9093",
        "http://b/x",
    ]
    assert peers_of(["http://a"]) == ["http://a"]
