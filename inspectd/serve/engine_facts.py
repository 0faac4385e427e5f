"""What a page must know about an engine, from its `engine.yaml`. The bundle's files are neither loaded nor checked here."""

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspectd.errors import ConfigError
from inspectd.files.text_file import read_bytes
from inspectd.files.yaml_file import yaml_keys

_MANIFEST = "engine.yaml"


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """One engine bundle."""

    folder: Path
    name: str
    version: str
    hash: str
    """SHA-256 of `engine.yaml`, as in the journal."""
    classes: tuple[str, ...]
    """In the order of the scores."""
    pass_class: str
    threshold: float
    """Of the arithmetic that the line's config asks for. With `precision: auto` that is the recommended one; a line that can't use
    it uses fp32."""
    manifest: dict[str, Any]
    """The whole file."""

    @property
    def faults(self) -> tuple[str, ...]:
        """All classes but the one that passes."""
        return tuple(name for name in self.classes if name != self.pass_class)


def read_engine_facts(folder: Path, inference: Mapping[str, Any]) -> EngineFacts:
    """`inference`: that section of the line's config. Raises ConfigError if `engine.yaml` can't be read or lacks a key."""
    path = Path(os.path.realpath(folder)) / _MANIFEST  # `Path.resolve` fails at a loop of links
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
    backend, precision = (str(inference.get(key, "auto")) for key in ("backend", "precision"))
    return _read(path, status.st_mtime_ns, backend, precision)


@functools.lru_cache(maxsize=16)
def _read(path: Path, _mtime_ns: int, backend: str, precision: str) -> EngineFacts:
    data = read_bytes(path)
    manifest = yaml_keys(path, data, "'name' and 'classes'")
    try:
        _check_rates(manifest["threshold"])
        return EngineFacts(
            folder=path.parent,
            name=str(manifest["name"]),
            version=str(manifest["version"]),
            hash=hashlib.sha256(data).hexdigest(),
            classes=tuple(map(str, manifest["classes"])),
            pass_class=str(manifest["pass_class"]),
            threshold=_threshold(manifest, backend, precision),
            manifest=manifest,
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: is not the description of an engine: {type(error).__name__} {error}") from error


def _check_rates(threshold: dict[str, Any]) -> None:
    """Whether pages can show them as numbers. Raises LookupError, TypeError, ValueError."""
    if threshold.get("alpha") is not None:
        _share(threshold["alpha"]), _share(threshold["confidence"]), int(threshold["n_bad"])
    if threshold.get("false_reject_rate") is not None:
        _share(threshold["false_reject_rate"]), int(threshold["n_good"])


def _share(value: float) -> float:
    """Raises ValueError unless it is in 0..1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{value} is not between 0 and 1")
    return float(value)


def _threshold(manifest: dict[str, Any], backend: str, precision: str) -> float:
    """As the engine chooses it when the line loads it."""
    has = {file["backend"] for file in manifest["files"]}
    if backend == "auto":
        known = [each for each in ("tensorrt", "openvino", "onnxruntime") if each in has]
        backend = known[0]
    if precision == "auto":
        precision = str(manifest.get("recommended", "fp32")) if backend == "openvino" else "fp32"
        if backend == "tensorrt" and any(
            file["backend"] == backend and file["precision"] == "int8" for file in manifest["files"]
        ):
            precision = "int8"
    if backend == "tensorrt":
        arithmetic = "tensorrt-int8" if precision == "int8" else "tensorrt-fp16"
    else:
        arithmetic = "onnxruntime" if backend == "onnxruntime" and precision == "fp32" else precision
    own = manifest.get("precisions", {}).get(arithmetic)
    return _share((own or manifest)["threshold"]["value"])
