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
