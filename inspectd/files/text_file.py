"""Read a file that a person wrote, or say in a sentence why it can't be read. It never waits, and never fills the memory."""

import codecs
import os
import re
import reprlib
import stat
import unicodedata
from pathlib import Path

from inspectd.errors import ConfigError
from inspectd.redaction import redacted

MAX_BYTES = 1 << 20
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_MAX_SHOWN = 500
_CONTROLS = re.compile("[^\t\n\r -~\x85\xa0-\U0010ffff]")


class _Repr(reprlib.Repr):
    def repr_str(self, x: str, level: int) -> str:
        return super().repr_str(redacted(x), level)  # before it is cut: half a URL would not be recognised


_shown = _Repr()
_shown.maxstring = _shown.maxother = _shown.maxlong = 80
_shown.maxlevel = 2


def shown(value: object) -> str:
    """`value` as an error message shows it: one short line of printable characters."""
    return one_line(_shown.repr(value))


def one_line(text: str) -> str:
    """`text` on one line, shortened, with control characters escaped."""
    if not text.isprintable():
        text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 100]} ... {text[-95:]}"


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a file. Raises ConfigError: missing, not allowed, not a regular file, or larger than `max_bytes`."""
    try:
        # opening a named pipe without a writer would wait for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"{path}: can't be read: it is not a regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(max_bytes + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise ConfigError(f"{shown(str(path))}: can't be read: {error}") from error
    if len(data) > max_bytes:
        raise ConfigError(f"{path}: is larger than the {max_bytes} bytes allowed")
    return data


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark, as spreadsheets save it. Raises ConfigError."""
    return decoded(path, read_bytes(path, max_bytes))


def decoded(path: Path, data: bytes) -> str:
    """As `read_text`, for `data` that was read from the file at `path`. Raises ConfigError."""
    encoding = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}: line {line} is not UTF-8 text; save the file as UTF-8") from error
    if control := _CONTROLS.search(text):
        line = text.count("\n", 0, control.start()) + 1
        raise ConfigError(f"{path}: line {line} contains the control character {control[0]!a}; only text is allowed")
    return text


def refuse_odd(text: str) -> None:
    """Raises ValueError if a name, path or sentence contains a control character, a line end or half of a surrogate pair."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise ValueError(
                f"{shown(text)} can't be read: it contains the character {character!a}; only text is allowed"
            )
