"""Without its library, a program names the extra that has it."""

import subprocess
import sys

import pytest

from inspectd_tools import programs


@pytest.mark.parametrize(
    ("program", "library"), [("train", "torch"), ("build_engine", "torch"), ("prepare_data", "matplotlib")]
)
def test_a_missing_library_is_explained(program: str, library: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; from inspectd_tools.programs import {program}; sys.exit({program}())"
    ended = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False, timeout=100
    )
    name = f"inspectd-{program.replace('_', '-')}"
    assert ended.stderr == (
        f"{name}: needs the extra `train`, because {library} is not installed: pip install 'inspectd[train]'\n"
    )
    assert ended.returncode == 78


def test_a_mistake_of_the_project_is_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError):
        programs._program("no_such_module", "train")()
