"""GenICam nodes of a Basler camera: set by one name, whatever the camera family calls them, and read back."""

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
"""Names before SFNC 2.0 (ace GigE) first: the camera emulator has both and obeys those. A setting that is not
listed goes by the node's own name."""


class Nodes:
    """Nodes are looked up at each use: none may outlive the device."""

    def __init__(self, camera: Any) -> None:
        """`camera`: an open pylon InstantCamera."""
        self._camera = camera

    def get(self, setting: str) -> Any:
        """Its value, or None if this camera has no such setting."""
        _, node = self._find(setting)
        return None if node is None else node.GetValue()

    def set(self, setting: str, wanted: float | str) -> None:
        """Set and read back.

        Raises CameraError naming node, wanted and found value and what is allowed: if the camera lacks the setting,
        refuses the value, or takes another one that differs by more than the node's increment (1 % where it has none).
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
            raise CameraError(f"{title}: {wanted} refused; {_allowed(node)} ({brief(error)})") from error
        if not _agrees(wanted, got, _increment(node)):
            raise CameraError(f"{title}: {wanted} was set, the camera says {got}; {_allowed(node)}")

    def offer(self, setting: str, wanted: float | str) -> None:
        """Set it if this camera has the setting and lets it be written now."""
        _, node = self._find(setting)
        if node is not None and node.IsWritable():
            self.set(setting, wanted)

    def demand(self, setting: str, wanted: float | str, otherwise: str) -> None:
        """Set it if this camera has the setting. `otherwise` says what the camera does with another value.

        Raises CameraError: the camera keeps another value.
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
            raise CameraError(f"{setting} is {got} and must be {wanted}, or {otherwise}; {_allowed(node)}")

    def each(self, selector: str) -> Iterator[None]:
        """Select each value in turn, and the first selection again at the end. Without such a selector: one turn."""
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
        """The same, with the largest value allowed."""
        _, node = self._find(setting)
        if node is not None and node.IsWritable():
            node.SetValue(node.GetMax())

    def load(self, feature_file: Path) -> None:
        """Set all nodes as a .pfs file has them. Raises CameraError: no such file, or a node it names is refused."""
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
    """What the SDK says, without where in its source it says so."""
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
