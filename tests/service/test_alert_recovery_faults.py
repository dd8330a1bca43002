"""A store that fails now and then: who waited is told to come again, memory never runs ahead of it."""

import random

import pytest
from sqlalchemy import create_engine

from heliograph.core.clock import ManualClock
from heliograph.core.errors import Refused, Unavailable
from heliograph.store.state import alerts
from heliograph.store.state.state import State
from tests.service.alarms import alerting
from tests.service.dying import START_NS
from tests.service.dying_alerts import Site
from tests.service.flaky import Flaky
from tests.service.live import until
from tests.service.lives import CLOCK, Life
from tests.service.test_recovery_disk_full import fill, free, small_disk  # noqa: F401
from tests.service.whole import assert_whole, quiet
from tests.store.conftest import pg_server, pg_url, state_url  # noqa: F401

STEPS = 120
DAY_S = 86_400


class Faults:
    """Has transactions of *state* fail, before they are written or after: nobody can tell which."""

    def __init__(self, state, rng):
        self.rate = 0.0
        self.failed = 0
        plain = State._transact

        def transact(lane, work):
            if rng.random() >= self.rate:
                return plain(state, lane, work)
            self.failed += 1

            def undone(tx):
                work(tx)
                raise Unavailable("no room", code="disk_full")

            return plain(state, lane, undone)

        state._transact = transact


@pytest.fixture
def site(tmp_path, state_url):  # noqa: F811
    opened = Site(tmp_path / "data", ManualClock(START_NS), state_url)
    yield opened
    opened.site.close()


def test_memory_is_what_is_kept_whatever_fails(site):
    rng = random.Random(3)
    faults = Faults(site.core.state, rng)
    fires, ended = set(), set()
    for step in range(STEPS):
        faults.rate = rng.choice([0.0, 0.3, 0.6])
        names = [f"n{rng.randrange(40)}" for _ in range(rng.randint(1, 4))]
        ends = rng.random() < 0.3
        try:
            site.post(*names, ends=ends)
        except Unavailable:
            pass
        else:
            if ends:
                # Who fired, and was told, is owed an end.
                ended |= fires & set(names)
                fires -= set(names)
            else:
                fires |= set(names)
                ended -= set(names)
        if step % 40 == 20:
            try:
                site.silence(f"s-{step}")
            except Unavailable:
                assert site.side.alerting._engine.silence(f"s-{step}") is None
        if rng.random() < 0.4:
            site.clock.advance(rng.uniform(0.2, 2.0))
            site.side.alerting.wake()
        if step % 20 == 19:
            faults.rate = 0.0
            quiet(site.side, site.clock)
            assert_whole(site.side, site.core.state)
    faults.rate = 0.0
    site.wait(8)
    assert faults.failed > 20
    assert_whole(site.side, site.core.state)
    last = {}
    for told in site.receiver.told():
        for name, _, status in told["alerts"]:
            last[told["line"][1], name] = status
    for integration in ("r/webhook[0]", "r/webhook[1]"):
        assert {name for name in fires if last.get((integration, name)) != "firing"} == set()
        assert {name for name in ended if last.get((integration, name)) == "firing"} == set()
    assert "heliograph_bugs_total{" not in site.core.meters.registry.exposition()


def test_what_the_store_refuses_costs_only_who_sent_it(site, monkeypatch):
    plain = alerts.write

    def write(tx, changes):
        if any(("n", "poison") in one.labels for one in changes.alerts):
            raise Refused("no store can hold it", field="n")
        plain(tx, changes)

    monkeypatch.setattr(alerts, "write", write)
    names = ("x", "poison", "y")
    documents = [{"labels": {"alertname": "A", "n": name}} for name in names]
    with site.side.alerting._mine:
        # Held up, so that all of them are one turn's; nobody but the one is refused for good.
        futures = [site.begin(one) for one in documents]
    for future in futures:
        with pytest.raises(Unavailable):
            future.result(10)
    for name, document in zip(names, documents, strict=True):
        if name == "poison":
            with pytest.raises(Refused):
                site.begin(document).result(10)
        else:
            site.begin(document).result(10)
    site.wait(3)
    told = {name for one in site.receiver.told() for name, _, _ in one["alerts"]}
    assert told == {"x", "y"}
    assert_whole(site.side, site.core.state)


def test_what_a_refused_job_was_to_write_is_not_written(site):
    written = []

    def refused(turn):
        turn.also(lambda tx: written.append("refused"))
        raise Refused("no such thing", field="n")

    with site.side.alerting._mine:
        first = site.side.alerting.submit(refused)
        second = site.side.alerting.submit(
            lambda turn: turn.also(lambda tx: written.append("taken"))
        )
    with pytest.raises(Refused):
        first.result(10)
    second.result(10)
    assert written == ["taken"]


def test_a_lost_database_is_found_again(tmp_path, pg_url):  # noqa: F811
    site = Site(tmp_path / "data", ManualClock(START_NS), pg_url)
    other = create_engine(pg_url)
    try:
        taken = set()
        for number in range(30):
            if number % 5 == 2:
                with other.begin() as tx:
                    tx.exec_driver_sql(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name = 'heliograph' AND pid <> pg_backend_pid()"
                    )
            try:
                site.post(f"n{number}")
            except Unavailable:
                continue
            taken.add(f"n{number}")
        assert 15 < len(taken) < 30
        site.wait(8)
        told = {name for one in site.receiver.told() for name, _, _ in one["alerts"]}
        assert told == taken
        assert_whole(site.side, site.core.state)
    finally:
        site.site.close()
        other.dispose()


def test_retention_takes_what_ended_and_nothing_else(tmp_path):
    site = Site(tmp_path / "data", ManualClock(START_NS), None, retention={"alerts": "60h"})
    try:
        site.post("stays")
        for day in range(4):
            names = [f"{day}-{n}" for n in range(30)]
            site.post(*names)
            site.wait(3)
            site.post(*names, ends=True)
            site.wait(4)
            for _ in range(48):
                site.clock.advance(DAY_S / 48)
                site.post("stays")
                site.flow.maintenance.round()
            quiet(site.side, site.clock)
        kept = site.core.state.read(lambda tx: sorted(rows(tx, "SELECT id FROM alert_events")))
        assert len(kept) == 61
        lines = site.core.state.read(
            lambda tx: rows(tx, "SELECT DISTINCT alert_id FROM alert_notifications")
        )
        assert set(lines) <= set(kept)
        assert site.status("stays") == "firing"
        assert site.side.alerting.gauges()["episodes_held"] < 61
        assert_whole(site.side, site.core.state)
    finally:
        site.site.close()


def rows(tx, statement):
    return [row[0] for row in tx.exec_driver_sql(statement)]


@pytest.mark.timeout(60)
def test_a_full_disk_loses_no_alert(small_disk):  # noqa: F811
    hook = Flaky(random.Random(1))
    life = Life(small_disk / "data", alerting=alerting(hook)).start()
    taken, refused = set(), set()

    def post(times, tag):
        for number in range(times):
            if len(refused) > 10 and tag == "full":
                break
            name = f"{tag}-{number}"
            text = "x" * 2000
            alert = {"labels": {"alertname": "A", "n": name}, "annotations": {"text": text}}
            started_s = CLOCK.monotonic_s()
            answer = life.post("/api/v2/alerts", [alert])
            assert answer.status in (200, 503), answer
            if answer.status == 503:
                assert CLOCK.monotonic_s() - started_s < 2
                assert 0 < int(answer.headers["retry-after"]) <= 60
                refused.add(name)
            else:
                taken.add(name)

    def listed():
        return {one["labels"]["n"] for one in life.items("/v1/alerts", status="firing")}

    try:
        post(20, "before")
        fill(small_disk)
        post(300, "full")
        assert refused, "the disk never was full"
        assert life.ask("GET", "/healthz").status == 200
        assert listed() == taken
        free(small_disk)
        until(lambda: life.checks()["disk"][0] == "ok", "space is seen", timeout_s=10)
        post(20, "after")
        assert {f"after-{n}" for n in range(20)} <= taken, "it does not recover by itself"
        assert listed() == taken

        def told():
            return {a["labels"]["n"] for one in hook.taken() for a in one.document["alerts"]}

        until(lambda: told() == taken, "all are told", timeout_s=20)
        assert life.measured("heliograph_bugs_total") == {}
        life.kill()
        life.start()
        assert listed() == taken
        CLOCK.sleep(1)
        assert told() == taken
        copies, strange = hook.doubles()
        assert (sum(copies.values()) <= 1, strange) == (True, [])
    finally:
        life.end()
        hook.close()
