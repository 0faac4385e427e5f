"""All images of a camera must have the size of its first image."""

import structlog

from inspectd.part import Image

log = structlog.get_logger()


class ProvenSize:
    """Checks the size of each image. An image of another size shows another scene and must not be judged."""

    def __init__(self, camera: str, image: Image) -> None:
        """`camera`: name in the log. `image`: the image that the camera was opened with."""
        self._camera = camera
        self._shape = image.shape
        self._has_warned = False

    def fits(self, image: Image) -> bool:
        if image.shape == self._shape:
            return True
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "image has another size than at the start", camera=self._camera, found=image.shape, at_open=self._shape
            )
        return False
