"""A reader's bundle on disk: `reader.yaml`, and the files that it lists with their SHA-256."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from inspectd.camera.image_files import decode_photo
from inspectd.errors import ConfigError, EngineError
from inspectd.inference.sealed import read_listed, read_sealed, real_folder, write_sealed
from inspectd.part import Image
from inspectd.text.crop import HEIGHT, WIDTH_STEP
from inspectd.text.manifest import FORMAT, GoldenLine, ReaderManifest

MANIFEST = "reader.yaml"


@dataclass(frozen=True, slots=True)
class ReaderBundle:
    """A checked bundle."""

    manifest_name: ClassVar = MANIFEST
    folder: Path
    manifest: ReaderManifest
    manifest_bytes: bytes

    @property
    def hash(self) -> str:
        """SHA-256 of `reader.yaml`, which identifies the whole bundle."""
        return hashlib.sha256(self.manifest_bytes).hexdigest()

    @property
    def network(self) -> bytes:
        return read_listed(self.folder, MANIFEST, self.manifest.network)

    def crop(self, golden: GoldenLine) -> Image:
        """The image of a golden line, (32, w) uint8. Raises EngineError."""
        path = self.folder / golden.path
        try:
            crop = decode_photo(read_listed(self.folder, MANIFEST, golden), path)
        except ConfigError as error:
            raise EngineError(str(error)) from error
        if crop.ndim != 2 or crop.shape[0] != HEIGHT or crop.shape[1] % WIDTH_STEP:
            raise EngineError(
                f"{path}: has the shape {crop.shape}; a grey image of {HEIGHT} rows and a multiple of {WIDTH_STEP} columns is expected"
            )
        return crop


def load_reader_bundle(folder: Path) -> ReaderBundle:
    """Read and check a reader's bundle: manifest, seal, and the path and SHA-256 of every listed file.

    Raises EngineError naming the file and what is wrong with it.
    """
    folder = real_folder(folder)
    bundle = ReaderBundle(folder, *read_sealed(folder, MANIFEST, ReaderManifest, FORMAT))
    for file in (bundle.manifest.network, *bundle.manifest.golden):
        read_listed(folder, MANIFEST, file)
    return bundle


def write_reader_manifest(folder: Path, manifest: ReaderManifest) -> None:
    """Write `reader.yaml` with its seal. Write the files that it lists before."""
    write_sealed(folder / MANIFEST, manifest)
