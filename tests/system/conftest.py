"""One booted container for all tests here, with the project installed in it by `make install`."""

from collections.abc import Iterator

import pytest

from tests.system.container import Container, booted, skip_where_it_cannot_boot
from tests.system.line import Line


@pytest.fixture(scope="session")
def container() -> Iterator[Container]:
    skip_where_it_cannot_boot()
    with booted() as container:
        make(container, "install")
        yield container


@pytest.fixture
def line(container: Container) -> Iterator[Line]:
    """A stopped service with a config, an engine and images of its own."""
    line = Line(container)
    yield line
    print(line.log())  # pytest shows it where the test has failed
    line.remove()


def make(container: Container, target: str) -> str:
    return container.run("make", "-C", "/usr/src/inspectd", target, PIP_NO_INDEX="1", PIP_FIND_LINKS="/srv/wheels")
