"""The Line page in a real browser."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from inspectd.part import Fault, Part
from inspectd.serve.web.access.roles import Role
from tests.serve.lines import FakeLine, running_line
from tests.serve.web.conftest import STAGES, Plant, login_fields, scores, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def line(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeLine]:
    with running_line(plant.journal, plant.site.line.control) as line:
        yield line


@pytest.fixture(scope="module")
def plant(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """With a control socket."""
    socket = tmp_path_factory.mktemp("control") / "control.sock"
    return replace(plant, site=replace(plant.site, line=replace(plant.site.line, control=socket)))


def _findings(page):
    return [
        (found["id"], [node["target"] for node in found["nodes"]]) for found in Axe().run(page).response["violations"]
    ]


def test_a_reject_appears_without_a_reload_with_its_image_and_frame(open_page, plant, line):
    page = open_page("/")
    page.evaluate("window.isTheSamePage = true")
    with line.paused():
        part = 7 * (plant.journal.next_part_id // 7) + 12
        plant.inspect(part - plant.journal.next_part_id + 1)  # a label with an anomaly is the last one
    expect(page.locator(f"#rejects > li:first-child[data-part='{part}']")).to_contain_text("Print damaged")
    expect(page.locator(f"#verdict [data-part='{part}']")).to_contain_text("Print damaged")
    image = page.locator("#picture img")
    expect(image).to_have_attribute("src", re.compile(rf"/images/{part}\?t=\d+"))
    frame = page.locator("#picture .frame-line")
    expect(frame).to_be_visible()
    sides = {side: float(frame.get_attribute(side)) for side in ("x", "y", "width", "height")}
    assert sides == {"x": 30, "y": 8, "width": 12, "height": 9}
    size = image.evaluate("image => `0 0 ${image.naturalWidth} ${image.naturalHeight}`")
    assert page.locator("#picture .frame").get_attribute("viewBox") == size
    assert page.evaluate("window.isTheSamePage")
    assert page.locator("#rejects > li").count() == 20
    marks = page.evaluate("performance.getEntriesByName('rejects').flatMap(mark => mark.detail)")
    assert part in marks


def test_a_stop_is_in_the_bar_of_every_page_until_it_is_acknowledged(open_page, line):
    pages = [open_page("/"), open_page("/setup")]
    viewer = open_page("/", Role.VIEWER)
    for page in pages:
        expect(page.locator("#top-line")).to_contain_text("Line runs")
        expect(page.get_by_role("button", name="Acknowledge")).to_be_hidden()
    line.halt("reject_not_driven")
    for page in pages:
        expect(page.locator("#top-line")).to_contain_text("Find this label, then acknowledge")
    assert _findings(pages[0]) == []
    expect(viewer.get_by_text("An operator must log in and acknowledge.")).to_be_visible()
    pages[1].get_by_role("button", name="Acknowledge").click()
    expect(pages[1].locator("#answer")).to_contain_text("Acknowledged")
    for page in pages:
        expect(page.locator("#top-line")).to_contain_text("Line runs")
    assert line.acknowledged_by is not None


def test_a_page_that_has_lost_the_line_says_how_old_it_is(browser, plant):
    context = browser.new_context()
    with serving(plant.site) as address:
        context.request.post(
            f"{address}/login", form=login_fields(Role.VIEWER, context.request.get(f"{address}/login").text())
        )
        page = context.new_page()
        page.clock.install()
        page.goto(address)
        expect(page.locator("#figures")).to_contain_text("Parts per minute")
        expect(page.locator("#behind")).to_be_hidden()
    page.clock.fast_forward(4000)
    expect(page.locator("#behind")).to_contain_text(re.compile("[4-9] s behind the line"))
    context.close()


def test_a_class_name_with_html_is_text(open_page, plant, line):
    page = open_page("/")
    hostile = "<img src=x onerror=document.title='broken'>"
    with line.paused():
        number = plant.journal.next_part_id
        plant.journal.next_part_id += 1
        part = Part(number, number, time.monotonic_ns(), time.time_ns(), time.monotonic_ns())
        verdict = Fault(replace(scores("no_fail", 0.1), classes=(hostile,), values=(0.95,)))
        plant.journal.append(part, verdict, STAGES)
    expect(page.locator(f"#verdict [data-part='{number}']")).to_contain_text("<img src=x onerror")
    expect(page.locator("#causes")).to_contain_text("<img src=x onerror", timeout=3000)
    assert "broken" not in page.title()


def test_all_that_matters_is_visible_at_1280_by_800_without_scrolling(open_page):
    page = open_page("/")
    expect(page.locator("#figures")).to_contain_text("Expected text")
    height = page.evaluate("document.documentElement.scrollHeight")
    assert height <= 800
    for place in ("#picture", "#verdict", "#rejects", "#figures", "#causes"):
        box = page.locator(place).bounding_box()
        assert box["y"] + box["height"] <= 800, place
        assert box["height"] > 100, place
