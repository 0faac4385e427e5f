"""A small product and its engine, to learn with: photos of 6x8 cells, whose brightness the network takes as its features.

The head is fitted and the network exported as the tools do it, so that whatever learns finds what it finds in a real bundle. A
new lot is lighter on one side. The engine has not seen it, so it rejects its good labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import onnx
import openvino
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inspectd.inference.bundle import write_manifest
from inspectd.inference.manifest import GoldenImage, Manifest, ModelFile
from inspectd.inference.openvino import core
from inspectd.inference.preprocess import InputSpec
from inspectd.inference.sealed import ListedFile
from inspectd.learning import fitting
from inspectd.learning.head import Head, fit_covariance
from inspectd.learning.network import Stored, closed, opened
from inspectd.learning.rows import FILE, Rows
from inspectd.learning.threshold import calibrate, usual_alpha
from inspectd.part import Image
from tests.factories import sha256_of

GOOD = "good"
CLASSES = (GOOD, "hole", "scratch")
UNKNOWN = "unknown_spill"
CELLS = (6, 8)
CELL_PX = 8
ROWS, LENGTH_SCALE = 24, 0.3
_SCALE = 1 / 64


@dataclass(frozen=True, slots=True)
class Product:
    """`fault`: by how many grey levels a fault darkens its cells. `lot`: how much lighter a new lot is on one side."""

    fault: float = 60
    lot: float = 25

    def cells(self, name: str, rng: np.random.Generator, *, new_lot: bool) -> NDArray[np.float64]:
        rows, columns = np.mgrid[: CELLS[0], : CELLS[1]]
        grey = 150 + 6 * rng.normal() + 3 * rng.normal() * (rows - 2.5) + rng.normal(0, 4, CELLS)
        if name == "hole":
            grey[2:4, 3:5] -= self.fault * rng.uniform(0.7, 1.3)
        if name == "scratch":
            grey[4] -= self.fault * 0.5 * rng.uniform(0.7, 1.3)
        if name.startswith("unknown"):
            grey += self.fault * 0.5 * np.where((rows + columns) % 2, 1, -1) * rng.uniform(0.7, 1.3)
        if new_lot:
            grey += self.lot * (columns - 3.5) / 3.5
        return grey

    def photo(self, name: str, rng: np.random.Generator, *, new_lot: bool = False) -> Image:
        """(48, 64) uint8"""
        cells = np.clip(self.cells(name, rng, new_lot=new_lot), 0, 255).astype(np.uint8)
        photo: Image = cells.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)
        return photo


def features_of(photo: Image) -> NDArray[np.float32]:
    """What the network computes."""
    return (photo[::CELL_PX, ::CELL_PX].astype(np.float32).ravel() - 128) * np.float32(_SCALE)


def make_engine(folder: Path, product: Product = Product(), *, per_class: int = 60, seed: int = 0) -> Path:
    """A bundle that keeps what it was fitted to and calibrated with: `per_class` photos of each class, twice, and of an unknown."""
    rng = np.random.default_rng(seed)
    names = (*CLASSES, UNKNOWN)
    fits = _rows(product, names, CLASSES, per_class, rng, fits=True)
    kept = fits.joined(_rows(product, names, names, per_class, rng, fits=False))
    head = fit_covariance(fits.features, fits.labels, len(CLASSES), ROWS, LENGTH_SCALE)
    stored = closed(head)
    head = opened(stored, len(CLASSES), LENGTH_SCALE)
    (folder / "golden").mkdir(parents=True)
    spec = InputSpec(width=CELLS[1] * CELL_PX, height=CELLS[0] * CELL_PX, channels=1, mean=(0.5,), std=(0.25,))
    _write_network(folder, stored, spec)
    (folder / FILE).write_bytes(kept.packed())
    manifest = _manifest(folder, product, kept, head, spec, rng)
    write_manifest(folder, manifest)
    return folder


def _rows(
    product: Product, names: Sequence[str], which: Sequence[str], count: int, rng: np.random.Generator, *, fits: bool
) -> Rows:
    labels = np.repeat([names.index(name) for name in which], count)
    features = np.array([features_of(product.photo(names[label], rng)) for label in labels])
    fit = np.full(len(labels), fits)
    digests = tuple(f"{number:064x}" for number in rng.integers(1 << 60, size=len(labels)).tolist())
    return Rows(tuple(names), features, labels, np.arange(len(labels)), fit, ~fit, no_guard(len(labels)), digests)


def no_guard(count: int) -> NDArray[np.float32]:
    return np.empty((count, 0), np.float32)


def _manifest(
    folder: Path, product: Product, kept: Rows, head: Head, spec: InputSpec, rng: np.random.Generator
) -> Manifest:
    golden = []
    for name in (*CLASSES, UNKNOWN):
        photo = product.photo(name, rng)
        path = f"golden/{name}.png"
        cv2.imwrite(str(folder / path), photo)
        scores = dict(zip(CLASSES, head.scores(features_of(photo)[None])[0].tolist(), strict=True))
        golden.append(GoldenImage(path=path, sha256=sha256_of(folder / path), scores=scores))
    files = {"model.onnx": "onnxruntime", "openvino/model.xml": "openvino", "openvino/model.bin": "openvino"}
    calibration = kept.take(kept.calibrates)
    values = {
        "name": "tiny",
        "version": "1.0.0",
        "created": datetime(2026, 11, 1, tzinfo=UTC),
        "git_commit": "0" * 40,
        "architecture": "cells, DUQ head fitted to class covariances",
        "classes": CLASSES,
        "pass_class": GOOD,
        "input": spec,
        "head": {"kind": "duq", "length_scale": LENGTH_SCALE, "centroid_size": ROWS},
        "files": [
            ModelFile(path=path, sha256=sha256_of(folder / path), backend=backend, precision="fp32")
            for path, backend in files.items()
        ],
        "golden": golden,
        "golden_tolerance": 0.002,
        "learning": ListedFile(path=FILE, sha256=sha256_of(folder / FILE)),
        "training": {},
    }
    certainty = head.scores(calibration.features)
    alone = Manifest.model_construct(classes=CLASSES, pass_class=GOOD, guard=None)
    certainties = fitting.certainties(calibration, certainty, alone, ())
    kinds = fitting.kinds_of(calibration, certainties, calibration.calibrates, alone)
    return Manifest(threshold=calibrate(kinds, "0" * 64, usual_alpha(kinds)), **values)


def _write_network(folder: Path, stored: Stored, spec: InputSpec) -> None:
    """With the names that the export gives, and the weights in fp32 in ONNX and in fp16 for OpenVINO."""
    weight, offset = (array.astype(np.float32) for array in stored)
    size = CELLS[0] * CELLS[1]
    constants = {
        "head.linear.weight": weight,
        "head.linear.bias": offset,
        "scale": np.array([_SCALE], np.float32),
        "middle": np.array([128], np.float32),
        "factor": np.array([-0.5 / LENGTH_SCALE**2], np.float32),
        "features_shape": np.array([1, size]),
        "kernel_shape": np.array([1, len(CLASSES), ROWS]),
        "last_axis": np.array([2]),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["pixels"], ["cells"], kernel_shape=[CELL_PX] * 2, strides=[CELL_PX] * 2),
        helper.make_node("Sub", ["cells", "middle"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "features_shape"], ["features"]),
        helper.make_node("Gemm", ["features", "head.linear.weight", "head.linear.bias"], ["linear"], transB=1),
        helper.make_node("Reshape", ["linear", "kernel_shape"], ["offset"]),
        helper.make_node("Mul", ["offset", "offset"], ["squared"]),
        helper.make_node("ReduceMean", ["squared", "last_axis"], ["distance"], keepdims=0),
        helper.make_node("Mul", ["distance", "factor"], ["exponent"]),
        helper.make_node("Exp", ["exponent"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 1, spec.height, spec.width])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, len(CLASSES)])
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [image], [scores], initializers)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "model.onnx"
    )
    (folder / "openvino").mkdir()
    openvino.save_model(
        core().read_model(folder / "model.onnx"), folder / "openvino" / "model.xml", compress_to_fp16=True
    )
