"""An engine bundle on disk: `engine.yaml`, and the files that it lists with their SHA-256."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from inspectd.errors import EngineError
from inspectd.inference.manifest import FORMAT, Manifest, ModelFile
from inspectd.inference.sealed import ListedFile, read_listed, read_sealed, real_folder, write_sealed

_MANIFEST = "engine.yaml"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle."""

    manifest_name: ClassVar = _MANIFEST
    folder: Path
    """The real folder: switching a link to it changes nothing here."""
    manifest: Manifest
    manifest_bytes: bytes
    """`engine.yaml` as it was read; it lists the SHA-256 of every other file."""

    @property
    def hash(self) -> str:
        """SHA-256 of `engine.yaml`, which identifies the whole bundle."""
        return hashlib.sha256(self.manifest_bytes).hexdigest()

    def read(self, file: ListedFile) -> bytes:
        """The bytes of a file, after a check of their SHA-256. Raises EngineError."""
        return read_listed(self.folder, _MANIFEST, file)

    def model_file(self, backend: str, suffix: str, precision: str) -> ModelFile:
        """The only file of `backend` with this suffix. Quantised files are used for int8 only. Raises EngineError."""
        wanted = [
            file
            for file in self.manifest.files
            if file.backend == backend
            and file.path.endswith(suffix)
            and (file.precision == "int8") == (precision == "int8")
        ]
        if len(wanted) != 1:
            listed = ", ".join(f"{file.path} ({file.precision})" for file in self.manifest.files)
            raise EngineError(
                f"{self.folder / _MANIFEST}: {backend} at {precision} needs exactly one {suffix} file, "
                f"but {len(wanted)} of the listed files fit: {listed}"
            )
        return wanted[0]


def load_bundle(folder: Path) -> Bundle:
    """Read and check a bundle: manifest, seal, and the path and SHA-256 of every listed file.

    Raises EngineError naming the file and what is wrong with it.
    """
    folder = real_folder(folder)
    bundle = Bundle(folder, *read_sealed(folder, _MANIFEST, Manifest, FORMAT))
    for file in bundle.manifest.listed:
        bundle.read(file)
    return bundle


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `engine.yaml` with its seal. Write the files that it lists before."""
    write_sealed(folder / _MANIFEST, manifest)
