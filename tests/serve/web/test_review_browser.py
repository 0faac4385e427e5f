"""Review in a real browser, by keyboard alone."""

import re
import sqlite3
from contextlib import closing
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from inspectd.records.users import Role

pytestmark = pytest.mark.slow
FIRST = 69
"""The newest part with an image."""


def current(page: Page) -> int:
    return int(page.locator(".strip-card[aria-current]").get_attribute("aria-label").split()[1].rstrip(","))


def opened(open_page, role: Role = Role.OPERATOR, query: str = "", **options: object) -> Page:
    page = open_page(f"/review{query}", role, **options)
    expect(page.locator("#photo img")).to_be_visible()
    return page


def kept(plant) -> dict[int, dict[str, str]]:
    """Part -> who says what, as it is on the disk."""
    return {each.part: {one.by: one.says for one in each.decisions} for each in plant.site.reviews().reviewed()}


def settled(page: Page) -> None:
    """Every decision has been sent and answered."""
    page.wait_for_function("() => !document.querySelector('#review').hasAttribute('aria-busy')")


def test_ten_labels_with_ten_keys_and_one_taken_back(open_page, plant):
    page = opened(open_page)
    assert current(page) == FIRST
    parts = []
    for key in "2gu1232gug":
        parts.append(current(page))
        page.keyboard.press(key)
    settled(page)
    says = {"g": "no_fail", "u": "unknown", "1": "fail_label_crooked_print", "2": "fail_label_half_printed"}
    says["3"] = "fail_label_not_fully_printed"
    assert kept(plant) == {part: {"operator": says[key]} for part, key in zip(parts, "2gu1232gug", strict=True)}
    page.keyboard.press("z")
    expect(page.locator("#said")).to_have_text(f"Part {parts[-1]}: the decision was taken back.")
    assert current(page) == parts[-1]
    assert parts[-1] not in kept(plant)
    expect(page.locator("#progress")).to_contain_text("2 good, 7 faulty or unknown")


def test_one_key_decides_on_all_that_are_selected(open_page, plant):
    page = opened(open_page, Role.ADMIN)
    first = current(page)
    page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    assert current(page) == first
    parts = []
    for _ in range(3):
        parts.append(current(page))
        page.keyboard.press("x")
        page.keyboard.press("ArrowRight")
    expect(page.locator("#said")).to_have_text(re.compile("3 selected"))
    page.keyboard.press("2")
    settled(page)
    assert (
        len({part for part, said in kept(plant).items() if said.get("admin") == "fail_label_half_printed"} & {*parts})
        == 3
    )
    cards = page.locator(".strip-card")
    cards.nth(4).click()
    cards.nth(7).click(modifiers=["Shift"])
    expect(page.locator(".strip-card.selected")).to_have_count(4)
    page.keyboard.press("Escape")
    expect(page.locator(".strip-card.selected")).to_have_count(0)


def test_two_reviewers_disagree_and_both_see_it_only_after_their_own_decision(open_page, plant):
    page = opened(open_page, Role.ENGINEER)
    expect(page.locator("#why")).to_contain_text("You see it after your own decision")
    part = current(page)
    page.keyboard.press("u")
    expect(page.locator("#said")).to_contain_text(f"Part {part}: you say Unknown. operator says Label half printed")
    page.goto("/review?seen=disagreement")
    expect(page.locator("#why")).to_contain_text("Reviewers disagree")
    assert current(page) == part


def test_a_decision_that_can_not_be_kept_comes_back(open_page, plant):
    page = opened(open_page, Role.ADMIN, "?seen=nobody")
    page.keyboard.press("ArrowRight")  # there is a copy of the first one: somebody had decided, and took it back
    part = current(page)
    photos = plant.site.config.state / "reviews/photos"
    photos.rename(photos.with_name("away"))
    page.keyboard.press("g")
    expect(page.locator("#problem")).to_contain_text(f"The decision on part {part} was not kept")
    photos.with_name("away").rename(photos)
    assert "507" in open_page.wrong.pop()
    assert current(page) == part
    expect(page.locator(".choice[aria-pressed=true]")).to_have_count(0)
    plane = page.locator(".photo-plane")
    whole = plane.get_attribute("style")
    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowLeft")
    assert plane.get_attribute("style") != whole
    page.keyboard.press("0")
    assert plane.get_attribute("style") == whole
    page.keyboard.press("h")
    expect(page.locator(".photo-marks")).to_be_hidden()


def test_new_labels_wait_for_a_key_and_move_nothing(open_page, plant, monkeypatch):
    monkeypatch.setattr("inspectd.serve.web.review.queue._STORED_NS", 0)
    page = opened(open_page, Role.ADMIN, "?show=rejects")
    page.add_init_script(
        "const real = setInterval; window.setInterval = (look, ms) => real(look, ms === 5000 ? 100 : ms)"
    )
    page.reload()
    expect(page.locator("#photo img")).to_be_visible()
    first = current(page)
    page.keyboard.press("ArrowRight")
    part, newest = current(page), plant.journal.next_part_id - 1
    places = "() => [...document.querySelectorAll('main button, #photo')].map((each) => each.id + each.className + JSON.stringify(each.getBoundingClientRect()))"
    before = page.evaluate(places)
    plant.inspect(7)
    expect(page.get_by_role("button", name="4 new")).to_be_visible()
    assert page.evaluate(places) == before
    assert current(page) == part
    page.keyboard.press("n")
    expect(page.locator(".strip-card[aria-current]")).to_have_attribute("aria-label", re.compile(f"Part {newest + 6},"))
    expect(page.locator("#new")).to_be_hidden()
    assert page.locator(".strip-card").nth(4).get_attribute("aria-label").startswith(f"Part {first},")


def test_words_of_the_journal_are_never_markup(open_page, plant):
    evil = "<img src=x onerror=alert(1)>'; DROP TABLE parts --"
    with closing(sqlite3.connect(plant.site.line.journal)) as journal, journal:
        journal.execute("UPDATE parts SET class = ? WHERE id = 66", (evil,))
        journal.execute("UPDATE texts SET found = ?, field = ?, source = ? WHERE part = 62", (evil, evil, evil))
    page = opened(open_page, Role.ADMIN, f"?seen=all&field={quote(evil)}")
    assert current(page) == 62
    for path in (None, "/parts/62", "/parts/66"):
        if path is not None:
            page.goto(path)
        expect(page.locator("main")).to_contain_text("onerror")
        assert page.locator("img[src=x]").count() == 0


def test_gloves_and_phones(open_page):
    page = opened(open_page, Role.ADMIN, viewport={"width": 390, "height": 844})
    page.locator(".filters summary").click()
    low = page.evaluate(
        "() => [...document.querySelectorAll('main button, main select, main input, main summary')].filter((each) => each.checkVisibility())"
        ".filter((each) => each.type !== 'hidden' && each.getBoundingClientRect().height < 44).map((each) => each.outerHTML)"
    )
    assert low == []
    page.get_by_role("button", name="Good").click()
    expect(page.locator("#said")).to_contain_text("Good")
    assert page.evaluate("() => document.activeElement.id") == "photo"  # the space bar must not press Good again
