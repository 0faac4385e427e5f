"""What a class, a kind of unknown or a folder of photos may be called: it becomes a file name, a CSV cell and a line on a screen."""

from typing import Annotated

from pydantic import AfterValidator

from inspectd.files.text_file import shown

_MAX_CHARACTERS = 100
_MAX_BYTES = 200
"""In UTF-8: file systems take names of 255, and the archive puts the part's number before it."""


def check_class_name(name: str) -> str:
    """`name` as it is. Raises ValueError that says which name and what is allowed."""
    wrong = _what_is_wrong(name)
    if wrong:
        raise ValueError(f"the class name {shown(name)} {wrong}")
    return name


ClassName = Annotated[str, AfterValidator(check_class_name)]


def _what_is_wrong(name: str) -> str | None:
    if not name:
        return "is empty; give it at least one character"
    if not name.isprintable():
        return "holds a character that can't be seen; letters, digits, blanks and signs are allowed"
    if "/" in name or "\\" in name:
        return "holds a slash or backslash, which separates folders; use '-' or '_'"
    if name != name.strip():
        return "begins or ends with a blank; leave that away"
    if name[0] in "=+-@.":
        return f"begins with {name[0]!r}, which spreadsheets take for a formula or file systems hide; begin with a letter or digit"
    if len(name) > _MAX_CHARACTERS or len(name.encode()) > _MAX_BYTES:
        return f"is too long; up to {_MAX_CHARACTERS} characters and {_MAX_BYTES} bytes are allowed"
    return None
