"""What all thresholds of an engine are chosen from: the same images, in the same way, for each arithmetic."""

from dataclasses import dataclass, replace

from inspectd.inference.manifest import ArithmeticName, Threshold
from inspectd.learning.threshold import ONE_TRY, Tries, calibrate
from inspectd.learning.tolerance import golden_tolerance, least_margin
from inspectd_tools.deploy.judged import Judged, Product


@dataclass(frozen=True, slots=True)
class Calibration:
    judged: Judged
    """With the scores of fp32."""
    product: Product
    alpha: float
    tries: Tries = ONE_TRY
    remark: str = ""
    """End of the sentence on the method."""
    rejected: float | None = None
    """Share of the good parts that may be rejected, at the cost of the bound; None: any."""

    def threshold(self, judged: Judged, arithmetic: ArithmeticName, remark: str = "") -> Threshold:
        """For the scores that this arithmetic gives the images. With a guard, for network and guard together. Raises EngineError."""
        alone = None if judged.stops is None else replace(judged, stops=None).by_kind(self.product).good
        return calibrate(
            judged.by_kind(self.product),
            judged.images.fingerprint,
            self.alpha,
            self.remark + remark,
            self.tries,
            margin=least_margin(arithmetic),
            good_alone=alone,
            rejected=self.rejected,
        )

    def tolerance(self, judged: Judged, threshold: Threshold, arithmetic: ArithmeticName) -> float:
        """Largest difference allowed for a score of a golden image."""
        return golden_tolerance(judged.by_kind(self.product), threshold.value, arithmetic)
