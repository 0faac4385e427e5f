"""The cable of an emulated Basler camera: pulled, the SDK loses the device and finds no other until it is back."""

import os

from inspectd.camera.pylon.camera import PylonCamera
from inspectd.camera.pylon.emulator import ENABLED_BY


class Cable:
    """One a process, as the emulator is. Plug it in again at the end of the test: `with Cable(camera) as cable`."""

    def __init__(self, camera: PylonCamera) -> None:
        self._camera = camera

    def pull(self) -> None:
        """From any thread, while the camera grabs or not."""
        os.environ[ENABLED_BY] = "0"
        device = self._camera.instant_camera
        if device is not None:
            device.DestroyDevice()

    def plug_in(self) -> None:
        os.environ[ENABLED_BY] = "1"

    def __enter__(self) -> "Cable":
        return self

    def __exit__(self, *_: object) -> None:
        self.plug_in()
