"""Text that others chose, such as the name of a class, in Markdown without becoming any."""

import re
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"[!#$&*<>\[\\\]^`{|}~]|(?<![^\W_])_|_(?![^\W_])")
"""What CommonMark, GitHub's tables or its formulas could take for markup; an underscore within a word is none."""


def literal(text: str) -> str:
    """Shown as it stands, on one line, in a sentence or in a cell of a table."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return _MARKUP.sub(r"\\\g<0>", line)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table between empty ones. The cells are Markdown: others' text must have gone through `literal`."""
    marks = ["---"] * len(header)
    return ["", *(f"| {' | '.join(cells)} |" for cells in (header, marks, *rows)), ""]
