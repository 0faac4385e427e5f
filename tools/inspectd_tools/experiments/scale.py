"""An experiment made smaller: what a scale makes of each number, and where it stops."""

from dataclasses import asdict, dataclass
from typing import Any

from inspectd_tools.settings import TrainingSettings

LEAST_TRAINED = 8
LEAST_JUDGED = 25
LEAST_SHOWN = 2
"""Photos a class below which a scale does not go, nor above what the experiment has."""
LEAST_PX = 32


@dataclass(frozen=True, slots=True)
class Scale:
    """At 1 the experiment is run as its file has it."""

    images: float = 1
    epochs: float = 1
    runs: float = 1
    pixels: float = 1
    """Of width and height each."""

    def trained(self, photos: int) -> int:
        """Photos a class to learn from."""
        return _of(photos, self.images, LEAST_TRAINED)

    def judged(self, photos: int) -> int:
        """Photos a class to validate with, or foreign ones: they cost little, and few make a figure coarse."""
        return _of(photos, self.images, LEAST_JUDGED)

    def shown(self, photos: int) -> int:
        return _of(photos, self.images, LEAST_SHOWN)

    def trained_epochs(self, number: int) -> int:
        """0 stays 0: what is switched off stays so."""
        return _of(number, self.epochs, 1)

    def seeds(self, number: int) -> int:
        """Two, where there were more than one: a single run has no spread."""
        return _of(number, self.runs, 2)

    def changes(self, settings: TrainingSettings) -> dict[str, Any]:
        """Keys of the settings that count epochs, images or pixels, where they change; dots reach into objects."""
        values = {
            key: self.trained_epochs(getattr(settings, key)) for key in ("epochs", "early_limit", "replacement_limit")
        }
        scaled: dict[str, Any] = {key: value for key, value in values.items() if value != getattr(settings, key)}
        milestones = sorted({self.trained_epochs(milestone) for milestone in settings.milestones})
        if milestones != sorted(settings.milestones):
            scaled["milestones"] = milestones
        if settings.epoch_images is not None and self.images != 1:
            scaled["epoch_images"] = _of(settings.epoch_images, self.images, settings.batch_size)
        for side in ("width", "height"):
            length = getattr(settings.input, side)
            if (shorter := _of(length, self.pixels, LEAST_PX)) != length:
                scaled[f"input.{side}"] = shorter
        return scaled

    def __str__(self) -> str:
        if self == Scale(self.images, self.images, self.images):
            return f"{self.images:g}"
        return ", ".join(f"{share:g} of {name}" for name, share in asdict(self).items() if share != 1)


def _of(number: int, share: float, least: int) -> int:
    return max(round(number * share), min(number, least))
