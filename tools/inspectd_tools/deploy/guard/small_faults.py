"""Try small faults on the engine of a new bundle, and say in its card what it finds."""

from pathlib import Path

from inspectd.inference.engine import Engine
from inspectd_tools.deploy.guard.detection import detection
from inspectd_tools.deploy.guard.fitting import Fitted
from inspectd_tools.deploy.guard.section import section
from inspectd_tools.detectability.report import write_picture


def small_faults(engine: Engine, fitted: Fitted, bundle: Path, seed: int, *, joint: bool) -> str:
    """The section of the card; its picture is written to `bundle`. `engine`: the bundle with its guard. Raises OSError."""
    found = detection(engine, fitted.photos.test, seed)
    if not isinstance(found, str):
        write_picture(found, bundle)
    return section(fitted, found, joint=joint)
