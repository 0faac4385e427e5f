"""All images of a camera have the size of the one that it was opened with."""

import structlog

from inspectd.part import Image

log = structlog.get_logger()


class ProvenSize:
    """An image of another size shows another scene, or a part of it, and is not an inspection."""

    def __init__(self, camera: str, image: Image) -> None:
        """`camera` names it in the log; `image` is the one that proved that it delivers."""
        self._camera = camera
        self._shape = image.shape
        self._has_warned = False

    def fits(self, image: Image) -> bool:
        if image.shape == self._shape:
            return True
        if not self._has_warned:
            self._has_warned = True
            log.warning("image of another size", camera=self._camera, found=image.shape, at_open=self._shape)
        return False
