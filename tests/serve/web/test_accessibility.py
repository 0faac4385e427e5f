"""Every page in both themes: axe-core finds nothing (WCAG 2.2 AA, contrast too), and nothing scrolls sideways on a phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from inspectd.serve.web.access.roles import Role
from inspectd.serve.web.engines.bundles import find_bundles
from tests.serve.web.conftest import OpenPage, Plant

pytestmark = pytest.mark.slow

_RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
_TOO_WIDE = """() => [...document.querySelectorAll("main *")].filter(each => {
  const right = each.getBoundingClientRect().right;
  return right > innerWidth + 1 && !each.closest(".wide, .card, [class*=strip], svg") && getComputedStyle(each).position !== "absolute";
}).map(each => each.outerHTML.slice(0, 120))"""


def _paths(plant: Plant) -> list[str]:
    active = find_bundles(plant.site.line.engine, plant.site.config.state / "engines", {}).active
    assert active is not None
    return [
        "/",
        "/review",
        "/parts/6",
        "/reports?span=week",
        "/engines",
        f"/engines/{active.id}",
        "/setup",
        "/users",
        "/password",
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_every_page(open_page: OpenPage, plant: Plant, theme: str) -> None:
    page = open_page("/login", Role.ADMIN, color_scheme=theme, viewport={"width": 390, "height": 844})
    found = {}
    for path in _paths(plant):
        page.goto(path, wait_until="load")
        results = Axe().run(page, options=_RULES)
        found |= {
            f"{path}: {violation['id']}": [node["html"][:200] for node in violation["nodes"][:3]]
            for violation in results.response["violations"]
        }
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found[f"{path}: scrolls sideways"] = page.evaluate(_TOO_WIDE)[:3]
    assert found == {}
