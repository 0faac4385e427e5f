"""The pages in a real browser."""

import pytest

from inspectd.serve.web.access.roles import Role
from tests.serve.web.conftest import PASSWORD

pytestmark = pytest.mark.slow


def test_an_operator_logs_in_and_sees_the_line(open_page):
    page = open_page("/", role=None)
    page.get_by_label("Name").fill("operator")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    assert page.get_by_role("heading", name="Line").is_visible()


def test_a_page_opens_for_each_role(open_page):
    assert open_page("/", Role.VIEWER).get_by_text("viewer (viewer)").is_visible()
