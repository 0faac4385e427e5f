"""INT8 by post-training quantisation: NNCF on the OpenVINO model, with ranges from real images; the head keeps its precision.

The layers that change most go back to floating point, until the results are close enough to those of fp32.
"""

import logging
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from inspectd.errors import EngineError
from inspectd.inference.openvino import core

MOST_IMAGES = 300
_NEAR = 0.05
_MOST_ASTRAY = 0.01
_LONGEST_S = 15 * 60.0
"""NNCF ranks all layers again when a layer that went back did not help. On EfficientNetB1 this did not end within half an hour."""


def quantise(xml: Path, pixels: NDArray[np.uint8], scores: NDArray[np.float32] | None, folder: Path) -> None:
    """Write `folder`/model.xml and .bin. At most 1 % of the images may change their class, or their certainty by more than 0.05.

    `pixels` (N, C, H, W): images like those of the line, of which 300 are used; `scores` (N, K): those of fp32. Without scores all
    layers become INT8; that is for a network that was never trained.

    The head keeps its precision: K_c depends on a squared distance, in which small directions of the features count as much as
    large ones. Raises EngineError if NNCF is not installed, no layer can be INT8, or it takes too long.
    """
    places = spread(len(pixels))
    answers = None if scores is None else scores[places]
    # NNCF creates and drops its own OpenVINO cores, and a process that goes on after that crashes (see inspectd.inference.openvino.core)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _end_in_time, (_LONGEST_S,)) as apart:
        try:
            apart.submit(_quantise, xml, pixels[places], answers, folder).result()
        except BrokenProcessPool as error:
            raise EngineError(
                f"--precision: INT8 was not close enough to fp32 after {_LONGEST_S / 60:.0f} minutes, or ran out of memory; "
                "take fp32 or bf16, or fewer calibration images"
            ) from error


def spread(count: int) -> NDArray[np.intp]:
    """Indices of at most 300 of `count` images, evenly spread, which give the ranges."""
    return np.linspace(0, count - 1, min(MOST_IMAGES, count)).astype(np.intp)


def _end_in_time(longest_s: float) -> None:
    """End this process when the one that waits for it ends, or after so many seconds."""
    parent = multiprocessing.parent_process()
    waited_for = [] if parent is None else [parent.sentinel]

    def watch() -> None:
        multiprocessing.connection.wait(waited_for, longest_s)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _quantise(xml: Path, pixels: NDArray[np.uint8], scores: NDArray[np.float32] | None, folder: Path) -> None:
    try:
        import nncf
    except ImportError as error:
        raise EngineError("--precision: INT8 needs NNCF; pip install 'inspectd[train]'") from error
    nncf.set_log_level(logging.ERROR)
    model = core().read_model(xml)
    head = nncf.IgnoredScope(names=_head(model), validate=False)
    if scores is None:
        images = nncf.Dataset([image[None] for image in pixels])
        quantised = nncf.quantize(model, images, subset_size=len(pixels), ignored_scope=head)
    else:
        pairs = [(image[None], answer) for image, answer in zip(pixels, scores, strict=True)]
        answered = nncf.Dataset(pairs, lambda pair: pair[0])
        quantised = nncf.quantize_with_accuracy_control(
            model,
            answered,
            answered,
            _near_share,
            max_drop=_MOST_ASTRAY,
            subset_size=len(pixels),
            ignored_scope=head,
        )
    if all(node.get_type_name() != "FakeQuantize" for node in quantised.get_ops()):
        raise EngineError("--precision: INT8 changes the scores of this network too much; no layer could use it")
    folder.mkdir()
    openvino.save_model(quantised, folder / "model.xml", compress_to_fp16=True)


def _near_share(
    network: openvino.CompiledModel, pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.float32]]]
) -> tuple[float, list[float]]:
    """The share of images whose results are close to those of fp32, and 1 or 0 for each image."""
    near = []
    for image, wanted in pairs:
        found = network(image)[0][0]
        near.append(float(found.argmax() == wanted.argmax() and abs(found.max() - wanted.max()) <= _NEAR))
    return float(np.mean(near)), near


def _head(model: openvino.Model) -> list[str]:
    """Names of the last matrix product and of all nodes after it."""
    names = []
    node = model.get_results()[0].input_value(0).get_node()
    while node.get_type_name() != "MatMul":
        names.append(node.get_friendly_name())
        node = next(
            source.get_node() for source in node.input_values() if source.get_node().get_type_name() not in _CONSTANTS
        )
    return [*names, node.get_friendly_name()]


_CONSTANTS = {"Constant", "Convert"}
"""A stored weight, and its conversion from half precision."""
