"""Where the shipped configs and engines are found."""

import pytest

from inspectd import shipped as module
from inspectd.config import load_config
from inspectd.shipped import shipped


def test_a_checkout_has_them_in_its_root():
    config = load_config(shipped("config/demo.yaml"))
    assert config.engine.resolve() == shipped("engines/filter-label").resolve()
    assert (config.engine / "engine.yaml").is_file()


def test_an_installation_has_them_in_a_package_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_INSTALLED", tmp_path)
    assert shipped("config/demo.yaml") == tmp_path / "config" / "demo.yaml"


@pytest.mark.parametrize("folder", ["config", "tools", "inspectd"])
def test_nothing_public_points_at_the_folders_of_one_workplace(folder):
    files = [path for suffix in ("py", "yaml", "json") for path in shipped(folder).rglob(f"*.{suffix}")]
    assert files
    assert [path for path in files if "shared/" in path.read_text(encoding="utf-8")] == []
