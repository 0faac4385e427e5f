"""The pages in a real browser."""

import pytest
from playwright.sync_api import expect

from inspectd.serve.web.access.roles import Role
from tests.serve.web.conftest import PASSWORD

pytestmark = pytest.mark.slow


def test_an_operator_logs_in_and_sees_the_line(open_page):
    page = open_page("/", role=None)
    page.get_by_label("Name").fill("operator")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Line")).to_be_visible()


def test_a_page_opens_for_each_role(open_page):
    expect(open_page("/", Role.VIEWER).get_by_text("viewer (viewer)")).to_be_visible()


def test_a_printed_report_has_no_buttons_and_no_grid(open_page):
    """At the end of a page, Chromium prints what follows a grid over the rows of its table."""
    page = open_page("/reports?span=day", Role.VIEWER)
    page.emulate_media(media="print")
    for hidden in (".top", ".report-choice"):
        expect(page.locator(hidden)).to_be_hidden()
    around = (
        "() => [...document.querySelectorAll('main, main *:has(table)')].map((each) => getComputedStyle(each).display)"
    )
    assert set(page.evaluate(around)) == {"block"}
    assert page.pdf(format="A4").startswith(b"%PDF")
