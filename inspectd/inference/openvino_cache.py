"""Networks compiled by OpenVINO for this machine, kept from one start to the next.

A file is the SHA-256 of what follows, then what OpenVINO exported. Its name is the SHA-256 of all it was made of, so a
changed engine, setting, processor or OpenVINO finds none. OpenVINO's own cache would take a flipped byte for weights.
"""

import hashlib
from pathlib import Path
from typing import Any

import openvino
import structlog

from inspectd.files.atomic_write import atomic_write

_KEPT = 4
"""The engine in use, the one before, and one of each in another precision."""
_DIGEST_BYTES = 32

log = structlog.get_logger()


def find(core: openvino.Core, path: Path, settings: dict[str, Any]) -> openvino.CompiledModel | None:
    """None where nothing is kept, or what is there is damaged or can't be used."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, network = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    try:
        if hashlib.sha256(network).digest() != digest:
            raise ValueError("damaged: SHA-256 differs")
        return core.import_model(network, "CPU", settings)
    except Exception as error:  # OpenVINO has exceptions of its own
        log.warning("compiled network can't be used, it is compiled again", file=str(path), reason=str(error))
        return None


def keep(compiled: openvino.CompiledModel, path: Path) -> None:
    """Written whole or not at all; a folder that can't be written costs no more than time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        network = compiled.export_model().getvalue()
        with atomic_write(path) as unfinished:
            unfinished.write_bytes(hashlib.sha256(network).digest() + network)
        files = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda file: file.stat().st_mtime_ns)
        for old in files[:-_KEPT]:
            old.unlink()
    except OSError as error:
        log.warning("compiled network can't be kept, each start compiles it", file=str(path), reason=str(error))


def place(folder: Path, core: openvino.Core, settings: dict[str, Any], *files: bytes) -> Path:
    """Where the network of these model files is kept, compiled with these settings on this machine."""
    machine = (openvino.__version__, core.get_property("CPU", "FULL_DEVICE_NAME"), sorted(settings.items()))
    digests = [hashlib.sha256(data).hexdigest() for data in (repr(machine).encode(), *files)]
    return folder / f"{hashlib.sha256(''.join(digests).encode()).hexdigest()}.openvino"
