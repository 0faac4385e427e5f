"""A toy engine bundle whose verdict follows from the mean grey level of the image, and images to go with it.

The graph is real (uint8 in, normalisation inside, convolution, pooling, DUQ kernels) and tiny, so that whatever loads,
checks or runs engines can be tested on both CPU backends without a trained model.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import openvino
import yaml
import zxingcpp
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inspectd.guard import limits, model
from inspectd.inference.bundle import load_bundle, write_manifest
from inspectd.inference.manifest import GuardModel, Manifest
from inspectd.inference.openvino import core
from inspectd.inference.preprocess import InputSpec, preprocess
from inspectd.inference.sealed import seal
from inspectd.part import Image

GREY_OF_CLASS: Mapping[str, int] = {
    "fail_label_crooked_print": 40,
    "fail_label_half_printed": 80,
    "fail_label_not_fully_printed": 120,
    "no_fail": 200,
}
"""Mean grey level at which the toy engine is certain of a class. 5 levels beside it the certainty is still 0.8."""

UNKNOWN_GREY = 160
"""Between the classes: certainty below 0.05, far under the threshold."""

THRESHOLD = 0.5
LENGTH_SCALE = 0.03
FILES_OF_BACKEND = {
    "onnxruntime": ["model.onnx"],
    "openvino": ["openvino/model.xml", "openvino/model.bin"],
}

MEAN, STD = 0.45, 0.22
CENTROID_SIZE = 4


def toy_image(content: str | int, *, seed: int = 0, width: int = 64, height: int = 48) -> Image:
    """(height, width) uint8 that the toy engine takes for `content`, a class name or a mean grey level.

    Noise from `seed` makes two images of one content differ, as two camera frames do.
    """
    grey = GREY_OF_CLASS[content] if isinstance(content, str) else content
    noise = np.random.default_rng(seed).integers(-3, 4, (height, width))
    return np.clip(grey + noise, 0, 255).astype(np.uint8)


def make_toy_bundle(
    folder: Path,
    *,
    grey_of_class: Mapping[str, int] = GREY_OF_CLASS,
    threshold: float = THRESHOLD,
    channels: int = 1,
    width: int = 32,
    height: int = 24,
    name: str = "toy",
    version: str = "1.0.0",
    backends: Sequence[str] = ("onnxruntime", "openvino"),
) -> Path:
    """Writes a complete bundle into `folder` (model.onnx, openvino/, golden/, engine.yaml) and returns it."""
    (folder / "golden").mkdir(parents=True)
    spec = InputSpec(width=width, height=height, channels=channels, mean=(MEAN,) * channels, std=(STD,) * channels)
    write_model(folder, _graph(list(grey_of_class.values()), spec))
    files = [(path, backend) for backend in backends for path in FILES_OF_BACKEND[backend]]
    goldens = []
    for class_name, grey in grey_of_class.items():
        image = toy_image(grey, seed=grey)
        cv2.imwrite(str(folder / "golden" / f"{class_name}.png"), image)
        goldens.append((f"golden/{class_name}.png", toy_scores(image, spec, list(grey_of_class.values()))))
    manifest = {
        "format": 1,
        "name": name,
        "version": version,
        "created": datetime(2026, 11, 1, tzinfo=UTC).isoformat(),
        "git_commit": "0" * 40,
        "architecture": "toy",
        "classes": list(grey_of_class),
        "pass_class": "no_fail",
        "input": spec.model_dump(mode="json"),
        "head": {"kind": "duq", "length_scale": LENGTH_SCALE, "centroid_size": CENTROID_SIZE},
        "threshold": {
            "value": threshold,
            "method": "set by hand",
            "calibration_fingerprint": "0" * 64,
            "n_good": 0,
            "n_bad": 0,
            "false_accept_bound": 1.0,
            "confidence": 0.95,
            "false_reject_rate": 0.0,
            "alpha": 0.05,
            "false_accepts": {},
            "false_reject_interval": [0.0, 0.1],
        },
        "files": [
            {"path": path, "sha256": sha256_of(folder / path), "backend": backend, "precision": "fp32"}
            for path, backend in files
        ],
        "golden": [
            {"path": path, "sha256": sha256_of(folder / path), "scores": [float(score) for score in scores]}
            for path, scores in goldens
        ],
        "golden_tolerance": 0.02,
        "training": {},
    }
    write_manifest(folder, Manifest.model_validate(manifest))
    return folder


def small_label(*, seed: int = 0, shift_px: int = 0, blot_px: int = 0, beside_px: int = 0) -> Image:
    """(120, 160) uint8 that the toy engine passes: a bright plate with a print, which may be shifted to the right.

    `blot_px`: side of a blot on the print. `beside_px`: side of one on the plate, away from the print.
    """
    rng = np.random.default_rng(seed)
    image = np.full((120, 160), 170, np.float32)
    image[16:104, 16:144] = 240
    for column in range(6):
        left, top = 48 + shift_px + 11 * column, 50 + 2 * (column % 2)
        image[top : top + 20, left : left + 7] = 130
    image[60 : 60 + blot_px, 74 : 74 + blot_px] = 90
    image[84 : 84 + beside_px, 110 : 110 + beside_px] = 90
    image = cv2.GaussianBlur(image, (0, 0), 1) + rng.normal(0, 2, image.shape)
    image += GREY_OF_CLASS["no_fail"] - image.mean() + rng.uniform(-1, 1)
    return np.clip(image, 0, 255).astype(np.uint8)


def coded_label(content: str, *, seed: int = 0, shift_px: int = 0) -> Image:
    """(120, 200) uint8 that the toy engine passes: a plate with a print, in it a Data Matrix with this content of 6 digits.

    The code is 40 px wide. On an unshifted label its top left corner is at 112, 40.
    """
    rng = np.random.default_rng(seed)
    image = np.full((120, 200), 150, np.float32)
    image[8:112, 8:192] = 240
    for column in range(5):
        left, top = 40 + shift_px + 11 * column, 50 + 2 * (column % 2)
        image[top : top + 24, left : left + 7] = 120
    code = zxingcpp.create_barcode(content, zxingcpp.BarcodeFormat.DataMatrix)
    cells = np.array(code.to_image(scale=4, add_quiet_zones=False))
    image[40:80, 112 + shift_px : 152 + shift_px][cells < 128] = 90
    image = cv2.GaussianBlur(image, (0, 0), 0.7) + rng.normal(0, 2, image.shape)
    image += GREY_OF_CLASS["no_fail"] - image.mean() + rng.uniform(-1, 1)
    return np.clip(image, 0, 255).astype(np.uint8)


def any_coded_label(*, seed: int) -> Image:
    rng = np.random.default_rng(seed)
    return coded_label(f"{rng.integers(10**6):06}", seed=seed, shift_px=int(rng.integers(-2, 3)))


def add_guard(
    folder: Path,
    *,
    draw: Callable[..., Image] = small_label,
    fitted_to: int = 12,
    n_good: int = 12,
    slack: float = 1.0,
) -> Path:
    """Adds guard.npz to a toy bundle, and golden images that have the guard's size. Returns the bundle.

    `draw`: a good label from `seed`. `slack`: factor of the limits that follow from good labels.
    """
    manifest = load_bundle(folder).manifest
    goods = [draw(seed=seed) for seed in range(fitted_to + n_good)]
    guard = model.fit(goods[:fitted_to])
    guard.save(folder / "guard.npz")
    judged = [guard.judge(image) for image in goods[fitted_to:]]
    accepted = limits.fit(judged, 0)
    size = {"width": goods[0].shape[1], "height": goods[0].shape[0]}
    images = {
        name: draw(seed=99) if name == manifest.pass_class else toy_image(grey, seed=grey, **size)
        for name, grey in GREY_OF_CLASS.items()
    }
    greys = list(GREY_OF_CLASS.values())
    goldens = []
    for golden in manifest.golden:
        image = images[golden.shows]
        cv2.imwrite(str(folder / golden.path), image)
        scores = tuple(toy_scores(image, manifest.input, greys).tolist())
        goldens.append(golden.model_copy(update={"scores": scores, "sha256": sha256_of(folder / golden.path)}))
    width, height = guard.size
    described = GuardModel(
        path="guard.npz",
        sha256=sha256_of(folder / "guard.npz"),
        width=width,
        height=height,
        kinds=guard.kinds,
        limits=tuple(slack * limit for limit in accepted.largest),
        golden_scores=tuple(guard.judge(images[golden.shows]).scores for golden in goldens),
        fitted_to=fitted_to,
        n_good=n_good,
        rejected_good=0,
    )
    write_manifest(folder, manifest.model_copy(update={"golden": tuple(goldens), "guard": described}))
    return folder


def without_guard(bundle: Path, folder: Path) -> Path:
    """A copy in the new `folder`: the network of a guarded engine alone, whose thresholds a new guard need not change.

    It does not keep the photos that calibrated network and guard together.
    """
    shutil.copytree(bundle, folder, ignore=shutil.ignore_patterns("guard.npz", "learning.npz", "*.sig"))
    path = folder / "engine.yaml"
    manifest = yaml.safe_load(path.read_bytes()) | {"guard": None, "learning": None}
    path.write_bytes(seal(yaml.safe_dump(manifest, sort_keys=False).encode()))
    return folder


def make_coded_bundle(folder: Path) -> Path:
    """A toy bundle whose guard finds the print of `coded_label`."""
    return add_guard(make_toy_bundle(folder), draw=any_coded_label, fitted_to=16, n_good=12, slack=4)


def write_model(folder: Path, model: onnx.ModelProto) -> None:
    """Writes the graph for both CPU backends; a manifest that is there already does not know of it."""
    onnx.save(model, folder / "model.onnx")
    openvino.save_model(
        core().read_model(folder / "model.onnx"), folder / "openvino" / "model.xml", compress_to_fp16=False
    )


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object] = lambda values: None) -> None:
    """Changes the values of `engine.yaml` in place, allowed or not, and makes hashes and seal right again."""
    path = folder / "engine.yaml"
    values = yaml.safe_load(path.read_bytes())
    for file in (*values["files"], *values["golden"], *filter(None, [values.get("guard")])):
        file["sha256"] = sha256_of(folder / file["path"])
    edit(values)
    path.write_bytes(seal(yaml.safe_dump(values, sort_keys=False).encode()))


def toy_scores(image: Image, spec: InputSpec, greys: Sequence[int]) -> NDArray[np.float64]:
    """(K,) what the toy graph answers for `image`, in NumPy alone: K_c = exp(-(grey - grey_c)^2 / (2 sigma^2))."""
    grey = preprocess(image, spec).mean() / 255
    return np.exp(-((grey - np.asarray(greys) / 255) ** 2) / (2 * LENGTH_SCALE**2))


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _graph(greys: Sequence[int], spec: InputSpec) -> onnx.ModelProto:
    """(1, C, H, W) uint8 -> (1, K): normalise, 1x1 convolution to one plane, global average, DUQ kernels.

    Every component of z_c is the normalised mean grey level with one sign or the other, and e_c the class's one.
    """
    channels, classes, m = spec.channels, len(greys), CENTROID_SIZE
    sign = np.resize([1.0, -1.0], m)
    weights = np.tile(sign, classes)[np.newaxis]
    centroids = np.outer((np.asarray(greys) / 255 - MEAN) / STD, sign)
    per_channel = np.ones((1, channels, 1, 1))
    constants = {
        "scale": per_channel / (255 * STD),
        "offset": per_channel * (MEAN / STD),
        "mix": per_channel / channels,
        "weights": weights,
        "centroids": centroids[np.newaxis],
        "minus_half_precision": np.array([-0.5 * (STD / LENGTH_SCALE) ** 2]),
    }
    initializers = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    shapes = {"features_shape": [1, 1], "kernel_shape": [1, classes, m], "last_axis": [2]}
    initializers += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in shapes.items()]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "offset"], ["normalised"]),
        helper.make_node("Conv", ["normalised", "mix"], ["plane"]),
        helper.make_node("GlobalAveragePool", ["plane"], ["mean"]),
        helper.make_node("Reshape", ["mean", "features_shape"], ["features"]),
        helper.make_node("Gemm", ["features", "weights"], ["z_flat"]),
        helper.make_node("Reshape", ["z_flat", "kernel_shape"], ["z"]),
        helper.make_node("Sub", ["z", "centroids"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["squared"]),
        helper.make_node("ReduceMean", ["squared", "last_axis"], ["distance"], keepdims=0),
        helper.make_node("Mul", ["distance", "minus_half_precision"], ["exponent"]),
        helper.make_node("Exp", ["exponent"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, channels, spec.height, spec.width])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, classes])
    graph = helper.make_graph(nodes, "toy", [image], [scores], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
