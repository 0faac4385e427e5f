"""What is printed for people. Names and paths come out as they are: `[v2]` is not a style, and no control character gets through."""

import io
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

T = TypeVar("T")


class _LiteralConsole(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


def console(*, stderr: bool = False) -> Console:
    """Takes no text for markup or emoji. A `rich.text.Text` is styled, everything else is literal."""
    return _LiteralConsole(markup=False, emoji=False, stderr=stderr)


def folding_table(*headers: str, **options: Any) -> Table:
    """A table that cuts nothing: what is too long for its column goes on in the next line."""
    return Table(*(Column(header, overflow="fold") for header in headers), **options)


def printable(text: str) -> str:
    """`text` with escapes for what a terminal would obey or can't show; line ends stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def text_column(template: str) -> ProgressColumn:
    """Of a progress bar, such as `{task.description}`, literally."""
    return TextColumn(template, markup=False)


def progress_bar(*more: ProgressColumn, transient: bool = False, stderr: bool = False) -> Progress:
    """Description, bar, how many of how many, time left, and then `more`."""
    columns = (text_column("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), *more)
    return Progress(*columns, console=console(stderr=stderr), transient=transient)


def track(
    items: Iterable[T], description: str, total: float | None = None, *, transient: bool = False, stderr: bool = False
) -> Iterator[T]:
    """The items, with a bar of how far they are."""
    with progress_bar(transient=transient, stderr=stderr) as progress:
        yield from progress.track(items, total, description=printable(description))


def print_error(program: str, error: Exception) -> None:
    """The last words of a command, on standard error."""
    print(f"{program}: {printable(str(error))}", file=sys.stderr, flush=True)


def print_any_text() -> None:
    """Let `print` escape what standard output can't encode, such as a file name that is not UTF-8, rather than fail."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def print_no_more() -> None:
    """What is still to be printed goes nowhere: standard output can't be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_missing_streams() -> None:
    """Whoever started us may have closed standard input, output or error: the next file or socket would take its place."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor, inheritable=True)
                os.close(opened)
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", encoding="utf-8"))
