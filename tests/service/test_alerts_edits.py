"""Edits of routes, silences and rules where something stands in the way, and lists that are long."""

import gzip
import json
from types import SimpleNamespace

import msgspec
import pytest

from heliograph.alert import silences
from heliograph.alert.config import setup
from heliograph.alert.model import Group, Suppression
from heliograph.core.errors import Refused
from heliograph.service.endpoints import alert_v2
from heliograph.service.endpoints import silences as silence_endpoints
from heliograph.service.route_book import RouteBook
from heliograph.store.state import alert_routes
from heliograph.store.state.alert_routes import RouteKept
from tests.service.alert_site import SILENCE, at, firing, post_v2
from tests.service.running import assert_problem

JSON = {"Content-Type": "application/json"}
GOOD = {"channels": [{"type": "webhook", "config": {"url": "https://a.example.org/"}}]}
UNREADABLE = {**GOOD, "mute_time_intervals": ["nights"]}


class Stored:
    """What is stored: two routes whose time interval the file has lost."""

    def read(self, _):
        document = msgspec.json.encode(UNREADABLE)
        return [RouteKept("bad1", 0, document), RouteKept("bad2", 1, document)]


class Turned:
    """A turn that notes the routes that came into force."""

    now_ns = 0

    def __init__(self):
        self.engine = self
        self.routes = None
        self.written = 0

    def reload(self, made, _):
        self.routes = [route.id for route in made.tree.api]

    def also(self, _):
        self.written += 1

    def owed(self):
        return ()


EDITS = [
    (lambda book, turn: book.create(turn, "new", GOOD), ["api/new"]),
    (lambda book, turn: book.replace(turn, "bad1", GOOD), ["api/bad1"]),
    (lambda book, turn: book.remove(turn, "bad1"), []),
]


@pytest.mark.parametrize(("edit", "expected"), EDITS)
def test_a_route_that_cannot_be_read_stands_in_no_edits_way(edit, expected):
    turn = Turned()
    edit(RouteBook(Stored(), setup.empty(), lambda _: None), turn)
    assert (turn.routes, turn.written) == (expected, 1)


class Kept:
    """A state that keeps one route."""

    def __init__(self, document):
        self.document = msgspec.json.encode(document)
        self.shown = b""

    def read(self, _):
        return [RouteKept("r", 0, self.document)]

    def execute(self, statement, *_):
        values = statement.compile().params
        self.document, self.shown = values["document"], values["shown"]
        return SimpleNamespace(rowcount=1)


class Edit(Turned):
    """A turn whose writes go to *kept*."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def reload(self, made, _):
        self.channels = [one.id for one in made.receivers["api/r"].integrations]

    def also(self, write):
        write(self.kept)


class Gone:
    """A state with many routes that are gone; of the first of them a channel is owed an end."""

    def read(self, _):
        retired = {"channels_retired": [(GOOD["channels"][0], 0)], "channel_numbers": []}
        document = msgspec.json.encode(retired)
        return [RouteKept(f"r{n}", alert_routes.GONE, document) for n in range(100)]


@pytest.mark.parametrize(
    "edit",
    [lambda book, turn: book.create(turn, "new", GOOD), lambda book, turn: book.sweep(turn)],
)
def test_who_is_owed_what_is_asked_once_for_all_routes(edit):
    asked = []
    turn = Turned()
    turn.owed = lambda: asked.append(1) or {"api/r0/webhook[0]"}
    book = RouteBook(Gone(), setup.empty(), lambda _: None)
    edit(book, turn)
    assert len(asked) == 1
    assert [one.id for one in book.sweep(turn)] == ["r0"]


def test_an_edited_route_takes_no_channel_for_another():
    kept = Kept(GOOD)
    book, turn = RouteBook(kept, setup.empty(), lambda _: None), Edit(kept)
    (old,) = GOOD["channels"]
    new = {"type": "webhook", "config": {"url": "https://b.example.org/"}}
    for channels, expected in (([new, old], [1, 0]), ([new], [1]), ([old, new], [2, 1])):
        book.replace(turn, "r", {"channels": channels})
        assert turn.channels == [f"api/r/webhook[{number}]" for number in expected]
        # … nor after a restart, and nobody sees how.
        again = book.setup().receivers["api/r"].integrations
        assert [one.id for one in again] == turn.channels
        assert json.loads(kept.shown).keys() == {"channels"}


def test_a_stored_route_that_is_not_in_force_is_told_of(caplog):
    assert RouteBook(Stored(), setup.empty(), lambda _: None).setup().tree.api == ()
    told = [(one.msg, one.route) for one in caplog.records]
    assert told == [("a stored route is not in force", name) for name in ("bad1", "bad2")]


def test_a_new_route_is_read_strictly():
    turn = Turned()
    book = RouteBook(Stored(), setup.empty(), lambda _: None)
    for edit in (book.create, book.replace):
        with pytest.raises(Refused) as caught:
            edit(turn, "bad1", UNREADABLE)
        assert caught.value.field == "mute_time_intervals"
    assert (turn.routes, turn.written) == (None, 0)


@pytest.mark.parametrize("key", ["name", "description"])
def test_words_of_a_new_route_are_text_and_those_of_a_kept_one_stand(key):
    document = {**GOOD, key: 5}
    book, turn = RouteBook(Kept(document), setup.empty(), lambda _: None), Turned()
    for edit in (book.create, book.replace):
        with pytest.raises(Refused) as caught:
            edit(turn, "r", document)
        assert caught.value.field == key
    assert [route.id for route in book.setup().tree.api] == ["api/r"]


@pytest.mark.parametrize("site", [{"notify": {"allow_private": ["10.0.0.0/8"]}}], indirect=True)
def test_a_secret_does_not_follow_the_url(site):
    config = {"url": "http://10.0.0.1/", "headers": {"Authorization": "Bearer s"}}
    document = {"channels": [{"type": "webhook", "config": config}]}
    answer = site.post("/v1/alert-routes", document)
    assert answer.status == 201, answer.body
    path = f"/v1/alert-routes/{answer.json()['route_id']}"
    shown = site.get(path).json()
    channel = {"type": "webhook", "config": shown["channels"][0]["config"]}
    body = json.dumps({"channels": [channel]}).encode()
    assert site.ask("PUT", path, body, JSON).status == 200
    channel["config"]["url"] = "http://10.0.0.2/"
    body = json.dumps({"channels": [channel]}).encode()
    assert_problem(
        site.ask("PUT", path, body, JSON), 400, field="channels[0].config.headers.Authorization"
    )


def test_lists_stop_at_their_limit(site, monkeypatch):
    monkeypatch.setattr(alert_v2, "ALERTS_MAX", 2)
    post_v2(site, firing("A", n="1"), firing("A", n="2"))
    assert len(site.get("/api/v2/alerts").json()) == 2
    groups = site.get("/api/v2/alerts/groups").json()
    assert sum(len(group["alerts"]) for group in groups) <= 2
    post_v2(site, firing("B"))
    assert site.get("/api/v2/alerts").status == 413
    assert len(site.get("/api/v2/alerts", filter='alertname="B"').json()) == 1


@pytest.mark.parametrize(
    "site",
    [{"alerting": {"route": {"receiver": "r"}, "receivers": [{"name": "r"}]}}],
    indirect=True,
)
def test_groups_have_the_limit_and_the_matchers_of_the_list(site, monkeypatch):
    post_v2(site, firing("A", n="1"), firing("A", n="2"), firing("B", source="odd"))

    def shown(given):
        groups = site.get("/api/v2/alerts/groups", filter=given).json()
        return sorted(a["labels"]["alertname"] for group in groups for a in group["alerts"])

    for given, expected in (('source="metric"', ["A", "A"]), ('source="odd"', ["B"])):
        alerts = site.get("/api/v2/alerts", filter=given).json()
        assert [alert["labels"]["alertname"] for alert in alerts] == expected
        assert shown(given) == expected
    monkeypatch.setattr(alert_v2, "ALERTS_MAX", 2)
    assert site.get("/api/v2/alerts/groups").status == 413
    assert shown('alertname="A"') == ["A", "A"]


ROUTED = {
    "route": {
        "receiver": "first",
        "routes": [{"receiver": "first", "continue": True}, {"receiver": "second"}],
    },
    "receivers": [{"name": "first"}, {"name": "second"}],
}


@pytest.mark.parametrize("site", [{"alerting": ROUTED}], indirect=True)
def test_groups_name_the_receivers_that_were_asked_for_and_lists_all(site):
    post_v2(site, firing("A"))

    def named(path, **query):
        found = site.get(path, **query).json()
        alerts = [a for one in found for a in one.get("alerts", [one])]
        return sorted(tuple(r["name"] for r in a["receivers"]) for a in alerts)

    both = ("first", "second")
    assert named("/api/v2/alerts/groups") == [both, both]
    assert named("/api/v2/alerts/groups", receiver="second") == [("second",)]
    assert named("/api/v2/alerts", receiver="second") == [both]


def test_silences_are_bounded_and_count_so_far(site, monkeypatch):
    monkeypatch.setattr(silences, "SILENCES_MAX", 2)
    monkeypatch.setattr(silence_endpoints, "MATCHES_MAX", 1)
    post_v2(site, firing("A", n="1"), firing("A", n="2"))
    wanted = {**SILENCE, "matchers": ['alertname="A"']}
    first = site.post("/v1/silences", wanted)
    assert (first.status, first.json()["matches_now"]) == (201, 1)
    assert site.post("/v1/silences", wanted).status == 201
    assert_problem(site.post("/v1/silences", wanted), 409, code="limit")
    counted = site.measured("heliograph_alerts_engine_tally")
    assert [n for labels, n in counted.items() if "silences_full" in str(labels)] == [1]
    path = f"/v1/silences/{first.json()['silence_id']}"
    body = json.dumps({**wanted, "matchers": ['alertname="B"']}).encode()
    assert site.ask("PUT", path, body, JSON).status == 200


# Silences are found by what they hold, as Debian's Alertmanager finds them.
FILTERS = [
    ('alertname="A"', 1), ("alertname=A", 1), ('alertname!="A"', 0), ('alertname=~"A"', 0),
    ('alertname=~"A|B"', 0), ('team=~"m.*"', 1), ('team="ml"', 0), ('team="m.*"', 0),
    ('env!="prod"', 1), ('env="prod"', 0), ('env="test"', 0), ('rack!~"r[12]"', 1),
    ('nope=""', 0), ('nope!="x"', 0), ('nope=~".*"', 0), ('alertname!=""', 0),
]  # fmt: skip


def test_silences_are_filtered_as_alertmanager_does(site):
    held = [("alertname", "A", False, True), ("team", "m.*", True, True),
            ("env", "prod", False, False), ("rack", "r[12]", True, False)]  # fmt: skip
    keys = ("name", "value", "isRegex", "isEqual")
    document = {"matchers": [dict(zip(keys, one, strict=True)) for one in held],
                "startsAt": at(0), "endsAt": at(3600), "createdBy": "me", "comment": "c"}  # fmt: skip
    assert site.post("/api/v2/silences", document).status == 200
    found = {
        given: len(site.get("/api/v2/silences", filter=given).json()) for given, _ in FILTERS
    }
    assert found == dict(FILTERS)
    for wrong in ("", "{}", '{alertname="A"}', 'alertname="A",team=~"m.*"', "alertname"):
        for path in ("/api/v2/silences", "/api/v2/alerts", "/api/v2/alerts/groups"):
            assert site.get(path, filter=wrong).status == 400, (path, wrong)


def test_words_for_yes_and_no_are_alertmanagers(site):
    post_v2(site, firing("A"))
    shown = {
        word: len(site.get("/api/v2/alerts", active=word).json())
        for word in ("true", "TRUE", "1", "t", "yes", "", "false", "0", "no", "perhaps")
    }
    assert shown == {**dict.fromkeys(("true", "TRUE", "1", "t", "yes", ""), 1),
                     **dict.fromkeys(("false", "0", "no", "perhaps"), 0)}  # fmt: skip


def test_one_word_switches_a_built_in_rule_off(site):
    rules = site.get("/v1/alert-rules", limit=100).json()["items"]
    rule = next(one for one in rules if one["builtin"])
    path = f"/v1/alert-rules/{rule['rule_id']}"
    said = ("name", "source", "rule_type", "rule_config", "severity", "labels", "annotations")
    for body, enabled, severity in (
        (b'{"enabled": false}', False, rule["severity"]),
        (b'{"severity": "info"}', False, "info"),
        (b'{"enabled": true}', True, "info"),
    ):
        answer = site.ask("PUT", path, body, JSON)
        assert answer.status == 200, answer.body
        shown = site.get(path).json()
        assert (shown["enabled"], shown["severity"]) == (enabled, severity)
        expected = {**rule, "severity": severity}
        assert [shown.get(key) for key in said] == [expected.get(key) for key in said]
    assert site.ask("DELETE", path).status == 204
    assert site.get(path).json()["severity"] == rule["severity"]


class Endless:
    """An engine, and its turn, with more alerts than anybody could list."""

    now_ns = 0

    def __init__(self):
        self.engine = self
        self.looked_at = 0

    def find(self, *_):
        while True:
            self.looked_at += 1
            yield None

    def __len__(self):
        return 6

    def groups(self, *_):
        yield (
            Group(key="k", route_id="r", receiver="r", labels=(), flush_ns=0, created_ns=0),
            self.find(),
        )


@pytest.mark.parametrize(("muted", "looked_at"), [(False, 6), (True, 0)])
@pytest.mark.parametrize("of", [alert_v2._alerts, alert_v2._groups])
def test_no_list_is_made_beyond_its_limit(of, muted, looked_at, monkeypatch):
    """And none of it at all, where everything is asked for."""
    monkeypatch.setattr(alert_v2, "ALERTS_MAX", 5)
    monkeypatch.setattr(alert_v2, "_view", lambda *_, **__: alert_v2._View("", b""))
    turn = Endless()
    wanted = alert_v2.Wanted((), None, active=True, silenced=True, inhibited=True, muted=muted)
    with pytest.raises(Refused) as caught:
        of(turn, wanted)
    assert (caught.value.status, turn.looked_at) == (413, looked_at)


@pytest.mark.parametrize(
    ("held", "asked", "shown"),
    [
        ({}, {}, True),
        ({}, {"active": False}, False),
        ({"silences": ("s",)}, {"active": False}, True),
        ({"silences": ("s",)}, {"silenced": False}, False),
        ({"inhibitors": ("i",)}, {"active": False}, True),
        ({"inhibitors": ("i",), "silences": ("s",)}, {"silenced": False}, False),
        # As in Alertmanager: what is held by a time interval alone is active, too.
        ({"mutes": ("nights",)}, {}, True),
        ({"mutes": ("nights",)}, {"active": False}, False),
        ({"mutes": ("nights",)}, {"muted": False}, False),
        ({"mutes": ("nights",), "silences": ("s",)}, {"active": False}, True),
    ],
)
def test_which_alerts_a_question_is_about(held, asked, shown):
    flags = {"active": True, "silenced": True, "inhibited": True, "muted": True, **asked}
    wanted = alert_v2.Wanted((), None, **flags)
    assert wanted.has(Suppression(**held)) == shown


@pytest.mark.parametrize("path", ["silences", "alert-rules", "alert-routes", "log-patterns"])
def test_documents_may_be_packed_as_alerts_may(site, path):
    def answered(body, encoding):
        answer = site.ask("POST", f"/v1/{path}", body, {**JSON, "Content-Encoding": encoding})
        return answer.status, answer.json().get("code")

    # What is wrong with it is told of what was in it.
    plain = answered(b'{"no": "such field"}', "identity")
    assert plain[0] == 400
    assert answered(gzip.compress(b'{"no": "such field"}'), "gzip") == plain
    assert answered(gzip.compress(b"{}")[:-4], "gzip") == (400, "gzip")
    assert answered(b"{}", "br") == (415, "unsupported_encoding")
