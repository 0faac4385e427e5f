"""Without its library, a program names the extra that has it."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

from inspectd_tools import programs
from inspectd_tools.data import prepare

BUILD = ("run", "--name", "a", "--data", "labels.csv", "--out", "engine")


@pytest.mark.parametrize(
    ("program", "library", "arguments"),
    [("train", "torch", ["photos"]), ("build_engine", "torch", BUILD), ("prepare_data", "matplotlib", ["--help"])],
)
def test_a_missing_library_is_explained(program: str, library: str, arguments: Sequence[str]) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; from inspectd_tools.programs import {program}; sys.exit({program}())"
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=100
    )
    name = f"inspectd-{program.replace('_', '-')}"
    assert ended.stderr == (
        f"{name}: needs the extra `train`, because {library} is not installed: pip install 'inspectd[train]'\n"
    )
    assert ended.returncode == 78


@pytest.mark.parametrize("program", ["train", "build_engine", "fit_guard", "evaluate"])
def test_help_does_not_wait_for_torch(program: str) -> None:
    code = (
        f"import sys; sys.modules['torch'] = None; from inspectd_tools.programs import {program}; sys.exit({program}())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False, timeout=100
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "examples:" in ended.stdout


def test_wrong_usage_is_answered_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["inspectd-prepare-data"])
    with pytest.raises(SystemExit, match="2"):
        prepare.main(["photos"])
    said = "inspectd-prepare-data: the following arguments are required: --out; see inspectd-prepare-data --help\n"
    assert capsys.readouterr().err == said


def test_examples_name_the_program_as_it_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/inspectd-prepare-data"])
    assert "  inspectd-prepare-data photos/labels" in prepare.parser().format_help()
    monkeypatch.setattr(sys, "argv", ["tools/prepare_data.py"])
    assert "  python tools/prepare_data.py photos/labels" in prepare.parser().format_help()


def test_a_mistake_of_the_project_is_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError):
        programs._program("no_such_module", "train")()
