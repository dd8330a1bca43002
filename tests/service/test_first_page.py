"""The first page in a real browser: what a user sees, and that a name is only ever a name."""

import pytest

from tests.service.running import NOW_MS

HOSTILE = [
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "javascript:document.title='owned'",
    "{{ 7 * 7 }}",
    "</td></tr></table><h1>owned</h1>",
    "../../metrics",
    "&lt;b&gt;",
    "名前 🚀 \u202eright to left",
]
LINE = "iteration 1234/ 5000 | lm loss: 2.345678E+00 | throughput per GPU (TFLOP/s/GPU): 210.5 | hip mem usage/free/total/usage_ratio: 153.81GB/102.17GB/255.98GB/60.09% |"  # fmt: skip


def seen(page, site):
    """Open the page; it must load whole."""
    answer = page.goto(f"http://127.0.0.1:{site.port}/", wait_until="networkidle")
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    return page


def workload_rows(page):
    """The text of the cells of each workload."""
    return [
        [cell.inner_text().strip() for cell in row.query_selector_all("td")]
        for row in page.query_selector_all("section[aria-labelledby=workloads] tbody tr")
    ]


def log(site, text, pod="p-1", ms=NOW_MS - 5000):
    site.log({"log": text, "date": ms / 1000, "kubernetes": {"pod_id": pod}})


def test_an_empty_service_says_what_to_do(site, page):
    text = seen(page, site).inner_text("main")

    assert "No workload is known yet" in text
    assert "/v1/placements" in text
    assert "Nothing has come in since the start" in text
    assert "bad" not in [
        one.get_attribute("class") for one in page.query_selector_all(".checks li")
    ]


def test_it_shows_how_far_training_is(site, page):
    site.post(
        "/v1/placements",
        {
            "workloads": [
                {"uid": "w-1", "name": "llm-7b", "namespace": "train", "kind": "PyTorchJob",
                 "status": "Running"}
            ],
            "pods": [
                {"uid": "p-1", "name": "llm-7b-0", "workload_uid": "w-1", "node": "n1",
                 "start": "2026-01-01T00:00:00Z", "devices": [{"type": "gpu", "id": "0"}]}
            ],
        },
    )  # fmt: skip
    log(site, LINE)
    site.write([({"__name__": "util", "node": "n1", "gpu": "0"}, [(NOW_MS, 1.0)])])
    site.write([({"__name__": "util", "node": "nowhere", "gpu": "0"}, [(NOW_MS, 1.0)])])
    site.get("/v1/query/range", metric="util")

    (cells,) = workload_rows(seen(page, site))
    name, status, pods, devices, framework, run, iteration, loss, throughput, memory, last = (
        cells
    )
    assert name.split() == ["llm-7b", "train", "·", "PyTorchJob"]
    assert (status, pods, devices, run) == ("Running", "1", "1", "1")
    assert (framework, iteration, loss) == ("primus", "1,234 / 5,000", "2.3457")
    assert (throughput, memory) == ("210.5 TFLOP/s/GPU", "153.81 GB · 60.09 %")
    assert last.endswith("s ago")
    assert page.eval_on_selector("progress", "bar => bar.value") == pytest.approx(1234 / 5000)
    link = page.get_attribute("section[aria-labelledby=workloads] a", "href")
    assert site.get(link).json()["uid"] == "w-1"
    text = page.inner_text("main")
    assert "unknown_node" in text
    assert 'util{gpu="0", node="nowhere"}' in text


OTHERS = [
    ("NaN is shown", "iteration 7/ 500 | lm loss: nan |", {7: "NaN"}),
    ("an infinite loss is shown", "iteration 7/ 500 | lm loss: inf |", {7: "inf"}),
    ("torchtitan", "[titan] - root - INFO - step: 7  loss:  2.5  memory: 63.36GiB(45.35%)  tps: 829", {6: "7", 7: "2.5", 8: "829 tokens/s/GPU", 9: "63.36 GB · 45.35 %"}),
    ("DeepSpeed", "iteration 7/ 500 | consumed tokens: 20 | samples per second: 19.463 | lm loss: 2.5 |", {8: "19.463 samples/s"}),
    ("MindSpeed", "iteration 7/ 500 | lm loss: 2.5 | max_memory_allocated(GB): 19.07 |", {9: "19.07 GB"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "cells"), [pytest.param(*row, id=case) for case, *row in OTHERS]
)
def test_what_frameworks_print(site, page, line, cells):
    site.place()
    log(site, line)
    site.get("/v1/workloads/w-1/training")

    (row,) = workload_rows(seen(page, site))
    assert {place: row[place] for place in cells} == cells


def test_hostile_names_are_inert(site, page):
    for number, name in enumerate(HOSTILE):
        site.post(
            "/v1/placements",
            {
                "workloads": [
                    {"uid": name, "name": name, "namespace": name, "kind": name, "status": name}
                ],
                "pods": [
                    {"uid": f"p{number}", "name": name, "workload_uid": name, "node": name}
                ],
            },
        )
        site.write([({"__name__": "util", "node": name, "gpu": name}, [(NOW_MS, 1.0)])])
    site.get("/v1/query/range", metric="util")

    seen(page, site)
    assert page.title() == "Heliograph"
    assert page.query_selector("main h1") is None
    assert page.query_selector("main img, main script") is None
    rows = {cells[0].rpartition(" · ")[2]: cells for cells in workload_rows(page)}
    assert set(rows) == set(HOSTILE)
    assert all(cells[1] == name for name, cells in rows.items())
    links = page.query_selector_all("section[aria-labelledby=workloads] a")
    assert all(link.get_attribute("href").startswith("/v1/workloads/") for link in links)
    for name in HOSTILE:
        answer = page.request.get(
            next(link.evaluate("a => a.href") for link in links if link.inner_text() == name)
        )
        assert answer.status == 200, name
        assert answer.json()["uid"] == name
