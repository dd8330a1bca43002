"""The pages in a browser while things change: who reads them is not thrown out, nor kept out."""

import re

import pytest

from tests.service.running import NOW_MS, assert_problem

PHONE = {"width": 390, "height": 800}
DESK = {"width": 1280, "height": 800}


@pytest.fixture
def opening(browser):
    """Opens a page of a service in a context of its own."""
    contexts = []

    def opened(site, path="/", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.goto(f"http://127.0.0.1:{site.port}{path}", wait_until="networkidle")
        return page

    yield opened
    for context in contexts:
        context.close()


def look(page):
    """Have the page look for what is new, as it does every few seconds; what it was answered."""
    with page.expect_response(lambda one: one.request.resource_type == "fetch") as got:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    return got.value


def place(site, name):
    placed = {
        "workloads": [{"uid": name, "name": name, "namespace": "a-rather-long-namespace"}]
    }
    assert site.post("/v1/placements", placed).status == 200


@pytest.mark.parametrize("path", ["/", "/usage"])
def test_a_browser_is_asked_for_a_token_and_opens_the_page(guarded, opening, path):
    from playwright.sync_api import Error

    # What a browser without a window says where it would ask its user.
    with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
        opening(guarded, path)

    token = guarded.tokens["viewer"]
    page = opening(guarded, path, http_credentials={"username": "me", "password": token})
    assert "Heliograph" in page.inner_text("h1")
    assert look(page).status == 200
    assert page.is_hidden("#lost")
    assert_problem(guarded.get(path), 401)


@pytest.mark.parametrize("path", ["/", "/usage"])
def test_without_scripts_the_page_is_loaded_again(site, path):
    text = site.get(path).body.decode()
    every_s = re.search(r'<noscript><meta http-equiv="refresh" content="(\d+)">', text)[1]
    assert f'data-refresh="{every_s}"' in text
    assert text.count("http-equiv") == 1


def test_what_changes_changes_in_its_place(site, opening):
    place(site, "first")
    place(site, "second")
    page = opening(site, viewport=PHONE)
    page.focus("text=first")
    page.evaluate(
        "document.querySelector('[aria-labelledby=workloads] .scroll').scrollLeft = 90"
    )
    rows = page.locator("section[aria-labelledby=workloads] tbody tr")
    page.evaluate("window.kept = document.getElementById('w-first')")

    place(site, "third")
    site.write([({"__name__": "up"}, [(NOW_MS, 1.0)])])
    look(page)
    page.wait_for_function("document.getElementById('w-third')")

    assert [one.split()[0] for one in rows.all_inner_texts()] == ["third", "second", "first"]
    assert page.evaluate("document.activeElement.innerText") == "first"
    assert page.evaluate("window.kept === document.getElementById('w-first')")
    kept_px = "document.querySelector('[aria-labelledby=workloads] .scroll').scrollLeft"
    assert page.evaluate(kept_px) == 90
    page.wait_for_function(
        "document.getElementById('flows').parentNode.innerText.includes('remote')"
    )


# Counts how often the page asks, from the moment on at which it does.
COUNT = "asked = 0; const was = fetch; fetch = (...to) => (asked++, was(...to)); asked"


def test_it_can_be_stopped(site, opening):
    page = opening(site)
    page.click("text=Stop updates")
    page.evaluate(COUNT)
    place(site, "first")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert page.evaluate("asked") == 0
    with page.expect_response(lambda one: one.request.resource_type == "fetch"):
        page.click("text=Go on")
    page.wait_for_function("document.getElementById('w-first')")
    assert page.inner_text("#stop") == "Stop updates"


def test_it_stops_where_the_token_is_refused(site, opening):
    page = opening(site)
    page.route("**/", lambda route: route.fulfill(status=401, body="{}"))
    assert look(page).status == 401
    page.wait_for_selector("text=Go on")
    page.wait_for_selector("#lost", state="visible")
    page.evaluate(COUNT)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert page.evaluate("asked") == 0


def test_a_service_that_is_away_is_told(site, opening):
    page = opening(site)
    page.route("**/", lambda route: route.abort())
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("#lost", state="visible")
    assert "Health" in page.inner_text("main")
    page.unroute("**/")
    look(page)
    page.wait_for_selector("#lost", state="hidden")


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_a_long_name_pushes_nothing_out_of_sight(site, opening, viewport):
    long = "N" * 150
    site.post("/v1/usage", {"network": long, "action": "train", "gpu": ["NVIDIA A100"]})
    alert = {"labels": {"alertname": long * 2}, "annotations": {"summary": "it is full"}}
    assert site.post("/api/v2/alerts", [alert]).status == 200

    for path, last in (("/usage", "svg.bars"), ("/", "td.w")):
        page = opening(site, path, viewport=viewport)
        box = page.locator(last).first.bounding_box()
        # A phone scrolls sideways for some columns, and not for one name.
        assert box["x"] < max(1280, viewport["width"] + 700)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
