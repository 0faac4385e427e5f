"""Names that are allowed for a class, a kind of unknown or a folder of photos.

A name is used as a file name, in a CSV cell and on the screen.
"""

from typing import Annotated

from pydantic import AfterValidator

from inspectd.files.text_file import shown

_MAX_CHARACTERS = 100
_MAX_BYTES = 200
"""In UTF-8. File systems allow names of 255 bytes, and the archive puts the part's number before the name."""


def check_class_name(name: str) -> str:
    """`name`, unchanged. Raises ValueError that says which name and what is allowed."""
    wrong = _what_is_wrong(name)
    if wrong:
        raise ValueError(f"the class name {shown(name)} {wrong}")
    return name


ClassName = Annotated[str, AfterValidator(check_class_name)]


def _what_is_wrong(name: str) -> str | None:
    if not name:
        return "is empty; give it at least one character"
    if not name.isprintable():
        return "contains a character that can't be seen; letters, digits, spaces and signs are allowed"
    if "/" in name or "\\" in name:
        return "contains a slash or backslash, which separates folders; use '-' or '_'"
    if name != name.strip():
        return "begins or ends with a space; remove it"
    if name[0] in "=+-@.":
        return f"begins with {name[0]!r}; spreadsheets read such a name as a formula, or file systems hide it; begin with a letter or digit"
    if len(name) > _MAX_CHARACTERS or len(name.encode()) > _MAX_BYTES:
        return f"is too long; up to {_MAX_CHARACTERS} characters and {_MAX_BYTES} bytes are allowed"
    return None
