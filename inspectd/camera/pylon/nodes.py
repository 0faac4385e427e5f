"""GenICam nodes of a Basler camera. One name per setting for all camera families; each value is read back."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from inspectd.errors import CameraError

_NAMES = {
    "exposure_us": ("ExposureTimeAbs", "ExposureTime"),
    "longest_exposure_us": ("AutoExposureTimeAbsUpperLimit", "AutoExposureTimeUpperLimit"),
    "gain_db": ("Gain", "GainAbs"),
    "gain_raw": ("GainRaw",),
    "rate_hz": ("AcquisitionFrameRateAbs", "AcquisitionFrameRate"),
    "resulting_rate_hz": ("ResultingFrameRateAbs", "ResultingFrameRate", "BslResultingAcquisitionFrameRate"),
    "delay_us": ("TriggerDelayAbs", "TriggerDelay"),
    "debounce_us": ("LineDebouncerTimeAbs", "LineDebouncerTime", "BslInputFilterTime"),
    "packet_size_bytes": ("GevSCPSPacketSize",),
    "inter_packet_delay_ticks": ("GevSCPD",),
}
"""Node names of each setting. Names before SFNC 2.0 (ace GigE) come first, because the camera emulator has both and obeys
those. A setting that is not listed has the name of its node."""


class Nodes:
    """Looks nodes up at each use, because no node may exist longer than its device."""

    def __init__(self, camera: Any) -> None:
        """`camera`: an open pylon InstantCamera."""
        self._camera = camera

    def get(self, setting: str) -> Any:
        """Value of a setting; None if this camera does not have it."""
        _, node = self._find(setting)
        return None if node is None else node.GetValue()

    def set(self, setting: str, wanted: float | str) -> None:
        """Set and read back.

        Raises CameraError if the camera does not have the setting, rejects the value, or reports a value that differs by more
        than the increment of the node (1 % if it has none). The error names node, both values and what is allowed.
        """
        from pypylon import genicam

        name, node = self._find(setting)
        if node is None:
            raise CameraError(f"{setting}: this camera has no {' or '.join(_names(setting))}")
        title = name if setting == name else f"{setting} ({name})"
        try:
            node.SetValue(wanted)
            node.GetNode().InvalidateNode()
            got = node.GetValue()
        except genicam.GenericException as error:
            raise CameraError(f"{title}: {wanted} was rejected; {_allowed(node)} ({brief(error)})") from error
        if not _agrees(wanted, got, _increment(node)):
            raise CameraError(f"{title}: {wanted} was set, but the camera reports {got}; {_allowed(node)}")

    def offer(self, setting: str, wanted: float | str) -> None:
        """Set a setting if this camera has it and it can be written now."""
        _, node = self._find(setting)
        if node is not None and node.IsWritable():
            self.set(setting, wanted)

    def demand(self, setting: str, wanted: float | str, otherwise: str) -> None:
        """Set a setting if this camera has it. `otherwise`: what the camera would do with another value.

        Raises CameraError if the camera keeps another value.
        """
        from pypylon import genicam

        _, node = self._find(setting)
        if node is None:
            return
        if node.IsWritable():
            with suppress(genicam.GenericException):
                node.SetValue(wanted)
                node.GetNode().InvalidateNode()
        got = node.GetValue()
        if got != wanted:
            raise CameraError(f"{setting} is {got} and must be {wanted}; otherwise {otherwise}; {_allowed(node)}")

    def each(self, selector: str) -> Iterator[None]:
        """Select each value of a selector in turn, and restore it at the end. Without the selector: one turn."""
        node = self._find(selector)[1] if selector else None
        if node is None:
            yield
            return
        before = node.GetValue()
        for name in node.GetSettableValues():
            node.SetValue(name)
            yield
        node.SetValue(before)

    def raise_to_maximum(self, setting: str) -> None:
        """Set a setting to its largest value, if this camera has it and it can be written now."""
        _, node = self._find(setting)
        if node is not None and node.IsWritable():
            node.SetValue(node.GetMax())

    def load(self, feature_file: Path) -> None:
        """Set all nodes of a .pfs file. Raises CameraError: the file does not exist, or the camera rejects a node."""
        from pypylon import genicam, pylon

        try:
            pylon.FeaturePersistence.Load(str(feature_file), self._camera.GetNodeMap(), True)
        except genicam.GenericException as error:
            raise CameraError(f"feature_file: {feature_file}: {brief(error)}") from error

    def _find(self, setting: str) -> tuple[str, Any]:
        nodes = self._camera.GetNodeMap()
        for name in _names(setting):
            node = nodes.GetNode(name)
            if node.IsReadable() or node.IsWritable():
                return name, node
        return setting, None


def brief(error: Exception) -> str:
    """The message of an SDK error, without the place in the SDK's source."""
    return re.split(r"\s*: \w+ thrown", str(error))[0].rstrip(".")


def _names(setting: str) -> tuple[str, ...]:
    return _NAMES.get(setting, (setting,))


def _agrees(wanted: float | str, got: float | str, increment: float | None) -> bool:
    if not isinstance(wanted, float) or isinstance(got, str):
        return wanted == got
    return abs(got - wanted) <= (abs(wanted) / 100 if increment is None else increment)


def _increment(node: Any) -> float | None:
    if not hasattr(node, "GetInc") or (hasattr(node, "HasInc") and not node.HasInc()):
        return None
    return float(node.GetInc())


def _allowed(node: Any) -> str:
    if not node.IsWritable():
        return "it can't be written now"
    if hasattr(node, "GetSymbolics"):
        return f"allowed: {', '.join(node.GetSymbolics())}"
    if not hasattr(node, "GetMin"):
        return "no range is known"
    increment = _increment(node)
    steps = "" if increment is None else f" in steps of {increment:.10g}"
    return f"allowed: {node.GetMin():.10g} to {node.GetMax():.10g}{steps}"
