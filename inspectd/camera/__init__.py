"""Cameras. To add a kind, write one module with a `Section` that has `kind` and `create()`, and add it to the union here."""

from typing import Annotated

from pydantic import Field

from inspectd.camera.base import Camera
from inspectd.camera.opencv import OpencvConfig
from inspectd.camera.pylon.camera import PylonConfig
from inspectd.camera.replay import ReplayConfig

CameraConfig = Annotated[PylonConfig | ReplayConfig | OpencvConfig, Field(discriminator="kind")]

__all__ = ["Camera", "CameraConfig"]
