"""What the container is made of. It comes from the network, so it is made beside tests that compute, and kept."""

from configparser import ConfigParser

import pytest

from tests.system.container import PROJECT, PYTHON, image, skip_where_it_cannot_boot, wheels

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_image_has_systemd_and_the_python_that_the_wheels_are_for() -> None:
    skip_where_it_cannot_boot()
    root = image()
    assert (root / "usr/bin" / f"python{PYTHON}").is_file()
    assert (root / "usr/lib/systemd/systemd").is_file()


def test_every_library_of_the_service_has_a_wheel() -> None:
    skip_where_it_cannot_boot()
    there = {path.name.split("-")[0].lower().replace("_", "-") for path in wheels().glob("*.whl")}
    setup = ConfigParser()
    setup.read(PROJECT / "setup.cfg")
    needed = {line.split(">=")[0] for line in setup["options"]["install_requires"].split()}
    assert needed <= there
