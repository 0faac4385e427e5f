"""What the command lines of the tools share: numbers they take, folders they refuse, how they end."""

import argparse
from collections.abc import Callable
from pathlib import Path

from inspectd.errors import InspectdError
from inspectd.terminal import print_any_text, print_error


def positive(text: str) -> int:
    """An argument's type: a whole number, at least 1."""
    return _at_least(1, text)


def not_negative(text: str) -> int:
    """An argument's type: a whole number, at least 0."""
    return _at_least(0, text)


def refuse_used_folder(parser: argparse.ArgumentParser, folder: Path) -> None:
    """Ends the program with wrong usage unless `folder` is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        parser.error(f"{folder}: is not empty; give a new folder, so that nothing is mixed up or lost")


def exit_code(program: str, work: Callable[[], None]) -> int:
    """Of `work`: 0, what an error of our own says, or 1 where the disk refused; said on stderr in the name of `program`."""
    print_any_text()
    try:
        work()
    except InspectdError as error:
        print_error(program, error)
        return error.exit_code
    except OSError as error:
        print_error(program, error)
        return 1
    return 0


def _at_least(least: int, text: str) -> int:
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"{text}: must be at least {least}")
    return value
