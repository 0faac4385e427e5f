"""What a backend has compiled for this machine, kept for the next start.

A file contains the SHA-256 of its data, then the data. Its name is the SHA-256 of everything that it was made from, so it is not
found after a change of engine, setting, hardware or library version.
"""

import hashlib
from pathlib import Path

import structlog

from inspectd.files.atomic_write import atomic_write

_MOST = 4
"""The engine in use and the engine before it, each in two precisions."""
_DIGEST_BYTES = 32

log = structlog.get_logger()


def place(folder: Path, kind: str, *made_from: bytes) -> Path:
    """File for what is made from these. `kind` ends the name: each kind is counted by itself."""
    digests = "".join(hashlib.sha256(data).hexdigest() for data in made_from)
    return folder / f"{hashlib.sha256(digests.encode()).hexdigest()}.{kind}"


def find(path: Path) -> bytes | None:
    """The kept data; None if there is none, or if it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, data = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(data).digest() != digest:
        refuse(path, "it is damaged: its SHA-256 differs")
        return None
    return data


def refuse(path: Path, reason: str) -> None:
    """Say that the kept data can't be used."""
    log.warning("the kept network can't be used and is compiled again", file=str(path), reason=reason)


def keep(path: Path, data: bytes) -> None:
    """Keep the data, and delete the oldest of its kind. If the folder can't be written, the next start only takes longer."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as unfinished:
            unfinished.write_bytes(hashlib.sha256(data).digest() + data)
        files = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda file: file.stat().st_mtime_ns)
        for old in files[:-_MOST]:
            old.unlink()
    except OSError as error:
        log.warning("the compiled network can't be kept, so each start compiles it", file=str(path), reason=str(error))
