"""Who may do what: every endpoint with every credential, made from the table of endpoints."""

import hashlib
import inspect
import logging

import pytest

from heliograph.core.errors import ConfigError
from heliograph.service import auth
from heliograph.service.auth import Denied, Gate
from heliograph.service.config import AuthConfig, Config, TokenConfig, check
from heliograph.service.http import Endpoint
from tests.service.running import ROLES, assert_problem, basic, bearer, running

# What each role is for; the product's table must agree with it.
MAY = {
    "ingest": {"known", "ingest"},
    "viewer": {"known", "view"},
    "editor": {"known", "view", "edit"},
    "admin": {"known", "ingest", "view", "edit", "admin"},
}
OPEN = {
    "/healthz", "/readyz", "/static/heliograph.css", "/static/heliograph.js",
    "/sdk/otel/v1/{signal}",
}  # fmt: skip
# Open to whoever was given the address, which is signed.
SIGNED = {"/files/{entity}/{project}/{run}/upload/{signature}/{name}"}
WRONG = {
    "none": {},
    "an unknown token": bearer("hg_admin_the-admin_" + "0" * 64),
    "an unknown password": basic("hg_admin_the-admin_" + "0" * 64),
    "an empty token": {"Authorization": "Bearer "},
    "an empty password": basic(""),
    "no scheme": {"Authorization": "hg_admin"},
    "another scheme": {"Authorization": "Digest username=admin"},
    "no base64": {"Authorization": "Basic !!!"},
    "bytes beyond ASCII": {"Authorization": "Bearer \xff\xfe"},
    "a very long token": bearer("x" * 50_000),
    "a user for a token": {"Authorization": "Basic aGc6"},
    "a proxy's word": {"X-Forwarded-For": "127.0.0.1", "X-Remote-User": "admin"},
}


@pytest.fixture(scope="module")
def guarded_site(tmp_path_factory):
    with running(tmp_path_factory.mktemp("guarded") / "data", with_tokens=True) as asked:
        yield asked
        asked.assert_sound()


def operations(site):
    """(method, path, permission) of everything that is described, from what is served itself."""
    described = site.get("/v1/openapi.json", bearer(site.tokens["admin"])).json()
    return [
        (method.upper(), path.replace("{uid}", "w-1"), operation["x-permission"])
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_endpoint_with_every_role(guarded_site):
    asked = operations(guarded_site)
    assert len(asked) > 20
    for method, path, permission in asked:
        for role in ROLES:
            for headers in (
                bearer(guarded_site.tokens[role]),
                basic(guarded_site.tokens[role]),
            ):
                answer = guarded_site.ask(
                    method, path, b"" if method == "POST" else None, headers
                )

                case = (method, path, permission, role, answer.status)
                if path in SIGNED:
                    assert answer.status == 403, case
                elif permission == "open" or permission in MAY[role]:
                    assert answer.status not in {401, 403}, case
                    assert answer.status < 500, case
                else:
                    assert_problem(answer, 403, code="forbidden")


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_every_endpoint_without_a_valid_credential(guarded_site, wrong):
    for method, path, permission in operations(guarded_site):
        answer = guarded_site.ask(method, path, b"" if method == "POST" else None, wrong)

        if path in SIGNED:
            assert_problem(answer, 403, code="forbidden")
        elif permission == "open":
            assert path in OPEN
            assert answer.status == 200
        else:
            assert_problem(answer, 401, code="unauthenticated")
            challenges = answer.headers.get_all("WWW-Authenticate")
            assert [one.partition(" ")[0] for one in challenges] == ["Bearer", "Basic"]
            assert all('realm="heliograph"' in one for one in challenges)


@pytest.mark.parametrize(
    "path", ["/canary", "/v1/logs/", "/v1/admin", "/static/x", "//", "/v1/healthz"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "TRACE"])
def test_what_is_not_there_is_told_to_those_with_a_token_alone(guarded_site, method, path):
    assert_problem(guarded_site.ask(method, path), 401, code="unauthenticated")
    for role in ROLES:
        answer = guarded_site.ask(method, path, headers=bearer(guarded_site.tokens[role]))
        assert_problem(answer, 404, code="not_found")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_which_methods_there_are_is_told_to_those_who_may_use_them_alone(guarded_site, method):
    assert_problem(guarded_site.ask(method, "/v1/logs"), 401)
    viewer = guarded_site.ask(method, "/v1/logs", headers=bearer(guarded_site.tokens["viewer"]))
    assert_problem(viewer, 403)
    ingest = guarded_site.ask(method, "/v1/logs", headers=bearer(guarded_site.tokens["ingest"]))
    assert_problem(ingest, 405)


def test_a_refused_body_is_not_read(guarded_site):
    """A sender without a token cannot make us hold its body: the answer comes before it does."""
    got = guarded_site.raw(
        b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000000\r\n\r\n",
        wait_s=2,
    )

    assert got.startswith(b"HTTP/1.1 401")
    assert guarded_site.measured("heliograph_in_flight_bytes") == {"": 0}


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://[::1", "", "https://127.0.0.1:1"]
)
def test_a_page_of_another_site_cannot_write(guarded_site, origin):
    headers = {**bearer(guarded_site.tokens["admin"]), "Origin": origin}

    answer = guarded_site.post("/v1/placements", {}, headers)

    if origin:
        assert_problem(answer, 403, code="forbidden")
    else:
        assert answer.status == 200
    assert guarded_site.get("/v1/workloads", headers).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8989", "127.0.0.1.evil.example"]
)
@pytest.mark.parametrize("path", ["/", "/v1/workloads", "/metrics"])
def test_without_tokens_a_name_that_was_made_to_mean_us_is_not_answered(site, host, path):
    """DNS rebinding: the page's own name resolves to 127.0.0.1, so Origin and Host agree."""
    got = site.raw(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())

    assert got.startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8989", "[::1]:8989", "LOCALHOST"])
def test_without_tokens_loopback_by_any_of_its_names_is_answered(site, host):
    got = site.raw(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())

    assert got.startswith(b"HTTP/1.1 200")


def test_with_tokens_any_name_is_answered(guarded_site):
    token = guarded_site.tokens["viewer"]
    got = guarded_site.raw(
        f"GET / HTTP/1.1\r\nHost: heliograph.example\r\nAuthorization: Bearer {token}\r\n"
        "Connection: close\r\n\r\n".encode()
    )

    assert got.startswith(b"HTTP/1.1 200")


def test_readiness_tells_strangers_states_only(guarded_site):
    stranger = guarded_site.get("/readyz")
    viewer = guarded_site.get("/readyz", bearer(guarded_site.tokens["viewer"]))

    assert {key for check in stranger.json()["checks"] for key in check} == {"name", "state"}
    assert all("detail" in check for check in viewer.json()["checks"])


def test_a_page_of_our_own_can_write(guarded_site):
    own = f"http://127.0.0.1:{guarded_site.port}"
    headers = {**bearer(guarded_site.tokens["admin"]), "Origin": own}

    assert guarded_site.post("/v1/placements", {}, headers).status == 200


def test_no_answer_and_no_log_line_has_a_secret(guarded, caplog):
    caplog.set_level(logging.DEBUG)
    secrets = [token.rpartition("_")[2] for token in guarded.tokens.values()]
    digests = [hashlib.sha256(token.encode()).hexdigest() for token in guarded.tokens.values()]
    seen = []
    for headers in [
        *map(bearer, guarded.tokens.values()),
        *map(basic, guarded.tokens.values()),
    ]:
        for method, path, _ in operations(guarded):
            answer = guarded.ask(method, path, b"" if method == "POST" else None, headers)
            seen.append(f"{answer.headers}{answer.body.decode()}")
    # Not even the beginnings of one that is nearly right.
    nearly = guarded.tokens["admin"][:-1] + "x"
    seen.append(guarded.get("/v1/workloads", bearer(nearly)).body.decode())
    told = "".join(seen) + caplog.text

    assert not [one for one in (*secrets, *digests, nearly) if one in told]


def test_without_tokens_everything_is_open(shared_site):
    for wrong in WRONG.values():
        assert shared_site.get("/v1/workloads", wrong).status == 200


@pytest.mark.parametrize("role", ROLES)
def test_a_new_token_says_what_it_is_and_is_known_by_its_digest(role):
    token, digest = auth.new_token(role, "ci")
    gate = Gate([TokenConfig("ci", role, digest.upper())])

    assert token.startswith(f"hg_{role}_ci_")
    assert len(token) >= 64 + len(f"hg_{role}_ci_")
    assert hashlib.sha256(token.encode()).hexdigest() == digest
    for permission in ("ingest", "view", "edit", "admin"):
        if permission in MAY[role]:
            assert gate.check(f"Bearer {token}", permission) == ("ci", role)
        else:
            with pytest.raises(Denied) as denied:
                gate.check(f"bearer {token}", permission)
            assert denied.value.status == 403


def test_an_endpoint_cannot_be_declared_without_its_permission():
    permission = inspect.signature(Endpoint).parameters["permission"]

    assert permission.default is inspect.Parameter.empty
    with pytest.raises(TypeError):
        Endpoint(method="GET", path="/x", summary="x", answer=None)


TOKENS = AuthConfig(tokens=(TokenConfig("a", "admin", "0" * 64),))


@pytest.mark.parametrize(
    "listen",
    [
        "0.0.0.0:8989",
        ":8989",
        "[::]:8989",
        "10.0.0.1:8989",
        "node-1:8989",
        "127.0.0.1.evil.example:1",
    ],
)
def test_others_are_not_let_in_without_tokens(listen):
    with pytest.raises(ConfigError, match=r"^listen: .*auth\.tokens is empty"):
        check(Config(listen=listen))

    check(Config(listen=listen), insecure=True)
    check(Config(listen=listen, auth=TOKENS))


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:8989", "127.9.9.9:1", "[::1]:8989", "localhost:0"]
)
def test_ourselves_are(listen):
    check(Config(listen=listen))
