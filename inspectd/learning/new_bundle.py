"""The bundle of a new engine: that of the old one with another head, another threshold, and what it learned."""

import hashlib
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspectd.camera.image_files import read_photo
from inspectd.inference.base import InferenceConfig
from inspectd.inference.bundle import Bundle, load_bundle, write_manifest
from inspectd.inference.engine import Engine, load_engine
from inspectd.inference.manifest import Arithmetic, GoldenImage, GuardModel, Manifest, ModelFile
from inspectd.inference.preprocess import preprocess
from inspectd.inference.sealed import ListedFile
from inspectd.learning.learned import Candidate
from inspectd.learning.network import OpenNetwork, closed, replaced
from inspectd.learning.renewed import in_newest_format, renew_card
from inspectd.learning.rows import FILE


def write_bundle(
    folder: Path, old: Bundle, version: str, candidate: Candidate, provenance: Mapping[str, Any], section: str
) -> Engine:
    """Write the new bundle to the new `folder`, and load it as the line does, with each runtime that it has a file for.

    It computes in fp32 only: the thresholds of other arithmetics would need the photos that chose them. `provenance`: for
    engine.yaml. `section`: of the card. Raises EngineError if a runtime does not give the scores that NumPy computes, OSError.
    """
    network = OpenNetwork(old)
    shutil.copytree(old.folder, folder, ignore=shutil.ignore_patterns("*.sig", "*.tmp"))
    kept, others = _sorted(old.manifest)
    for file in others:
        (folder / file.path).unlink()
    stored = closed(candidate.head)
    files = []
    for file in kept:
        path = folder / file.path
        if path.suffix != ".xml":
            path.write_bytes(replaced(path.read_bytes(), network.stored, stored, file.path))
        files.append(file.model_copy(update={"sha256": _sha256(path)}))
    (folder / FILE).write_bytes(candidate.rows.packed())
    manifest = in_newest_format(old.manifest)
    golden = tuple(_scored(image, folder, network, candidate, manifest) for image in manifest.golden)
    as_onnx = Arithmetic(
        threshold=candidate.threshold,
        golden_scores=tuple(image.scores for image in golden),
        golden_tolerance=candidate.tolerance,
    )
    manifest = manifest.model_copy(
        update={
            "version": version,
            "created": datetime.now(UTC).replace(microsecond=0),
            "threshold": candidate.threshold,
            "files": tuple(files),
            "golden": golden,
            "golden_tolerance": candidate.tolerance,
            "precisions": {"onnxruntime": as_onnx},
            "guard": _with_limits(manifest.guard, candidate),
            "recommended": "fp32",
            "learning": ListedFile(path=FILE, sha256=_sha256(folder / FILE)),
            "training": {**manifest.training, "learned": dict(provenance)},
        }
    )
    write_manifest(folder, manifest)
    renew_card(folder, manifest, [section])
    bundle = load_bundle(folder)
    engines = [
        load_engine(bundle, InferenceConfig(backend=backend, precision="fp32"))
        for backend in dict.fromkeys(file.backend for file in files)
    ]
    return engines[-1]


def _with_limits(guard: GuardModel | None, candidate: Candidate) -> GuardModel | None:
    if guard is None or candidate.beyond is None or candidate.limits == guard.limits:
        return guard
    n, beyond = candidate.beyond.n, candidate.beyond.errors
    return guard.model_copy(update={"limits": candidate.limits, "n_good": n, "rejected_good": beyond, "joint": True})


def _sorted(manifest: Manifest) -> tuple[list[ModelFile], list[ModelFile]]:
    """The files that get the new head, and those that the new bundle does not have."""
    kept = [file for file in manifest.files if file.backend != "tensorrt" and file.precision != "int8"]
    return kept, [file for file in manifest.files if file not in kept]


def _scored(
    image: GoldenImage, folder: Path, network: OpenNetwork, candidate: Candidate, manifest: Manifest
) -> GoldenImage:
    features = network.features(preprocess(read_photo(folder / image.path), manifest.input))
    scores = candidate.head.scores(features[None])[0].tolist()
    return image.model_copy(update={"scores": dict(zip(manifest.classes, scores, strict=True))})


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
