"""The wheel: it has every package and every shipped file, and works in an empty folder without the checkout."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from configparser import ConfigParser
from pathlib import Path

import pytest

from inspectd.shipped import shipped

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
TAG = "9.8.7"
FALLBACK = "0.2.0.dev0"
QUICK = ["pretrained=false", "epochs=1", "batch_size=2", "centroid_size=8", "input.width=64", "input.height=48"]


def setup_cfg() -> ConfigParser:
    parser = ConfigParser()
    parser.read(PROJECT / "setup.cfg")
    return parser


def tracked_files() -> list[str]:
    """Of the working tree, with files that are new and not ignored; relative to the project."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    return [name for name in names.split("\0") if (PROJECT / name).is_file()]


def test_setup_cfg_names_every_package_of_the_tree():
    listed = {name for name in setup_cfg()["options"]["packages"].split() if not name.startswith("inspectd_shipped")}
    folders = {Path(name).parent for name in tracked_files() if name.endswith(".py")}
    roots = (PROJECT / "inspectd", PROJECT / "tools" / "inspectd_tools")
    present = {
        ".".join((PROJECT / folder).relative_to(root.parent).parts)
        for folder in folders
        for root in roots
        if (PROJECT / folder).is_relative_to(root)
    }
    assert listed == present


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Output of a command that must succeed, with nothing in its environment that leads to the checkout."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "INSPECTD", "GIT"))}
    ended = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=100
    )
    assert ended.returncode == 0, f"{command} ended with exit code {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A clone of the working tree with the tag v9.8.7."""
    folder = tmp_path_factory.mktemp("source")
    for name in tracked_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / name, folder / name)
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    run("git", *who, "commit", "--quiet", "--message", "Test the wheel", cwd=folder)
    run("git", "-c", "tag.gpgsign=false", "tag", f"v{TAG}", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(source, tmp_path_factory):
    """A new environment with the wheel in it, built offline: (its folder of programs, its folder of packages).

    The dependencies come from the environment of the tests. A path file names their folder; Python does not read the
    path files in that folder, so an editable install of the checkout is not seen.
    """
    folder = tmp_path_factory.mktemp("environment")
    wheels = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", wheels]
    run(sys.executable, "-m", "pip", *build, source, cwd=wheels)
    (wheel,) = wheels.glob("*.whl")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=folder,
    )
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin", packages


def test_without_a_tag_the_version_is_the_fallback(source, tmp_path):
    shutil.copyfile(source / "pyproject.toml", tmp_path / "pyproject.toml")
    assert run(sys.executable, "-m", "setuptools_scm", cwd=tmp_path) == f"{FALLBACK}\n"
    run("git", "init", "--quiet", cwd=tmp_path)
    assert run(sys.executable, "-m", "setuptools_scm", cwd=tmp_path).startswith(FALLBACK)


def test_the_wheel_is_used_and_not_the_checkout(installed, tmp_path):
    programs, packages = installed
    code = "import inspectd, inspectd_tools; print(inspectd.__file__); print(inspectd_tools.__file__)"
    files = run(programs / "python", "-c", code, cwd=tmp_path).splitlines()
    assert files == [str(packages / name / "__init__.py") for name in ("inspectd", "inspectd_tools")]


def test_the_version_is_that_of_the_tag(installed, tmp_path):
    assert run(installed[0] / "inspectd", "--version", cwd=tmp_path) == f"inspectd {TAG}\n"


def test_every_shipped_file_and_the_type_markers_are_in_the_wheel(installed):
    _, packages = installed
    names = [name for name in tracked_files() if name.startswith(("config/", "engines/"))]
    assert shipped("config").is_dir()
    assert [name for name in names if not (packages / "inspectd_shipped" / name).is_file()] == []
    assert all((packages / name / "py.typed").is_file() for name in ("inspectd", "inspectd_tools"))


def test_every_program_of_the_wheel_starts(installed, tmp_path):
    programs, _ = installed
    names = [line.split("=")[0].strip() for line in setup_cfg()["options.entry_points"]["console_scripts"].split("\n")]
    for name in filter(None, names):
        assert (programs / name).is_file()
    assert json.loads(run(programs / "inspectd", "schema", cwd=tmp_path))["properties"]


@pytest.mark.alone
def test_demo_on_rendered_labels_in_an_empty_folder(installed, tmp_path):
    programs, _ = installed
    run(programs / "inspectd-synthesize", "render", "labels", "--flat", "--count", "6", "--seed", "1", cwd=tmp_path)
    assert "passed" in run(programs / "inspectd", "demo", "labels", cwd=tmp_path)
    assert (tmp_path / "out" / "demo" / "journal.sqlite").is_file()


def test_training_on_two_images_in_an_empty_folder(installed, tmp_path):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed: pip install -e .[train]")
    programs, _ = installed
    run(programs / "inspectd-synthesize", "render", "labels", "--count-per-class", "2", "--seed", "1", cwd=tmp_path)
    assert "--run" in run(programs / "inspectd-train", "--help", cwd=tmp_path)
    settings = [part for setting in QUICK for part in ("--set", setting)]
    run(programs / "inspectd-train", "filter-label", "--data", "labels", "--run", "run", *settings, cwd=tmp_path)
    assert (tmp_path / "run" / "settings.json").is_file()
