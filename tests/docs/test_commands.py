"""Every command on the pages is one that its program takes, and those that can run do run."""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, Block, blocks

sys.path.append(str(DOCS / "generate"))
from programs import Program, programs  # type: ignore[import-not-found]

_SHELL = blocks("bash")
_RUNNING = [list(page) for _, page in groupby((block for block in _SHELL if block.runs), key=lambda block: block.page)]
_BEFORE_THE_PROGRAM = re.compile(r"^(sudo( -u \w+)? )?(torchrun [^/]*?(-- )?(?=tools/))?(~?[\w./]*/bin/)?")
_OTHERS = (
    "pip",
    "cp",
    "install",
    "chgrp",
    "chmod",
    "find",
    "sudoedit",
    "systemctl",
    "journalctl",
    "python -m",
    "pytest",
    "rsync",
    "setpriv",
    "grep",
    ". .venv/bin/activate",
)
_WEIGHTS = ROOT.parent / "shared" / "weights" / "mobilenet_v2-imagenet-features.safetensors"


def _programs() -> dict[str, Program]:
    known = {}
    for program in programs():
        known |= {name: program for name in (program.name, program.script, f"python {program.script}") if name}
    return known


_PROGRAMS = _programs()


def _program(command: str) -> tuple[Program, list[str]] | None:
    words = shlex.split(command)
    for length in (2, 1):
        if program := _PROGRAMS.get(" ".join(words[:length])):
            arguments = words[length:]
            return program, arguments[: arguments.index(">")] if ">" in arguments else arguments
    return None


@pytest.mark.parametrize("block", _SHELL, ids=lambda block: f"{block.page}:{block.line}")
def test_commands_are_accepted(block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mobilenet_v2-imagenet-features.safetensors").touch()  # one program looks whether it is there
    monkeypatch.setattr(argparse.ArgumentParser, "error", _refuse)
    for command in block.commands():
        command = _BEFORE_THE_PROGRAM.sub("", command)
        if (found := _program(command)) is not None:
            program, arguments = found
            if "--version" not in arguments:
                _parser(program).parse_args(arguments)
        elif command.startswith("make "):
            assert re.search(rf"^{command.split()[1]}:", _makefiles(), re.MULTILINE), command
        else:
            assert command.startswith(_OTHERS), f"{command}: not a program of the project"


@cache
def _parser(program: Program) -> argparse.ArgumentParser:
    try:
        return program.parser()
    except ModuleNotFoundError as error:
        pytest.skip(f"{program.title} needs {error.name}: pip install -e '.[train]'")


def _refuse(parser: argparse.ArgumentParser, message: str) -> None:
    raise AssertionError(f"{parser.prog}: {message}")


def _makefiles() -> str:
    return (ROOT / "Makefile").read_text() + (ROOT / "systemd" / "install.mk").read_text()


def _starts_a_line(page: list[Block]) -> bool:
    """One that has to keep up with its camera, so it must have the machine for itself."""
    return any("inspectd demo" in block.text for block in page)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page[0].page, marks=[pytest.mark.alone] if _starts_a_line(page) else [])
        for page in _RUNNING
    ],
)
def test_blocks_that_can_run_do(page: list[Block], tmp_path: Path) -> None:
    if any(block.is_slow for block in page) and find_spec("torch") is None:
        pytest.skip("needs torch: pip install -e '.[train]'")
    script = "\n".join(block.small for block in page)
    if "weights.safetensors" in script and not _WEIGHTS.exists():
        pytest.skip(f"needs ImageNet weights of MobileNetV2 in {_WEIGHTS}")
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    (tmp_path / "config").mkdir()
    for path in (ROOT / "config").glob("*.yaml"):  # relative paths in them start at their folder
        (tmp_path / "config" / path.name).write_text(path.read_text())
    shutil.copytree(ROOT / "engines", tmp_path / "engines")
    (tmp_path / "weights.safetensors").symlink_to(_WEIGHTS)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{page[0].page}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
