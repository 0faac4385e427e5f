"""The project's programs and their argument parsers."""

import argparse
import configparser
import contextlib
import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import inspectd_tools.programs

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Program:
    """`name`: as an installed command; None where it is only a script. `script`: as in a clone; None for `inspectd`."""

    module: str
    name: str | None
    script: str | None

    @property
    def title(self) -> str:
        return self.name or f"python {self.script}"

    def parser(self) -> argparse.ArgumentParser:
        module = importlib.import_module(self.module)
        with _argv0(self.title):
            parser: argparse.ArgumentParser = module.parser()
        return parser


def programs() -> list[Program]:
    """`inspectd` first, then the others by name."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    installed = dict(
        line.split(" = ") for line in setup["options.entry_points"]["console_scripts"].strip().splitlines()
    )
    names = {_module(*start.split(":")): name for name, start in installed.items()}
    scripts = {}
    for path in sorted((ROOT / "tools").glob("*.py")):
        found = re.search(r"^from (\S+) import (\w+)", path.read_text(), re.MULTILINE)
        if found:
            scripts[_module(*found.groups())] = f"tools/{path.name}"
    found_programs = [
        Program(module, names.get(module), scripts.get(module)) for module in dict.fromkeys([*names, *scripts])
    ]
    return sorted(found_programs, key=lambda program: (program.name != "inspectd", program.title))


def _module(module: str, function: str) -> str:
    """The module with the `main` and the parser of a program."""
    if module != inspectd_tools.programs.__name__:
        return module
    started: str = getattr(inspectd_tools.programs, function).args[0]
    return started


@contextlib.contextmanager
def _argv0(name: str) -> Iterator[None]:
    """argparse takes the name of a program, and of its verbs, from here."""
    before, sys.argv[0] = sys.argv[0], name
    try:
        yield
    finally:
        sys.argv[0] = before
