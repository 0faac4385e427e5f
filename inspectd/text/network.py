"""What runs a reader's network: ONNX Runtime in the calling thread, always in fp32.

The network is so small that handing it to other threads would take longer. OpenVINO has no advantage for crops of many widths.
Other arithmetics move the likelihoods by more than their thresholds allow.
"""

from collections.abc import Callable

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inspectd.inference.onnxruntime import session_options

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(1, 1, 32, w) uint8 crop -> (1, w / 4, symbols) logarithms of probabilities."""


def compiled(network: bytes) -> Run:
    """`network`: ONNX. Raises what the runtime raises."""
    session = onnxruntime.InferenceSession(network, session_options(1), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        log_probs: NDArray[np.float32] = session.run(None, {name: crop})[0]
        return log_probs

    return run
