"""From an experiment to its runs: variant, seed, number of photos, changed settings. Nothing is run here."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import Field

from inspectd.errors import ConfigError
from inspectd.section import Section
from inspectd_tools.changes import as_changes
from inspectd_tools.experiments.config import (
    DataName,
    Experiment,
    Maps,
    Measure,
    Options,
    Part,
    Share,
    Unknown,
)
from inspectd_tools.experiments.scale import Scale
from inspectd_tools.settings import load_settings


@dataclass(frozen=True, slots=True)
class Start:
    """What the trainings start from."""

    weights: Mapping[str, Path] = field(default_factory=dict)
    """Model -> file of its pretrained weights."""
    from_scratch: bool = False
    """A model without a file starts from random weights, instead of downloading those of torchvision."""
    classes: tuple[str, ...] = ()
    """Classes of the user's photos; empty: the classes of the training settings."""
    pass_class: str | None = None


class Photos(Section):
    """Number of photos per class in one variant."""

    data: DataName
    train: Share
    val: Share

    @property
    def name(self) -> str:
        """Name of the manifest, with the numbers of real + synthetic photos."""
        if self.data == "cifar10":
            return "cifar10"
        return "labels-" + "-".join(
            f"{side}-{s.real}+{s.synthetic}" for side, s in (("train", self.train), ("val", self.val))
        )


class Run(Section):
    """One training with its measures: everything that a process needs, on any machine."""

    part: str
    variant: str
    options: Options
    seed: int = Field(ge=0, lt=2**32)
    base: str
    changes: Options
    photos: Photos
    weights: Path | None
    measures: tuple[Measure, ...]

    @property
    def place(self) -> Path:
        """Its folder, inside the folder of all runs."""
        return Path(
            self.part, "_".join(_plain(value) for value in self.options.values()) or "only", f"seed-{self.seed}"
        )

    @property
    def cost(self) -> float:
        """Images seen in training, to estimate the remaining time."""
        epochs = load_settings(self.base, as_changes(self.changes)).epochs
        return float(max(1, epochs) * self.photos.train.photos)


class Work(Section):
    """A run, and where its photos are."""

    run: Run
    manifest: Path
    data_sets: dict[DataName, Path]
    """Data set -> its manifest, for measures on the photos of another data set."""
    device: str = "auto"
    """Where the network is trained and measured, as `--device`. A run that began on one device may go on on another."""


class Changed(Section):
    """One number of the experiment that the scale or an option has changed."""

    where: str
    what: str
    experiment: Any
    here: Any


def plan(experiment: Experiment, scale: Scale, n_runs: int | None, start: Start) -> list[Run]:
    """All runs, seed by seed, so that an interrupted experiment has results for every variant. Raises ConfigError."""
    runs = []
    for part_name, part in experiment.parts.items():
        for options in part.options():
            changes = _changes(part, options, scale, start)
            settings = load_settings(part.base, as_changes(changes))
            for number in range(n_runs or scale.seeds(part.runs or experiment.runs)):
                runs.append(
                    Run(
                        part=part_name,
                        variant=variant_name(experiment, part_name, options),
                        options=options,
                        seed=settings.seed + number,
                        base=part.base,
                        changes=changes | {"seed": settings.seed + number},
                        photos=_photos(part, options, scale),
                        weights=start.weights.get(settings.model) if settings.pretrained else None,
                        measures=tuple(_scaled(measure, scale) for measure in part.measures),
                    )
                )
    return sorted(runs, key=lambda run: run.seed)


def variant_name(experiment: Experiment, part: str, options: Options) -> str:
    """Such as `a: model ResNet18, synthetic_share 0.5`; with the part if there are several."""
    varied = [f"{key} {_text(value)}" for key, value in options.items() if len(experiment.parts[part].vary[key]) > 1]
    names = [part] if len(experiment.parts) > 1 else []
    return ": ".join([*names, *([", ".join(varied)] if varied else [])]) or part


def real_photos(experiment: Experiment, scale: Scale, runs: list[Run]) -> tuple[int, int]:
    """Real labels per class for train and for val: as scaled, but at least as many as every variant needs."""
    wanted = [run.photos for run in runs if run.photos.data == "labels"]
    train = max([scale.trained(experiment.real.train), *(photos.train.real for photos in wanted)])
    return train, max([scale.judged(experiment.real.val), *(photos.val.real for photos in wanted)])


def changes(experiment: Experiment, scale: Scale, n_runs: int | None) -> Iterator[Changed]:
    """Everything that differs from the file of the experiment."""
    whole = Scale()
    for name, part in experiment.parts.items():
        where, before = name if len(experiment.parts) > 1 else "", part.runs or experiment.runs
        yield from _differ(where, "runs of each variant", before, n_runs or scale.seeds(before))
        seen = set()
        for options in part.options():
            pairs: list[tuple[str, Any, Any]] = []
            full, here = _photos(part, options, whole), _photos(part, options, scale)
            for side in ("train", "val"):
                for kind in ("real", "synthetic"):
                    as_asked, as_scaled = (getattr(getattr(photos, side), kind) for photos in (full, here))
                    pairs.append((f"{kind} photos per class, {side}", as_asked, as_scaled))
            settings = load_settings(part.base, as_changes(part.changes(options)))
            pairs += [(key, attrgetter(key)(settings), value) for key, value in scale.changes(settings).items()]
            for measure in part.measures:
                after = _scaled(measure, scale)
                shown = getattr(measure, "photos", None), getattr(after, "photos", None)
                pairs.append((f"photos for {measure.kind}", *shown))
            for pair in pairs:
                if (key := json.dumps(pair, default=list)) not in seen:
                    seen.add(key)
                    yield from _differ(where, *pair)
    if any(part.data == "labels" for part in experiment.parts.values()):
        yield from _differ(
            "", "real labels per class for training", experiment.real.train, scale.trained(experiment.real.train)
        )


def _differ(where: str, what: str, experiment: Any, here: Any) -> Iterator[Changed]:
    experiment, here = (list(value) if isinstance(value, tuple) else value for value in (experiment, here))
    if experiment != here:
        yield Changed(where=where, what=what, experiment=experiment, here=here)


def _changes(part: Part, options: Options, scale: Scale, start: Start) -> Options:
    changes = part.changes(options)
    if start.classes and part.data == "labels":
        changes["classes"] = list(start.classes)
    if start.pass_class is not None and part.data == "labels":
        changes["pass_class"] = start.pass_class
    settings = load_settings(part.base, as_changes(changes))
    changes |= scale.changes(settings)
    if settings.pretrained and start.from_scratch and settings.model not in start.weights:
        if settings.epochs == 0:
            raise ConfigError(
                f"--from-scratch: {settings.model} is not trained (epochs: 0) and needs pretrained weights"
            )
        changes["pretrained"] = False
    return changes


def _photos(part: Part, options: Options, scale: Scale) -> Photos:
    share = part.share(options)
    train = share.model_copy(update={"photos": scale.trained(share.photos)})
    val = part.val or Share(photos=max(1, share.photos // 4))
    val = val.model_copy(update={"photos": scale.judged(val.photos) if part.val else max(1, train.photos // 4)})
    return Photos(data=part.data, train=train, val=val)


def _scaled(measure: Measure, scale: Scale) -> Measure:
    if isinstance(measure, Maps):
        return measure.model_copy(update={"photos": scale.shown(measure.photos)})
    if isinstance(measure, Unknown):
        return measure.model_copy(update={"photos": scale.judged(measure.photos)})
    return measure


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)


def _plain(value: Any) -> str:
    """The value as part of a folder name."""
    return "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in _text(value)) or "-"
