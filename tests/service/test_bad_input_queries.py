"""Malformed and hostile questions: every GET with a query, a row a request.

A parameter that cannot be meant is refused by name; one that is merely strange finds nothing.
"""

from urllib.parse import quote

import pytest

from tests.service.running import NOW_MS, assert_problem

NOW_S = NOW_MS / 1000
RANGE = "/v1/query/range?metric=up"
LISTS = (
    "/v1/query/labels", "/v1/query/metrics", "/v1/workloads", "/v1/workloads/w-1/training",
    "/v1/workloads/w-1/checkpoints", "/v1/workloads/w-1/timeline", "/v1/records",
)  # fmt: skip
SPANS = ("/v1/workloads/w-1/training", "/v1/workloads/w-1/timeline", "/v1/records", RANGE)
AT = ("/v1/pods/cache", "/v1/pods/workload/cache", "/v1/attribution?labels=%7B%7D")
BAD_INSTANTS = (
    "yesterday", "nan", "NaN", "inf", "-inf", "1e300", "1e12", "-10m", "2026-02-30T00:00:00Z",
    "2026-01-01T25:00:00Z", "2026-01-01", "0x10", "9" * 5000, "1e", "%00", "%C2%B2", "--1", "now()",
)  # fmt: skip
BAD_COUNTS = (
    "-1",
    "1.5",
    "1e9",
    "ten",
    "0x10",
    "nan",
    "99999999999999999999",
    "%00",
    "+1",
    "%C2%B2",
    "1%20",
)
BAD_STEPS = (
    "0", "-10m", "-1", "nan", "inf", "-inf", "1e9y", "1y", "1e300", "0.0000001", "5x", "m", "10m5h",
    "99999999999w", "9" * 5000, "1ns", "%00",
)  # fmt: skip
BAD_MATCHERS = (
    "", "=", "a", 'a="', 'a="b" or', '{a="b"}', "a=~(", 'a=~"(a{1000}){1000}"',
    r'a=~"(?=x)"', r'a=~"(a)\1"', 'a=~"' + "x" * 4097 + '"', "a=" + "x" * 17_000, "5=b",
    "a=" + " " * 20_000 + '"', 'a=~"\\"', "a\0=b", 'a=~"[z-a]"', 'a=~"a**"',
)  # fmt: skip


def joined(path, query):
    return f"{path}{'&' if '?' in path else '?'}{query}"


# path and query, status, field
ASKED = [
    ("/v1/query/range", 400, "metric"),
    ("/v1/records?limit=1&limit=2", 400, "limit"),
    ("/v1/query/range?metric=", 400, "metric"),
    (f"{RANGE}&agg=median", 400, "agg"),
    (f"{RANGE}&agg=MEAN", 400, "agg"),
    (f"{RANGE}&agg=%00", 400, "agg"),
    (f"{RANGE}&start={NOW_S}&end={NOW_S}", 400, "end"),
    (f"{RANGE}&start={NOW_S}&end={NOW_S - 1}", 400, "end"),
    (f"{RANGE}&start=0&end={NOW_S}&step=1s", 400, "step"),
    (f"{RANGE}&start=-9e9&end=9e9&step=1ms", 400, "step"),
    (f"{RANGE}&" + "&".join(["match[]=a=b"] * 65), 400, "match[]"),
    ("/v1/attribution", 400, "labels"),
    *((f"/v1/attribution?labels={quote(text)}", 400, "labels") for text in ("", "canary", "[]", "null", "1", '{"a": 1}', '{"a": null}', '{"a": ["b"]}', "{" * 10_000, '{"": "b"}', '{"a": "\\ud800"}', '{"a":')),
    *((joined(path, f"{name}={value}"), 400, name) for path in LISTS for name in ("limit", "offset") for value in BAD_COUNTS),
    *((joined(path, "limit=0"), 400, "limit") for path in LISTS),
    *((joined(path, "limit=1001"), 400, "limit") for path in LISTS),
    *((joined(path, "offset=1000001"), 400, "offset") for path in LISTS),
    *((joined(path, f"{name}={value}"), 400, name) for path in SPANS for name in ("start", "end") for value in BAD_INSTANTS),
    *((joined(path, f"at={value}"), 400, "at") for path in AT for value in BAD_INSTANTS),
    *((f"{RANGE}&step={value}", 400, "step") for value in BAD_STEPS),
    *((f"/v1/workloads/w-1/training?every={value}", 400, "every") for value in ("0", "-1", "nan", "1.5", "1e9y", "5x", "0s", "%00", "9" * 5000 + "y")),
    ("/v1/workloads/w-1/training?run=99", 404, "run"),
    ("/v1/workloads/w-1/training?run=%00", 404, "run"),
    *((f"{path}match[]={quote(text)}", 400, "match[]") for path in (f"{RANGE}&", "/v1/query/labels?", "/v1/query/metrics?") for text in BAD_MATCHERS),
    *((joined(path, "canary=1"), 400, "canary") for path in (*LISTS, RANGE, *AT, "/v1/workloads/w-1")),
    *((joined(path, "Limit=1"), 400, "Limit") for path in LISTS),
]  # fmt: skip


@pytest.fixture(scope="module")
def asked_site(shared_site):
    shared_site.write([({"__name__": "up", "job": "a"}, [(NOW_MS, 1.0)])])
    shared_site.place(uid="w-1")
    return shared_site


@pytest.mark.parametrize(
    ("path", "status", "field"), [pytest.param(*row, id=row[0][:100]) for row in ASKED]
)
def test_refused_by_name(asked_site, path, status, field):
    assert_problem(asked_site.get(path), status, field=field)


# path
UNKNOWN = [
    *(f"/v1/workloads/{uid}{below}" for uid in ("canary", "..%2f..%2fetc%2fpasswd", "%00", "%ff%fe", "'%20or%201=1--", "%25", "*", "u" * 5000, "w-1%00") for below in ("", "/training", "/checkpoints", "/timeline")),
    "/v1/workloads/", "/v1/workloads/w-1/", "/v1/workloads/w-1/canary", "/v1/workloads/a/b/c",
    "/v1", "/v2/logs", "/v1/logs/", "/v1/prometheus/", "/v1/prometheus/api/v1/write/x", "//v1/logs",
    "/v1//logs", "/v1/Logs", "/v1/logs%00", "/v1/../metrics", "/static/../../etc/passwd",
    "/static/heliograph.css%00.js", "/static/", "/.git/config", "/v1/openapi.json/", "/debug/pprof/",
    "/%2e%2e/%2e%2e/etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("path", [pytest.param(path, id=path[:60]) for path in UNKNOWN])
def test_nothing_is_there(asked_site, path):
    assert_problem(asked_site.get(path), 404, code="not_found")


# path and query
TAKEN = [
    RANGE, f"{RANGE}&step=1m&agg=p99", f"{RANGE}&step=60", f"{RANGE}&step=0.5",
    f"{RANGE}&start=0&end={NOW_S}", f"{RANGE}&start=-9e9&end=9e9", f"{RANGE}&start=2026-11-22T00:00:00Z",
    f"{RANGE}&start=2026-11-22t00:00:00.123456789%2B08:00&end={NOW_S}",
    f"{RANGE}&start=-9e9&end=9e9&step=5000w",
    "/v1/query/range?metric=%00", "/v1/query/range?metric=%ff", "/v1/query/range?metric=workload_",
    "/v1/query/range?metric=workload_up", "/v1/query/range?metric=" + "m" * 10_000,
    f"{RANGE}&match[]=job%3Da&match=job%3D~%22.*%22", f"{RANGE}&match[]=%22a%20b%22%3Dc",
    f"{RANGE}&match[]=" + quote('job!~"(a|a)*' + "b" * 900 + '"'),
    f"{RANGE}&match[]=" + quote('job=~"(((((a*)*)*)*)*)*"'),
    f"{RANGE}&match[]=" + quote("job='; drop table series; --'"),
    "/v1/records?severity=%00&event_type=canary&session_id=%ff",
    "/v1/records?" + "&".join(f"session_id={i}" for i in range(3000)),
    "/v1/records?start=-9e9&end=9e9", "/v1/records?start=5&end=1",
    "/v1/workloads?name=%25&namespace='--&kind=*&status=%00",
    "/v1/workloads?offset=1000000&limit=1000", "/v1/workloads/w-1",
    "/v1/workloads/w-1/training?field=a,b&field=%00&every=30s", "/v1/workloads/w-1/training?every=5",
    "/v1/workloads/w-1/checkpoints", "/v1/workloads/w-1/timeline?start=0",
    "/v1/query/labels?match[]=job%3Da", "/v1/query/metrics",
    "/v1/attribution?labels=" + quote('{"a": "\\u0000", "node": "\'; --", "__name__": "x"}'),
    "/v1/attribution?labels=" + quote('{"pod": "' + "p" * 20_000 + '"}'),
    "/v1/attribution?labels=" + quote('{"a": "canary", "a": "b"}'),
    "/v1/pods/cache?at=0", "/v1/pods/workload/cache?at=2026-11-22T00:00:00Z",
    "/healthz", "/readyz", "/healthz?canary=1", "/metrics", "/", "/static/heliograph.css",
    "/v1/openapi.json",
]  # fmt: skip


@pytest.mark.parametrize("path", [pytest.param(path, id=path[:100]) for path in TAKEN])
def test_strange_and_taken(asked_site, path):
    answer = asked_site.get(path)

    assert answer.status == 200, answer.body[:500]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", [pytest.param(path, id=path[:100]) for path in TAKEN])
def test_head_is_get_without_its_body(asked_site, path):
    answer = asked_site.ask("HEAD", path)

    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "uid", ["good/../4%2F?#", "a b", "é", "'; --", "<b>", "a\0b", "..", "%", "x" * 1024]
)
def test_a_workload_is_found_by_the_uid_that_it_was_placed_under(shared_site, uid):
    assert shared_site.place(uid=uid, pod="good").status == 200

    answer = shared_site.get("/v1/workloads/" + quote(uid, safe=""))

    assert answer.status == 200, answer.body
    assert answer.json()["uid"] == uid


def test_a_script_in_a_name_is_inert_on_the_first_page(site):
    script = "</td><script>alert(1)</script>"
    assert site.place(uid=script, pod=script).status == 200

    page = site.get("/")

    assert page.status == 200
    assert b"<script>alert" not in page.body
    assert "script-src" in page.headers["Content-Security-Policy"] or (
        "default-src 'none'" in page.headers["Content-Security-Policy"]
    )


@pytest.mark.parametrize("pattern", [r'n=~"llm-\d+"', r'n=~"llm-\\d+"', r"n=~llm-\d+"])
def test_a_pattern_keeps_its_backslash(asked_site, pattern):
    names = ("llm-12", "llm-d")
    asked_site.write([({"__name__": "escaped", "n": n}, [(NOW_MS, 1.0)]) for n in names])

    answer = asked_site.get("/v1/query/labels", **{"match[]": ["__name__=escaped", pattern]})

    assert [one["n"] for one in answer.json()["items"]] == ["llm-12"]
