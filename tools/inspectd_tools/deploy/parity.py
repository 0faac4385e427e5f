"""Does each runtime give the same scores as PyTorch?"""

from pathlib import Path

import numpy as np

from inspectd.errors import EngineError
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.networks.exported import ExportedClassifier
from inspectd_tools.networks.predict import predict
from inspectd_tools.networks.runtimes import onnx_network, torch_network

_TOLERANCE = 0.01
_MOST_IMAGES = 200


def check_parity(model: ExportedClassifier, judged: Judged, bundle: Path) -> dict[str, float]:
    """Largest difference of a score to PyTorch, by backend, over at most 200 images.

    `judged`: images with the scores of OpenVINO in fp32. Raises EngineError for a difference above 0.01.
    """
    places = np.linspace(0, len(judged.scores) - 1, min(_MOST_IMAGES, len(judged.scores))).astype(int)
    pixels = judged.images.pixels[places]
    expected = predict(torch_network(model), pixels)
    scores = {
        "openvino": judged.scores[places],
        "onnxruntime": predict(onnx_network(bundle / "model.onnx"), pixels),
    }
    found = {name: float(np.abs(values - expected).max()) for name, values in scores.items()}
    if not all(difference <= _TOLERANCE for difference in found.values()):  # in this form, NaN counts as a difference
        raise EngineError(f"{bundle}: scores differ from PyTorch by more than {_TOLERANCE}: {found}")
    return found
