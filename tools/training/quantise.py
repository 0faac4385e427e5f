"""INT8 by post-training quantisation: NNCF on the OpenVINO model, ranges from real images, the head left as it is."""

import logging
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from inspectd.errors import EngineError
from inspectd.inference.openvino import core

MOST_IMAGES = 300


def quantise(xml: Path, pixels: NDArray[np.uint8], folder: Path) -> None:
    """Write `folder`/model.xml and .bin. `pixels` (N, C, H, W): what the network will see; 300 spread over them are used.

    The head keeps its precision: K_c falls with a squared distance in which small directions of the features count as
    much as large ones. Raises EngineError where NNCF is not installed.
    """
    try:
        import nncf
    except ImportError as error:
        raise EngineError("--precision: INT8 needs NNCF; pip install 'inspectd[train]'") from error
    nncf.set_log_level(logging.ERROR)
    places = np.linspace(0, len(pixels) - 1, min(MOST_IMAGES, len(pixels))).astype(int)
    model = core().read_model(xml)
    quantised = nncf.quantize(
        model,
        nncf.Dataset([pixels[place][None] for place in places]),
        subset_size=len(places),
        ignored_scope=nncf.IgnoredScope(names=_head(model), validate=False),
    )
    folder.mkdir()
    openvino.save_model(quantised, folder / "model.xml", compress_to_fp16=True)


def _head(model: openvino.Model) -> list[str]:
    """Names of the last matrix product and all that follows it."""
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
