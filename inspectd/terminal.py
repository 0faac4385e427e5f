"""Print for people. Names and paths are printed literally: `[v2]` is not a style, and control characters are escaped."""

import argparse
import io
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

T = TypeVar("T")


class _LiteralConsole(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


class ArgumentParser(argparse.ArgumentParser):
    """Answers wrong usage with the error alone, without the usage of all options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable(message)}; see {self.prog} --help\n")


def console(*, stderr: bool = False) -> Console:
    """A console that prints text literally, without markup or emoji. Only a `rich.text.Text` has a style."""
    return _LiteralConsole(markup=False, emoji=False, stderr=stderr)


def folding_table(*headers: str, **options: Any) -> Table:
    """A table that cuts nothing: what is too long for its column goes on in the next line."""
    return Table(*(Column(header, overflow="fold") for header in headers), **options)


def printable(text: str) -> str:
    """`text` with escapes for characters that control a terminal or can't be shown. Line ends stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def text_column(template: str) -> ProgressColumn:
    """A column of a progress bar, such as `{task.description}`, printed literally."""
    return TextColumn(template, markup=False)


def progress_bar(*more: ProgressColumn, transient: bool = False, stderr: bool = False) -> Progress:
    """A progress bar: description, bar, number done and total, time left, and then the columns `more`."""
    columns = (text_column("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), *more)
    return Progress(*columns, console=console(stderr=stderr), transient=transient)


def track(
    items: Iterable[T], description: str, total: float | None = None, *, transient: bool = False, stderr: bool = False
) -> Iterator[T]:
    """The items, with a progress bar."""
    with progress_bar(transient=transient, stderr=stderr) as progress:
        yield from progress.track(items, total, description=printable(description))


def print_error(program: str, error: Exception) -> None:
    """Print the error that ends a command to standard error."""
    print(f"{program}: {printable(str(error))}", file=sys.stderr, flush=True)


def print_any_text() -> None:
    """Let `print` escape what standard output can't encode, such as a file name that is not UTF-8. Otherwise it would fail."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def print_no_more() -> None:
    """Discard all further output, because standard output can't be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_missing_streams() -> None:
    """Open standard input, output and error where they are closed. Otherwise the next file or socket would get their number."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor, inheritable=True)
                os.close(opened)
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", encoding="utf-8"))
