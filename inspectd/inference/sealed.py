"""A folder with a sealed manifest: a YAML file that lists the other files with their SHA-256.

The last line of the manifest, the seal, is a comment with the SHA-256 of all lines above it. So a damaged threshold is noticed
like damaged weights.
"""

import hashlib
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field

from inspectd.errors import ConfigError, EngineError
from inspectd.files.text_file import refuse_odd
from inspectd.files.yaml_file import dump_yaml, yaml_keys
from inspectd.section import Section, checked

_MAX_MANIFEST_BYTES = 1 << 20
_MAX_FILE_BYTES = 1 << 30

S = TypeVar("S", bound=Section)


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _inside_the_bundle(name: str) -> str:
    refuse_odd(name)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("must be a relative path inside the bundle")
    return name


BundlePath = Annotated[str, AfterValidator(_inside_the_bundle)]


class ListedFile(Section):
    path: BundlePath
    """Inside the bundle."""
    sha256: Sha256
    """Hash of the file, checked at each load."""


def real_folder(folder: Path) -> Path:
    """The folder itself, where `folder` is a link to it. Raises EngineError."""
    try:
        return folder.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # no rights, a NUL in the name, a loop of links
        raise EngineError(f"{str(folder)!r}: can't be read: {error}") from error


def read_sealed(folder: Path, name: str, model: type[S], newest_format: int) -> tuple[S, bytes]:
    """The manifest `name` of `folder`, and its bytes, after a check of its seal.

    Raises EngineError naming the file and what is wrong with it.
    """
    path = folder / name
    data = _read(folder, name, _MAX_MANIFEST_BYTES)
    values = parse(path, data)
    _refuse_newer_format(path, values, newest_format)
    _check_seal(path, data)
    return checked(model, values, path, EngineError), data


def read_listed(folder: Path, manifest: str, file: ListedFile) -> bytes:
    """The bytes of a file that the manifest of this name lists, after a check of their SHA-256. Raises EngineError."""
    data = _read(folder, file.path, _MAX_FILE_BYTES)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise EngineError(f"{folder / file.path}: is not the file that {manifest} lists: its SHA-256 differs")
    return data


def write_sealed(path: Path, manifest: Section) -> None:
    """Write a manifest with its seal. Write the files that it lists before."""
    path.write_bytes(seal(dump_yaml(manifest.model_dump(mode="json")).encode()))


def seal(lines: bytes) -> bytes:
    """`lines` with the comment that contains their SHA-256."""
    return lines + b"# sha256: %s\n" % hashlib.sha256(lines).hexdigest().encode()


def parse(path: Path, data: bytes) -> dict[str, Any]:
    """The keys of a manifest. Raises EngineError."""
    try:
        return yaml_keys(path, data, "'format' and 'name'")
    except ConfigError as error:
        _check_seal(path, data)  # for a file that was cut short, the seal gives the better message
        raise EngineError(str(error)) from error


def _check_seal(path: Path, data: bytes) -> None:
    lines = data[: data.rstrip(b"\n").rfind(b"\n") + 1]
    if seal(lines) != data:
        raise EngineError(
            f"{path}: is damaged, cut short or changed by hand: its last line is not '# sha256: ' with the SHA-256 of the lines above"
        )


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


def _refuse_newer_format(path: Path, values: dict[str, Any], newest: int) -> None:
    version = values.get("format")
    if isinstance(version, int) and version > newest:
        raise EngineError(
            f"{path}: has format {version}, but this inspectd reads formats up to {newest}: update inspectd"
        )
