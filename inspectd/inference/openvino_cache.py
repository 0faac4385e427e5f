"""Networks as compiled by OpenVINO for this machine, kept for the next start.

A file contains the SHA-256 of its data, then the data that OpenVINO exported. Its name is the SHA-256 of everything that it
was made from, so it is not found after a change of engine, setting, processor or OpenVINO version. OpenVINO's own cache
does not notice damaged files.
"""

import hashlib
from pathlib import Path
from typing import Any

import openvino
import structlog

from inspectd.files.atomic_write import atomic_write

_KEPT = 4
"""The engine in use and the engine before it, each in two precisions."""
_DIGEST_BYTES = 32

log = structlog.get_logger()


def find(core: openvino.Core, path: Path, settings: dict[str, Any]) -> openvino.CompiledModel | None:
    """The kept network; None if there is none, or if it is damaged or can't be used."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, network = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    try:
        if hashlib.sha256(network).digest() != digest:
            raise ValueError("it is damaged: its SHA-256 differs")
        return core.import_model(network, "CPU", settings)
    except Exception as error:  # OpenVINO raises its own kinds of exceptions
        log.warning("the kept network can't be used and is compiled again", file=str(path), reason=str(error))
        return None


def keep(compiled: openvino.CompiledModel, path: Path) -> None:
    """Keep a compiled network. If the folder can't be written, the next start only takes longer."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        network = compiled.export_model().getvalue()
        with atomic_write(path) as unfinished:
            unfinished.write_bytes(hashlib.sha256(network).digest() + network)
        files = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda file: file.stat().st_mtime_ns)
        for old in files[:-_KEPT]:
            old.unlink()
    except OSError as error:
        log.warning("the compiled network can't be kept, so each start compiles it", file=str(path), reason=str(error))


def place(folder: Path, core: openvino.Core, settings: dict[str, Any], *files: bytes) -> Path:
    """File for the network of these model files, compiled with these settings on this machine."""
    machine = (openvino.__version__, core.get_property("CPU", "FULL_DEVICE_NAME"), sorted(settings.items()))
    digests = [hashlib.sha256(data).hexdigest() for data in (repr(machine).encode(), *files)]
    return folder / f"{hashlib.sha256(''.join(digests).encode()).hexdigest()}.openvino"
