"""An engine bundle on disk: `engine.yaml`, and the files that it lists with their SHA-256.

The last line of `engine.yaml`, the seal, is a comment with the SHA-256 of all lines above it. So a damaged threshold is
noticed like damaged weights.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspectd.errors import ConfigError, EngineError
from inspectd.files.yaml_file import dump_yaml, yaml_keys
from inspectd.inference.manifest import FORMAT, GoldenImage, GuardModel, Manifest, ModelFile
from inspectd.section import checked

_MANIFEST = "engine.yaml"
_MAX_MANIFEST_BYTES = 1 << 20
_MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle."""

    folder: Path
    """The real folder: switching a link to it changes nothing here."""
    manifest: Manifest
    manifest_bytes: bytes
    """`engine.yaml` as it was read; it lists the SHA-256 of every other file."""

    @property
    def hash(self) -> str:
        """SHA-256 of `engine.yaml`, which identifies the whole bundle."""
        return hashlib.sha256(self.manifest_bytes).hexdigest()

    def read(self, file: ModelFile | GoldenImage | GuardModel) -> bytes:
        """The bytes of a file, after a check of their SHA-256. Raises EngineError."""
        data = _read(self.folder, file.path, _MAX_FILE_BYTES)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise EngineError(f"{self.folder / file.path}: is not the file that engine.yaml lists: its SHA-256 differs")
        return data

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
    folder = _real(folder)
    path = folder / _MANIFEST
    data = _read(folder, _MANIFEST, _MAX_MANIFEST_BYTES)
    values = _parse(path, data)
    _refuse_newer_format(path, values)
    _check_seal(path, data)
    bundle = Bundle(folder, checked(Manifest, values, path, EngineError), data)
    for model_file in bundle.manifest.files:
        bundle.read(model_file)
    for golden in bundle.manifest.golden:
        bundle.read(golden)
    if bundle.manifest.guard is not None:
        bundle.read(bundle.manifest.guard)
    return bundle


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `engine.yaml` with its seal. Write the files that it lists before."""
    text = dump_yaml(manifest.model_dump(mode="json"))
    (folder / _MANIFEST).write_bytes(seal(text.encode()))


def seal(lines: bytes) -> bytes:
    """`lines` with the comment that contains their SHA-256."""
    return lines + b"# sha256: %s\n" % hashlib.sha256(lines).hexdigest().encode()


def _check_seal(path: Path, data: bytes) -> None:
    lines = data[: data.rstrip(b"\n").rfind(b"\n") + 1]
    if seal(lines) != data:
        raise EngineError(
            f"{path}: is damaged, cut short or changed by hand: its last line is not '# sha256: ' with the SHA-256 of the lines above"
        )


def _real(folder: Path) -> Path:
    try:
        return folder.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # no rights, a NUL in the name, a loop of links
        raise EngineError(f"{str(folder)!r}: can't be read: {error}") from error


def _read(folder: Path, name: str, max_bytes: int) -> bytes:
    path = folder / name
    try:
        root, real = folder.resolve(strict=True), path.resolve(strict=True)
        if not real.is_relative_to(root):
            raise EngineError(f"{path}: points outside the bundle, to {real}")
        if not real.is_file():
            raise EngineError(f"{path}: is not a regular file")
        with real.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise EngineError(f"{path}: can't be read: {error.strerror}") from error
    except (ValueError, RuntimeError) as error:  # a NUL in the name, a loop of links
        raise EngineError(f"{str(path)!r}: can't be read: {error}") from error
    if len(data) > max_bytes:
        raise EngineError(f"{path}: is larger than the {max_bytes} bytes allowed")
    return data


def _parse(path: Path, data: bytes) -> dict[str, Any]:
    try:
        return yaml_keys(path, data, "'format' and 'name'")
    except ConfigError as error:
        _check_seal(path, data)  # for a file that was cut short, the seal gives the better message
        raise EngineError(str(error)) from error


def _refuse_newer_format(path: Path, values: dict[str, Any]) -> None:
    version = values.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise EngineError(
            f"{path}: has format {version}, but this inspectd reads formats up to {FORMAT}: update inspectd"
        )
