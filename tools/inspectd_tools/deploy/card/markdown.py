"""Text of others, such as the name of a class, inside Markdown: it is shown, never taken for markup."""

import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"[!#$&*<>\[\\\]^`{|}~]|(?<![^\W_])_|_(?![^\W_])")
"""What CommonMark, or tables and formulas of GitHub, could take for markup. An underscore inside a word is not markup."""


def literal(text: str) -> str:
    """Markdown that shows `text` as it is, on one line, in a sentence or in a cell of a table."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return _MARKUP.sub(r"\\\g<0>", line)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table, with an empty line before and after it. Cells are Markdown: pass text of others through `literal` first."""
    marks = ["---"] * len(header)
    return ["", *(f"| {' | '.join(cells)} |" for cells in (header, marks, *rows)), ""]
