"""An experiment made smaller: how a scale changes each number, and its lower limits."""

from dataclasses import asdict, dataclass
from typing import Any

from inspectd_tools.settings import TrainingSettings

LEAST_TRAINED = 8
LEAST_JUDGED = 25
LEAST_SHOWN = 2
"""Photos per class: a scale does not go below these numbers, or above the number in the experiment."""
LEAST_PX = 32


@dataclass(frozen=True, slots=True)
class Scale:
    """At 1 the experiment is run as in its file."""

    images: float = 1
    epochs: float = 1
    runs: float = 1
    pixels: float = 1
    """Of width and of height."""

    def trained(self, photos: int) -> int:
        """Training photos per class."""
        return _of(photos, self.images, LEAST_TRAINED)

    def judged(self, photos: int) -> int:
        """Validation photos per class, or unknown photos. They take little time, and with few of them a figure is inaccurate."""
        return _of(photos, self.images, LEAST_JUDGED)

    def shown(self, photos: int) -> int:
        """Photos to draw maps of."""
        return _of(photos, self.images, LEAST_SHOWN)

    def trained_epochs(self, number: int) -> int:
        """0 stays 0: what is switched off stays switched off."""
        return _of(number, self.epochs, 1)

    def seeds(self, number: int) -> int:
        """At least two, if there was more than one: a single run has no standard deviation."""
        return _of(number, self.runs, 2)

    def changes(self, settings: TrainingSettings) -> dict[str, Any]:
        """The settings that count epochs, images or pixels and change; a dot separates object and key."""
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
