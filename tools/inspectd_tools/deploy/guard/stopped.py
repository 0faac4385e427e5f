"""Which photos of a data set a guard stops."""

import numpy as np
from numpy.typing import NDArray

from inspectd_tools.data.images import Images
from inspectd_tools.deploy.guard.fitting import Fitted
from inspectd_tools.deploy.guard.photos import Good, grey_images


class Stopped:
    """A `Stops` of `inspectd_tools.deploy.judged`. It judges each photo once, however many networks let it pass."""

    def __init__(self, fitted: Fitted) -> None:
        self._fitted = fitted
        self._known = dict(fitted.unseen)

    def __call__(self, images: Images, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Raises ConfigError naming a photo that has another size than the guard."""
        stops: NDArray[np.bool_] = np.logical_or.reduce(
            self.scores(images, places) > np.array(self._fitted.limits.largest), axis=1
        )
        return stops

    def scores(self, images: Images, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """(M, kinds) the guard's scores of each. Raises ConfigError as above."""
        asked = {images.digests[place]: images.files[place] for place in places}
        new = [Good(path, digest) for digest, path in asked.items() if digest not in self._known]
        for photo, image in zip(new, grey_images(new, "guard") if new else (), strict=True):
            self._known[photo.sha256] = self._fitted.scores(image, photo.path)
        kinds = len(self._fitted.limits.largest)
        return np.array([self._known[images.digests[place]] for place in places], np.float64).reshape(-1, kinds)
