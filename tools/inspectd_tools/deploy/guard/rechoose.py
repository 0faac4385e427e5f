"""The thresholds of an engine that gets a guard, chosen anew for network and guard together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inspectd.errors import EngineError
from inspectd.inference.bundle import Bundle
from inspectd.inference.manifest import Manifest, Threshold
from inspectd.learning.rates import CONFIDENCE
from inspectd.learning.threshold import Tries
from inspectd_tools.data.manifest import UNKNOWN
from inspectd_tools.deploy.calibration import Calibration
from inspectd_tools.deploy.card.card import figures
from inspectd_tools.deploy.card.cases import cases
from inspectd_tools.deploy.deciding import SHEET, Deciding, deciding_photos, deciding_section, write_sheet
from inspectd_tools.deploy.guard.beside import Beside
from inspectd_tools.deploy.held_out import Check, check_guarantee
from inspectd_tools.deploy.precision import Candidate, compare
from inspectd_tools.deploy.threshold_curve import write_tradeoff

_REMARK = "; chosen anew with the guard, so it was not checked that these are other photos than those of the training"


@dataclass(frozen=True, slots=True)
class Rechosen:
    beside: Beside
    candidates: Sequence[Candidate]
    """Each arithmetic of the engine, fp32 first."""
    checks: Sequence[Check]

    def keys(self, manifest: Manifest) -> dict[str, object]:
        """What changes in the manifest."""
        fp32, *others = self.candidates
        return {
            "threshold": fp32.threshold,
            "golden_tolerance": fp32.tolerance,
            "precisions": {
                own.precision: manifest.precisions[own.precision].model_copy(
                    update={"threshold": own.threshold, "golden_tolerance": own.tolerance}
                )
                for own in others
                if own.precision != "fp32"  # for the type checker
            },
        }

    def sections(self, manifest: Manifest) -> list[str]:
        """What changes in the card. `manifest`: the new one."""
        test = self.beside.test
        photos = deciding_section(self._deciding(manifest))
        found = figures(manifest, cases(test, manifest), test, self.candidates, self.checks, photos)
        return ["\n".join(lines) for lines in found]

    def write_pictures(self, folder: Path, manifest: Manifest) -> None:
        """Raises OSError."""
        (folder / SHEET).unlink(missing_ok=True)
        write_sheet(folder, self._deciding(manifest))
        write_tradeoff(folder, self.beside.calibration.by_kind(manifest), self.candidates[0].threshold)

    def _deciding(self, manifest: Manifest) -> list[Deciding]:
        return deciding_photos(self.beside.calibration, manifest, self.candidates[0].threshold)


def rechoose(bundle: Bundle, beside: Beside) -> Rechosen:
    """For the bound that the engine has. Raises EngineError if these photos can't show it, or an arithmetic can't run here."""
    manifest = bundle.manifest
    calibration = Calibration(
        beside.calibration, manifest, manifest.threshold.alpha, _tries(manifest.threshold), _REMARK
    )
    kinds = beside.calibration.by_kind(manifest)
    if not kinds.unknown and any(name.startswith(UNKNOWN) for name in manifest.threshold.false_accepts):
        raise EngineError(
            "these calibration photos show no unknown labels, and the bound of the engine is for unknown labels, too"
        )
    candidates = compare(["fp32", *manifest.precisions], bundle.folder, calibration)
    checks = check_guarantee(kinds, beside.test.by_kind(manifest), candidates[0].threshold)
    return Rechosen(beside, candidates, checks)


def _tries(threshold: Threshold) -> Tries:
    """As many as the engine had: its confidence says so."""
    return Tries(1, round((1 - threshold.confidence) / (1 - CONFIDENCE)))
