"""A guard beside a network: fitted to good photos, its limits chosen by the calibration set, tested by the test set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inspectd.inference.manifest import GuardScores
from inspectd_tools.deploy.guard.fitting import Fitted, fit_guard, golden_scores
from inspectd_tools.deploy.guard.photos import GoodPhotos
from inspectd_tools.deploy.guard.stopped import Stopped
from inspectd_tools.deploy.judged import Judged, Product


@dataclass(frozen=True, slots=True)
class Beside:
    fitted: Fitted
    golden: tuple[GuardScores, ...]
    calibration: Judged
    """By network and guard."""
    test: Judged
    """By network and guard."""


def fit_beside(
    photos: GoodPhotos,
    calibration: Judged,
    test: Judged,
    product: Product,
    golden: Sequence[Path],
    rejected: float,
    surface: Path | None,
    seed: int = 0,
) -> Beside:
    """`golden`: the golden images of the engine; `rejected`, `surface`: as in `fit_guard`.

    The limits are chosen by good photos alone. So the guard does not depend on the faulty and unknown calibration photos, and
    the bound that they show for network and guard together needs no correction. Raises ConfigError if the photos allow no
    guard.
    """
    fitted = fit_guard(photos, rejected, surface, seed)
    scores = golden_scores(golden, fitted.guard)
    stops = Stopped(fitted)
    calibration, test = replace(calibration, stops=stops), replace(test, stops=stops)
    for judged in (calibration, test):
        judged.certainty(
            product
        )  # now, so that a photo which the guard can't judge is known before anything depends on it
    return Beside(fitted, scores, calibration, test)
