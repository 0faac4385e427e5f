"""An engine bundle on disk: `engine.yaml`, and files that are what it says they are.

`engine.yaml` ends in a comment line with the SHA-256 of everything above it, so that a damaged threshold is noticed as
surely as damaged weights.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from inspectd.errors import EngineError
from inspectd.inference.manifest import GoldenImage, Manifest, ModelFile

_MANIFEST = "engine.yaml"
_MAX_MANIFEST_BYTES = 1 << 20
_MAX_FILE_BYTES = 1 << 30
_SEAL = re.compile(rb"# sha256: ([0-9a-f]{64})\n\Z")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle. `hash` is the SHA-256 of engine.yaml and, through the hashes in it, names every byte."""

    folder: Path
    manifest: Manifest
    hash: str

    def read(self, file: ModelFile | GoldenImage) -> bytes:
        """The file's bytes, exactly those whose hash was compared. Raises EngineError."""
        data = _read(self.folder, file.path, _MAX_FILE_BYTES)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise EngineError(f"{self.folder / file.path}: is not the file that engine.yaml lists (SHA-256 differs)")
        return data

    def model_file(self, backend: str, suffix: str, precision: str) -> ModelFile:
        """The one file of `backend` ending in `suffix`: quantised for int8, not quantised else. Raises EngineError."""
        files = [
            file
            for file in self.manifest.files
            if file.backend == backend
            and file.path.endswith(suffix)
            and (file.precision == "int8") == (precision == "int8")
        ]
        if len(files) != 1:
            kind = "quantised (int8)" if precision == "int8" else "not quantised"
            listed = ", ".join(f"{file.path} ({file.backend}, {file.precision})" for file in self.manifest.files)
            raise EngineError(
                f"{self.folder / _MANIFEST}: {backend} at {precision} needs one {suffix} file that is {kind}, found {len(files)}; "
                f"the bundle has {listed}"
            )
        return files[0]


def load_bundle(folder: Path) -> Bundle:
    """Read and check a bundle: manifest, seal, and presence, place and SHA-256 of every listed file.

    Raises EngineError naming the file and what is wrong with it.
    """
    path = folder / _MANIFEST
    data = _read(folder, _MANIFEST, _MAX_MANIFEST_BYTES)
    values = _parse(path, data)
    _refuse_newer_format(path, values)
    if seal(data[: _SEAL_BYTES * -1]) != data:
        raise EngineError(
            f"{path}: was changed or damaged (SHA-256 in its last line differs); write it with write_manifest"
        )
    bundle = Bundle(folder, _validate(path, values), hashlib.sha256(data).hexdigest())
    for file in (*bundle.manifest.files, *bundle.manifest.golden):
        bundle.read(file)
    return bundle


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `engine.yaml` with its seal."""
    text = yaml.safe_dump(manifest.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    (folder / _MANIFEST).write_bytes(seal(text.encode()))
