"""What a node of a cluster must have to do runs: this version, and the folder of the results with locks that work.

A node answers with `python -m inspectd_tools.experiments.node FILE SECRET CODE`: exit code 0, or 78 with a sentence.
"""

import fcntl
import hashlib
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import inspectd
import inspectd_tools
from inspectd_tools.cli import new_parser


@dataclass(frozen=True, slots=True)
class Question:
    """The arguments of the program that a node runs to be checked."""

    file: Path
    """A file in the shared folder, locked by the machine that asks."""
    secret: str
    """What is in the file."""
    code: str
    """`code_of_this_version()` of the machine that asks."""

    def command(self, python: str) -> list[str]:
        return [python, "-m", "inspectd_tools.experiments.node", str(self.file), self.secret, self.code]


@contextmanager
def asked(folder: Path) -> Iterator[Question]:
    """What to ask every node, for runs in `folder`."""
    file, secret = folder / f"shared-{secrets.token_hex(8)}", secrets.token_hex(16)
    with file.open("w", encoding="ascii") as locked:
        try:
            fcntl.flock(locked, fcntl.LOCK_EX)
            locked.write(secret)
            locked.flush()
            os.fsync(locked.fileno())
            yield Question(file.resolve(), secret, code_of_this_version())
        finally:
            file.unlink()


def code_of_this_version() -> str:
    """Version of torch, and a hash of all modules of inspectd: a run does the same wherever both are equal."""
    found = hashlib.sha256()
    for package in (inspectd, inspectd_tools):
        root = Path(next(iter(package.__path__)))
        for path in sorted(root.rglob("*.py")):
            found.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return f"{version('torch').partition('+')[0]}-{found.hexdigest()[:16]}"


def trouble(question: Question) -> str:
    """Why this machine can't do the runs; '' if it can."""
    file = question.file
    own = code_of_this_version()
    if own != question.code:
        return f"has another version of inspectd or torch ({own} instead of {question.code}); install the same one"
    try:
        is_same = file.read_text(encoding="ascii") == question.secret
    except OSError:
        is_same = False
    if not is_same:
        return f"does not see the folder {file.parent}; mount it there under the same path"
    try:
        with tempfile.TemporaryFile(dir=file.parent):
            pass
        with file.open("a", encoding="ascii") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return ""  # the lock of the machine that asks is seen here
    except OSError as error:
        return f"can't write or lock files in {file.parent}: {error.strerror}"
    return f"does not see locks of other machines in {file.parent}; mount it with locks (NFS: without nolock)"


def main(arguments: list[str] | None = None) -> int:
    parser = new_parser(__doc__)
    parser.add_argument("file", type=Path, help="file in the shared folder")
    parser.add_argument("secret", help="what is in the file")
    parser.add_argument("code", help="version and hash of the code")
    words = trouble(Question(**vars(parser.parse_args(arguments))))
    print(words)
    return os.EX_CONFIG if words else 0


if __name__ == "__main__":
    sys.exit(main())
