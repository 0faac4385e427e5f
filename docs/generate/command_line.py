"""Reference of the command line, from the programs' own parsers."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from programs import Program, programs
from prose import code, paragraphs, prose, table

_HEAD = """# Command line

Each program has a name once it is installed, such as `inspectd-train`. In a clone it is also a script, such as
`python tools/train.py`. Both take the same arguments. `--help` prints the same.
"""


def page() -> str:
    return "\n\n".join([_HEAD, *(_program(program) for program in programs())]) + "\n"


def _program(program: Program) -> str:
    parts = [f"## {program.title}"]
    if program.name and program.script:
        parts.append(f"In a clone: `python {program.script}`.")
    return "\n\n".join([*parts, *_parser(program.parser(), program.title, 2)])


def _parser(parser: argparse.ArgumentParser, name: str, level: int) -> Iterator[str]:
    if level > 2:
        yield f"{'#' * level} {name}"
    if parser.description:
        yield paragraphs(parser.description)
    yield f"```text\n{parser.format_usage().strip()}\n```"
    rows = [
        _row(parser, action)
        for action in parser._actions
        if action.help != argparse.SUPPRESS and action.dest != "help" and action.nargs != argparse.PARSER
    ]
    if verbs := [code(verb) for verb, _ in _verbs(parser)]:
        yield f"`VERB` is one of {', '.join(verbs)}."
    if rows:
        yield table(["argument", "meaning", "default"], rows)
    if parser.epilog:
        yield f"```text\n{parser.epilog.strip()}\n```"
    for verb, child in _verbs(parser):
        yield from _parser(child, f"{name} {verb}", min(level + 1, 4))


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> tuple[str, str, str]:
    names = ", ".join(action.option_strings)
    metavar = "" if action.nargs == 0 else parser._get_formatter()._format_args(action, action.dest)
    shown = f"{names} {metavar}".strip() if names else metavar
    help_text = prose(parser._get_formatter()._expand_help(action)) if action.help else ""
    choices = f" One of {', '.join(code(choice) for choice in action.choices)}." if action.choices else ""
    return code(shown.replace("\n", " ")), (help_text + choices).strip(), _default(action)


def _default(action: argparse.Action) -> str:
    if isinstance(action.default, Path) and action.default.is_absolute():
        return "shipped with the program"
    is_needed = action.required if action.option_strings else action.nargs not in ("?", "*")
    if is_needed:
        return "must be given"
    if action.default in (None, False, argparse.SUPPRESS, []) or action.nargs == 0:
        return ""
    return code(action.default)


def _verbs(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()
