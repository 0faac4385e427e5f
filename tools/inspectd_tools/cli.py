"""What the command lines of all tools have in common: the parser, types of arguments, and how a program ends."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from inspectd.errors import InspectdError
from inspectd.terminal import ArgumentParser, print_any_text, print_error

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What `ArgumentParser.add_subparsers` returns."""


def new_parser(description: str | None, epilog: str | None = None) -> argparse.ArgumentParser:
    """A program's parser, which prints both texts as they are written."""
    return ArgumentParser(
        description=description, epilog=_as_started(epilog), formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_verb(
    verbs: Verbs,
    name: str,
    summary: str,
    epilog: str | None = None,
    description: str | None = None,
) -> argparse.ArgumentParser:
    """The parser of one verb. Without a description, its help begins with the summary."""
    return verbs.add_parser(
        name,
        help=summary,
        description=description or summary,
        epilog=_as_started(epilog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _as_started(examples: str | None) -> str | None:
    """The examples with the names of installed programs, unless a script was started."""
    if examples is None or sys.argv[0].endswith(".py"):
        return examples
    return re.sub(r"python tools/(\w+)\.py", lambda found: f"inspectd-{found[1].replace('_', '-')}", examples)


def positive(text: str) -> int:
    """The type of an argument: a whole number, at least 1."""
    return _at_least(1, text)


def not_negative(text: str) -> int:
    """The type of an argument: a whole number, at least 0."""
    return _at_least(0, text)


def names(text: str) -> tuple[str, ...]:
    """The type of an argument: names with commas between them."""
    return tuple(text.split(","))


def share(text: str) -> float:
    """The type of an argument: a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: must be between 0 and 1")
    return value


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """`--device`, for `inspectd_tools.device.resolve`."""
    parser.add_argument(
        "--device",
        type=_device,
        default="auto",
        metavar="auto|cpu|cuda",
        help="where the network computes; cuda:1 is the second GPU; default: auto, a GPU if torch finds one",
    )


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", text):
        raise argparse.ArgumentTypeError(f"{text}: must be auto, cpu, cuda, or the number of a GPU such as cuda:1")
    return text


def renamed(parser: argparse.ArgumentParser, before: str, now: str) -> None:
    """Refuse the option `before` with a message that names `now`; the help does not show it."""

    class Renamed(argparse.Action):
        def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
            parser.error(f"{before}: is now called {now}")

    parser.add_argument(before, action=Renamed, nargs="?", dest=argparse.SUPPRESS, help=argparse.SUPPRESS)


def refuse_used_folder(parser: argparse.ArgumentParser, folder: Path) -> None:
    """End the program with a usage error unless `folder` is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        parser.error(f"{folder}: is not empty; give a new folder, so that nothing is mixed up or lost")


def exit_code(program: str, work: Callable[[], None]) -> int:
    """Do the work of `program` and return its exit code: 0, the code of a project error, or 1 for an error of the disk.

    Errors are printed on the standard error.
    """
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
