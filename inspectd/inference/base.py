"""The engine contract: a loaded model that turns one preprocessed image into one kernel value per class."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Backend(Protocol):
    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(1, C, H, W) uint8 -> (1, K) float32 scores. Raises InferenceError. Used from one thread."""
