"""A channel that is taken away while what it was told fires: it is told the end, and nothing else."""

import pytest

from tests.service.alert_site import body, firing, over, post_v2, telling
from tests.service.hooks import Hook
from tests.service.live import until
from tests.service.running import running

NAME = "Taken"
OLD, NEW, FIRING = "/old", "/new", [(NAME, "firing")]
BOTH = [*FIRING, (NAME, "resolved")]


@pytest.fixture
def hook():
    opened = Hook()
    yield opened
    opened.close()


@pytest.fixture
def site(tmp_path, hook):
    """A service, and how it is started again."""
    with serving(tmp_path, hook) as started:
        yield started


def serving(folder, hook):
    return running(
        folder / "data", alerting=telling(hook), notify={"allow_private": ["127.0.0.0/8"]}
    )


def heard(hook, path):
    """What the channel at *path* was told, in order."""
    return [
        (alert["alert_name"], alert["status"])
        for one in hook.told
        if one.path == path
        for alert in one.document["alerts"]
    ]


def comes(hook, path, wanted):
    until(lambda: heard(hook, path) == wanted, f"{path} told {wanted}", timeout_s=8)


def route(hook, *paths, **config):
    return {
        "matchers": [{"name": "team", "value": "a"}],
        "group_by": ["alertname"], "group_wait": "10ms", "group_interval": "50ms",
        "channels": [
            {"type": "webhook", "config": {"url": f"{hook.url}{path}", **config}} for path in paths
        ],
    }  # fmt: skip


def made(site, document):
    answer = site.post("/v1/alert-routes", document)
    assert answer.status == 201, answer.body
    return f"/v1/alert-routes/{answer.json()['route_id']}"


def put(site, path, document):
    answer = site.ask("PUT", path, body(document), {"Content-Type": "application/json"})
    assert answer.status == 200, answer.body


def delete(site, path):
    assert site.ask("DELETE", path).status == 204


def stored(site):
    """The documents of all routes, with those that are gone, as the store has them."""
    from heliograph.store.state import alert_routes

    return [one.document for one in site.site.core.state.read(alert_routes.load)]


# What is done, and whether another channel of the route fires from then on.
TAKEN = {
    "the route is removed": (lambda site, hook, path: delete(site, path), False),
    "another address": (lambda site, hook, path: put(site, path, route(hook, NEW)), True),
    "one of two": (lambda site, hook, path: put(site, path, route(hook, NEW)), True),
}


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("case", TAKEN)
def test_it_is_told_the_end_of_what_it_was_told(tmp_path, hook, case, restarts):
    take, goes_on = TAKEN[case]
    paths = (OLD, NEW) if case == "one of two" else (OLD,)
    with serving(tmp_path, hook) as site:
        path = made(site, route(hook, *paths))
        post_v2(site, firing(NAME, team="a"))
        for one in paths:
            comes(hook, one, FIRING)
        take(site, hook, path)
        if goes_on:
            comes(hook, NEW, FIRING)
            assert OLD.encode() not in site.get("/v1/alert-routes").body
        else:
            assert site.get("/v1/alert-routes").json()["total"] == 0
            assert site.get(path).status == 404
            assert site.ask("DELETE", path).status == 404
        if not restarts:
            _ends(site, hook, goes_on)
    if restarts:
        with serving(tmp_path, hook) as site:
            _ends(site, hook, goes_on)


def _ends(site, hook, goes_on):
    # What fires from now on is none of its business.
    post_v2(site, firing("Later", team="a"))
    until(lambda: "Later" in str(site.get("/v1/notifications").body), "Later is told")
    post_v2(site, over(NAME, team="a"))
    comes(hook, OLD, BOTH)
    comes(hook, NEW, [*FIRING, ("Later", "firing"), (NAME, "resolved")] if goes_on else [])
    assert site.get("/api/v2/status").status == 200
    # The next edit forgets who is owed nothing any more, and the secrets of where it was.
    until(
        lambda: (
            not made(site, route(hook, "/third")) or f"{hook.url}{OLD}" not in str(stored(site))
        ),
        "forgotten",
    )


def test_what_was_told_nothing_is_forgotten_at_once(site, hook):
    path = made(site, route(hook, OLD))
    delete(site, path)
    other = made(site, route(hook, OLD))
    post_v2(site, firing(NAME, team="a"))
    comes(hook, OLD, FIRING)
    put(site, other, route(hook, OLD, send_resolved=False))
    put(site, other, route(hook, NEW))
    # It wants no ends.
    assert [f"{hook.url}{OLD}" in str(one) for one in stored(site)] == [False]


def test_one_that_comes_back_goes_on_and_no_other_is_taken_for_it(site, hook):
    path = made(site, route(hook, NEW, OLD))
    post_v2(site, firing(NAME, team="a"))
    comes(hook, OLD, FIRING)
    comes(hook, NEW, FIRING)
    put(site, path, route(hook, NEW))
    put(site, path, route(hook, NEW, "/third"))
    comes(hook, "/third", FIRING)
    put(site, path, route(hook, NEW, OLD, "/third"))
    post_v2(site, over(NAME, team="a"))
    for one in (NEW, OLD, "/third"):
        comes(hook, one, BOTH)


def test_an_end_that_was_on_its_way_is_told_once(site, hook):
    hook.hold.clear()
    path = made(site, route(hook, OLD))
    post_v2(site, firing(NAME, team="a"))
    until(lambda: site.site.flow.alerts.deliveries.in_flight, "on its way")
    delete(site, path)
    hook.hold.set()
    comes(hook, OLD, FIRING)
    post_v2(site, over(NAME, team="a"))
    comes(hook, OLD, BOTH)
