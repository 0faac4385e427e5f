from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.centre import Centre, Line, WebServer, serving


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Centre:
    """Not to be changed: `centre` is a copy of it."""
    centre = Centre(tmp_path_factory.mktemp("filled"))
    centre.fill()
    centre.assign(0)
    return centre


@pytest.fixture
def centre(filled: Centre, tmp_path: Path) -> Centre:
    """toy-1.0.0 is assigned to all lines, and toy-1.1.0 is published."""
    return filled.copy(tmp_path / "centre")


@pytest.fixture
def server(centre: Centre) -> Iterator[WebServer]:
    with serving(centre.repository) as server:
        yield server


@pytest.fixture
def line(centre: Centre, server: WebServer, tmp_path: Path) -> Line:
    return Line(tmp_path / "line", centre, server.url)
