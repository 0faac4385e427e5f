"""Training settings: `config/training/<name>.json` over `default.json`, checked and never evaluated."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from inspectd.class_name import ClassName
from inspectd.errors import ConfigError
from inspectd.files.json_file import parse_json, read_json
from inspectd.files.text_file import shown
from inspectd.inference.preprocess import InputSpec
from inspectd.section import Section, checked
from inspectd.shipped import shipped

FOLDER = shipped("config/training")


class TrainingSettings(Section):
    """One training. Key names follow the thesis where it has them."""

    model: Literal["MobileNetV2", "ResNet18", "ShuffleNetV2", "EfficientNetB1", "DuqCnn"]
    """DuqCnn: the small network of the DUQ paper, for 28x28 images. Images of at most 32 px get stems of stride 1."""
    pretrained: bool
    """Start from the file given as --weights, or else from torchvision's own, instead of from random weights."""
    dataset: Literal["FashionMNIST"] | None = None
    """A published set that has files of its own kind; null: photos, given as --data."""
    classes: Annotated[tuple[ClassName, ...], Field(min_length=2, max_length=1000)]
    """Class folders in the order of the scores; the only source of class indices."""
    pass_class: str
    input: InputSpec
    RBF_flag: bool
    """true: DUQ; false: softmax, for comparison."""
    criterion: Literal["BCE", "BCE_of_K", "CrossEntropyLoss"] | None = None
    """What trains the backbone. BCE: DUQ's own loss, whose features tell unknowns best once the classes are learnt; it is
    computed from log K and teaches however far an image is from its centroid. BCE_of_K: the same from K, as in the paper's
    code; an image with K below 1e-12 teaches nothing, so that centroids that begin far come to the images first.
    CrossEntropyLoss: a softmax, which learns from fewer photos; with RBF_flag the DUQ head is fitted to it afterwards.
    null: BCE with RBF_flag, else CrossEntropyLoss."""
    centroid_size: int = Field(ge=1, le=65_536)
    length_scale: float = Field(ge=1e-6, le=1e6)
    learn_length_scale: bool
    """length_scale is where it begins."""
    duq_start: Literal["near", "far"] = "near"
    """The paper's two beginnings: its ResNet's centroids lie within a length scale of each other, its small CNN's many
    length scales apart, where no image lies by chance."""
    gamma: float = Field(ge=0, lt=1)
    """Of the moving averages behind the centroids."""
    head_fit: Literal["gradient", "means", "covariance"]
    """gradient: maps and centroids as training leaves them (the paper). means: the same maps, each centroid moved to the mean
    of its class, which the moving averages only follow. covariance: the head is fitted afterwards to mean
    and covariance of each class's features, which tells unknowns better. Without RBF_flag the softmax is fitted only where
    no epoch trains it."""
    gp_const: float | None = Field(default=None, gt=0, le=1e6)
    """Weight of the gradient penalty; null: off."""
    pool: tuple[Annotated[int, Field(ge=1, le=8)], Annotated[int, Field(ge=1, le=8)]]
    """Rows and columns of the average pooling before the head. (1, 1) forgets where things are; a grid keeps the
    layout of a product that always lies the same way."""
    epochs: int = Field(ge=0, le=100_000)
    """0: the pretrained backbone stays as it is and the head alone is fitted, which few photos of few parts are better for."""
    batch_size: int = Field(ge=2, le=65_536)
    validation_share: float = Field(gt=0, lt=1)
    augmentation: Literal[
        "no_augment", "production", "simple", "rand_augment", "auto_augment", "random_choice", "categorical"
    ]
    """production: small shifts, light, contrast and noise as they vary on a line from label to label. The others also
    mirror, turn and recolour, which must not make another class of an image."""
    class_balance: Literal["none", "sampling", "weights"]
    """sampling: every class is seen equally often, so that few photos of a fault weigh as much as many good ones;
    weights: the loss of a class weighs the inverse of its count."""
    epoch_images: int | None = Field(default=None, ge=1, le=100_000_000)
    """Images drawn per epoch, with repetition; null: each once. Tiny sets need more than they have."""
    label_smoothing: float = Field(ge=0, lt=1)
    optimizer: Literal["SGD", "AdamW"]
    nesterov: bool
    """SGD only; its momentum is 0.9."""
    lr: float = Field(gt=0, le=100)
    weight_decay: float = Field(ge=0, le=100)
    clip_norm: float | None = Field(default=None, gt=0, le=1e6)
    """A longer gradient is shortened to this norm; null: off. A DUQ head that begins far from all images has long ones."""
    scheduler: Literal["none", "cosine", "MultiStepLR"]
    """cosine: with a linear warm-up over the first 15 %."""
    milestones: tuple[Annotated[int, Field(ge=0, le=100_000)], ...] = ()
    """MultiStepLR: epochs after which the learning rate falls to a fifth."""
    keep: Literal["best", "last"] = "best"
    """The epoch that the run ends with: that of the lowest validation loss, or the last, as published schedules have it."""
    early_limit: int = Field(ge=0, le=100_000)
    """Epochs without better validation loss before stopping; 0: off."""
    replacement_limit: int = Field(ge=0, le=100_000)
    """Epochs without better validation loss before the weights go back to the best ones; 0: off."""
    PFM_flag: tuple[Literal["Terminal", "Tensorboard"], ...]
    """Where the metrics go besides the run's files."""
    seed: int = Field(ge=0, lt=2**32)

    @property
    def trains_duq(self) -> bool:
        """Whether gradient descent sees the DUQ head."""
        return self.RBF_flag and self.criterion != "CrossEntropyLoss"

    @field_validator("pass_class")
    @classmethod
    def _is_a_class(cls, value: str, info: Any) -> str:
        classes = info.data.get("classes", ())
        if classes and value not in classes:
            raise ValueError(f"is none of the classes {', '.join(classes)}")
        return value

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if not self.RBF_flag and self.criterion in ("BCE", "BCE_of_K"):
            raise ValueError(
                f"criterion: {self.criterion} is of DUQ's kernels; it must be CrossEntropyLoss where RBF_flag is false"
            )
        if self.RBF_flag and self.head_fit != "covariance" and not self.trains_duq:
            raise ValueError(
                "criterion: CrossEntropyLoss trains no DUQ head; it must be BCE or BCE_of_K, or head_fit covariance"
            )
        if self.epochs == 0 and not (self.pretrained and self.head_fit == "covariance"):
            raise ValueError("epochs: 0 fits a head to a pretrained backbone: pretrained true, head_fit covariance")
        if self.gp_const is not None and not self.trains_duq:
            raise ValueError(
                "gp_const: the gradient penalty is on DUQ's kernels; it must be null unless RBF_flag is true and criterion no CrossEntropyLoss"
            )
        return self


def load_settings(name: str, changes: Iterable[str] = (), folder: Path = FOLDER) -> TrainingSettings:
    """Read `<folder>/<name>.json` over `default.json`, then `key=value` changes (JSON values; dots reach into objects).

    Raises ConfigError naming the file, key, value and what is allowed, all errors at once.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.json") if file.stem != "default"))
        raise ConfigError(f"{path}: no such training settings; there are: {known}")
    values = _overlay(read_json(folder / "default.json"), read_json(path))
    for change in changes:
        key, separator, text = change.partition("=")
        if not separator:
            raise ConfigError(f"--set {change}: must be key=value")
        value = _value(key, text)
        for part in reversed(key.split(".")):
            value = {part: value}
        values = _overlay(values, value)
    return checked(TrainingSettings, values, path)


def _value(key: str, text: str) -> Any:
    """JSON, or text that is not JSON and needs no quotes."""
    try:
        return parse_json(text)
    except ValueError as error:
        if text.startswith(("[", "{", '"')):
            raise ConfigError(f"--set {key}: {shown(text)} is not valid JSON: {error}") from error
        return text


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _overlay(merged[key], value) if both else value
    return merged
