"""Experiment files: `config/experiments/<name>.yaml`. They define the question, what varies and what is measured.

No experiment needs its own code.
"""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, JsonValue, ValidationError, model_validator

from inspectd.config_errors import did_you_mean, sentences
from inspectd.errors import ConfigError
from inspectd.files.text_file import shown
from inspectd.files.yaml_file import read_yaml
from inspectd.section import Section, checked
from inspectd.shipped import shipped
from inspectd_tools.changes import as_changes
from inspectd_tools.settings import TrainingSettings, load_settings

FOLDER = shipped("config/experiments")
DATA_KEYS = ("photos", "synthetic_share")
"""Keys of `train` that may vary like the keys of training settings."""

_MAX_VARIANTS = 10_000
Options = dict[str, JsonValue]
"""Key -> value, for everything that varies."""
DataName = Literal["labels", "cifar10"]
DATA_NAMES: tuple[DataName, ...] = get_args(DataName)
_RENAMED = {"foreign": "unknown", "closeness": "similarity"}
"""Kinds of measures: name in earlier versions -> name now."""


def _refuse_old_name(kind: str) -> str:
    if kind in _RENAMED:
        raise ValueError(f"is now called {_RENAMED[kind]!r}")
    return kind


def _refuse_old_metric(metric: str) -> str:
    kind, _, rest = metric.partition(" ")
    if kind in _RENAMED:
        raise ValueError(f"is now called '{_RENAMED[kind]} {rest}'")
    return metric


class Share(Section):
    """Photos per class, and the share of them that is synthetic."""

    photos: int = Field(ge=1, le=1_000_000)
    """Photos per class."""
    synthetic_share: float = Field(default=0.0, ge=0, le=1)
    """Share of these photos that is synthetic."""

    @property
    def synthetic(self) -> int:
        return round(self.photos * self.synthetic_share)

    @property
    def real(self) -> int:
        return self.photos - self.synthetic


class Real(Section):
    """Real labels per class for training and for validation; all others are test photos."""

    train: int = Field(default=56, ge=1, le=1_000_000)
    """Labels per class for training."""
    val: int = Field(default=7, ge=1, le=1_000_000)
    """Labels per class for validation."""


class Similarity(Section):
    """KID, FID, precision and recall of the synthetic photos compared with the real ones, once per experiment."""

    kind: Annotated[Literal["similarity", "closeness"], AfterValidator(_refuse_old_name)]


class Cost(Section):
    """Multiply-adds, parameters and activation memory."""

    kind: Literal["cost"]


class Speed(Section):
    """Inference time, one photo at a time, on every available runtime."""

    kind: Literal["speed"]
    runs: int = Field(default=100, ge=10, le=100_000)
    """Timed inferences of each runtime."""


class Maps(Section):
    """Attribution maps of test photos."""

    kind: Literal["maps"]
    method: Literal["integrated_gradients", "saliency_map", "deeplift", "guided_backpropagation", "grad_cam"]
    """Method of the maps, as `tools/explain.py --method` takes it."""
    photos: int = Field(default=8, ge=1, le=1_000_000)
    """Number of test photos."""


class Noise(Section):
    """Certainty of the test photos under gaussian noise."""

    kind: Literal["noise"]
    sigmas: Annotated[tuple[Annotated[float, Field(ge=0, le=1000)], ...], Field(min_length=1)]
    """Standard deviations, in grey values of 0..255."""


class Unknown(Section):
    """Certainty of photos from another data set."""

    kind: Annotated[Literal["unknown", "foreign"], AfterValidator(_refuse_old_name)]
    data: DataName
    """The other data set."""
    photos: int = Field(default=500, ge=1, le=1_000_000)
    """Number of its photos."""


Measure = Annotated[Similarity | Cost | Speed | Maps | Noise | Unknown, Field(discriminator="kind")]


class Adjustment(Section):
    """If the varied keys have the values of `where`, the keys of `set` change too."""

    where: Options
    """Keys of `vary`, each with one of its values."""
    set: Options
    """Keys of the training settings, as in the part's `set`."""


class Part(Section):
    """A set of trainings: every combination of the values in `vary`."""

    title: str
    """What the part does, for the report."""
    base: str
    """A file of config/training."""
    data: DataName = "labels"
    """What the networks learn."""
    runs: int | None = Field(default=None, ge=1, le=1000)
    """Instead of the `runs` of the experiment."""
    train: Share
    val: Share | None = None
    """For labels only; CIFAR10 takes a quarter of `train`."""
    set: Options = Field(default={})
    """Keys of the training settings, as `tools/train.py --set` takes them."""
    vary: dict[str, Annotated[list[JsonValue], Field(min_length=1)]]
    """Keys of the training settings, or `photos` and `synthetic_share` of `train`."""
    adjust: tuple[Adjustment, ...] = ()
    measures: tuple[Measure, ...] = ()
    """What is measured after each training, besides validation and test."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if math.prod(len(values) for values in self.vary.values()) > _MAX_VARIANTS:
            raise ValueError(f"vary: makes more than {_MAX_VARIANTS} combinations")
        for key in (*self.set, *self.vary, *(key for adjustment in self.adjust for key in adjustment.set)):
            if key.split(".")[0] not in (*TrainingSettings.model_fields, *DATA_KEYS) or (
                key in self.set and key in DATA_KEYS
            ):
                hint = did_you_mean(key, (*TrainingSettings.model_fields, *DATA_KEYS))
                raise ValueError(f"{key!r} is not a key of the training settings{hint}")
        for adjustment in self.adjust:
            for key, value in adjustment.where.items():
                if value not in self.vary.get(key, []):
                    raise ValueError(
                        f"adjust.where: {key}: {value!r} is not one of the values in vary: {self.vary.get(key)}"
                    )
        try:
            is_mixed = any(self.share(options).synthetic for options in self.options())
        except ValidationError as error:
            raise ValueError(f"vary: {'; '.join(sentences(error, Share))}") from error
        if self.data == "cifar10" and (self.val is not None or is_mixed):
            raise ValueError("data: cifar10 has no synthetic photos, and its val is a quarter of train")
        if self.data == "labels" and self.val is None:
            raise ValueError("val: missing; data: labels needs it")
        if self.val is not None and self.val.synthetic and is_mixed:
            raise ValueError(
                "val.synthetic_share: must be 0 if train has synthetic photos, because both might use the same ones"
            )
        return self

    def options(self) -> Iterator[Options]:
        """Every combination of what varies."""
        for values in itertools.product(*self.vary.values()):
            yield dict(zip(self.vary, values, strict=True))

    def share(self, options: Options) -> Share:
        """The training photos of one variant. Raises ValidationError."""
        given = {key: options[key] for key in DATA_KEYS if key in options}
        return Share.model_validate(self.train.model_dump() | given, strict=True)

    def changes(self, options: Options) -> Options:
        """The changes in the training settings for one variant."""
        changes = dict(self.set)
        for adjustment in self.adjust:
            if all(options[key] == value for key, value in adjustment.where.items()):
                changes |= adjustment.set
        return changes | {key: value for key, value in options.items() if key not in DATA_KEYS}


class _Claim(Section):
    says: str
    """The claim, as a sentence for the report."""
    source: str = "the thesis"
    """Who makes the claim."""
    metric: Annotated[str, AfterValidator(_refuse_old_metric)] = "validation accuracy"
    """Phase and metric of results.csv."""
    parts: tuple[str, ...] = ()
    """Parts that the claim is about; empty: all."""


class Best(_Claim):
    """Of the values of `key`, this one has the highest metric."""

    kind: Literal["best"]
    key: str
    """A key of `vary`, or `part`."""
    value: JsonValue
    """The value that is claimed to be best."""


class Wider(_Claim):
    """The larger the value of `key`, the more the runs of a variant differ."""

    kind: Literal["wider"]
    key: str
    """A key of `vary`, or `part`."""


class Reaches(_Claim):
    """The mean over the runs of every variant is at least `value`."""

    kind: Literal["reaches"]
    value: float = Field(ge=-1e9, le=1e9)
    """The value that each mean is claimed to reach."""


Claim = Annotated[Best | Wider | Reaches, Field(discriminator="kind")]


class Experiment(Section):
    """One question, and all trainings that answer it."""

    question: str
    """The question that the experiment answers."""
    thesis: str
    """What the thesis did and found."""
    runs: int = Field(ge=1, le=1000)
    """Trainings of each variant, each with another seed."""
    real: Real = Real()
    parts: Annotated[dict[str, Part], Field(min_length=1)]
    claims: tuple[Claim, ...] = ()
    """Compared with the results in the report."""

    @model_validator(mode="after")
    def _claims_are_about_what_varies(self) -> Self:
        for claim in self.claims:
            for name in claim.parts:
                if name not in self.parts:
                    raise ValueError(
                        f"claims: {claim.says!r}: part {name!r} does not exist; the parts are {', '.join(self.parts)}"
                    )
            if isinstance(claim, Reaches):
                continue
            looked = [self.parts[name] for name in claim.parts or self.parts]
            values = list(self.parts) if claim.key == "part" else [v for p in looked for v in p.vary.get(claim.key, [])]
            if not values:
                raise ValueError(f"claims: {claim.says!r}: key {claim.key!r} does not vary")
            if isinstance(claim, Best) and claim.value not in values:
                raise ValueError(f"claims: {claim.says!r}: value {claim.value!r} is not one of {values}")
        return self


def load_experiment(path: Path) -> Experiment:
    """Read a file and load the training settings of every variant, so that an error is not found after hours.

    Raises ConfigError naming the file and, for every wrong key, its value and what is allowed.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such experiment; config/experiments has: {', '.join(names())}")
    experiment = checked(Experiment, read_yaml(path, "'question' and 'parts'"), path)
    for name, part in experiment.parts.items():
        for options in part.options():
            try:
                load_settings(part.base, as_changes(part.changes(options)))
            except ConfigError as error:
                raise ConfigError(f"{path}: parts.{name}: {shown(options)}: {error}") from error
    return experiment


def names() -> list[str]:
    """Names of the experiments that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))
