"""Training settings: `config/training/<name>.json` over `default.json`. They are data: nothing in them is executed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from inspectd.class_name import ClassName
from inspectd.errors import ConfigError
from inspectd.files.json_file import read_json
from inspectd.inference.preprocess import InputSpec
from inspectd.section import Section, checked
from inspectd.shipped import shipped
from inspectd_tools.changes import changed, overlaid

FOLDER = shipped("config/training")
_DUQ_CNN_PX = range(28, 32)
"""Width and height at which the features of DuqCnn fit its linear layer."""


class TrainingSettings(Section):
    """The settings of one training.

    These keys have the names of the thesis: model, criterion, optimizer, scheduler, dataset, epochs, batch_size, augmentation,
    PFM_flag, RBF_flag, gp_const, early_limit and replacement_limit.
    """

    model: Literal["MobileNetV2", "ResNet18", "ShuffleNetV2", "EfficientNetB1", "DuqCnn"]
    """The backbone. DuqCnn is the small network of the DUQ paper, for images of 28 to 31 px; the others are torchvision's.
    For images of at most 32 px the first convolution has stride 1, so that small images keep their details."""
    pretrained: bool
    """true: the backbone starts with the weights in the file given as --weights, or else with torchvision's. false: it starts
    with random weights."""
    dataset: Literal["FashionMNIST"] | None = None
    """A published data set to train with; it is found without --data. null: train with the photos given as --data."""
    classes: Annotated[tuple[ClassName, ...], Field(min_length=2, max_length=1000)]
    """Names of the class folders in the order of the scores. Only this list decides the index of a class; a manifest given as
    --data brings its own list."""
    pass_class: str
    """The class of good labels, one of `classes`. Only labels of this class pass."""
    input: InputSpec
    """What the network sees of an image: its size in px, channels and region of interest, and the mean and standard deviation
    by which pixel values between 0 and 1 are normalised."""
    RBF_flag: bool
    """true: the head is DUQ, with one RBF kernel per class. false: the head is a softmax, for comparison."""
    criterion: Literal["BCE", "BCE_of_K", "CrossEntropyLoss"] | None = None
    """The loss that trains the backbone. BCE is the loss of DUQ; once the classes are learnt, its features distinguish unknown
    images best. It is computed from log K, so that it also learns from images far from their centroid. BCE_of_K is the same
    loss computed from K, as in the code of the paper: images with K below 1e-12 teach nothing, so that centroids that start
    far away first move to the images. CrossEntropyLoss trains a softmax, which needs fewer photos; with RBF_flag, a DUQ head is
    fitted to the backbone afterwards. null: BCE with RBF_flag, else CrossEntropyLoss."""
    centroid_size: int = Field(ge=1, le=65_536)
    """Dimensions of the space in which the DUQ head measures distances to the centroids. More dimensions cost more time and
    memory."""
    length_scale: float = Field(ge=1e-6, le=1e6)
    """Length scale (sigma) of the RBF kernels. A smaller one makes certainty fall faster with the distance to the centroid."""
    learn_length_scale: bool
    """true: training also changes the length scale, which starts at `length_scale`. false: it stays as it is."""
    duq_start: Literal["near", "far"] = "near"
    """Where the centroids start, as in the two networks of the paper. near: within one length scale of each other, as in its
    ResNet. far: many length scales from each other, as in its small CNN, so that no image is near a centroid by chance."""
    gamma: float = Field(ge=0, lt=1)
    """Weight of the past in the moving averages that make the centroids. A larger one lets the centroids move more slowly."""
    head_fit: Literal["gradient", "means", "covariance"]
    """How the DUQ head gets its final weights. gradient: as training leaves them, as in the paper. means: each centroid is moved
    to the mean of its class, which the moving averages only follow. covariance: the head is fitted to the mean and covariance of
    the features of each class after the training, which distinguishes unknown images better. A softmax head (RBF_flag false) is
    fitted only if epochs is 0."""
    gp_const: float | None = Field(default=None, gt=0, le=1e6)
    """Weight of the gradient penalty in the loss. The penalty keeps the kernels sensitive to changes of the image. null: no
    penalty."""
    pool: tuple[Annotated[int, Field(ge=1, le=8)], Annotated[int, Field(ge=1, le=8)]]
    """Rows and columns to which the features are averaged before the head. [1, 1] drops all positions; a grid keeps the
    layout of a product that is always placed in the same way."""
    epochs: int = Field(ge=0, le=100_000)
    """How many epochs are trained. 0: the pretrained backbone is not trained, only the head is fitted; with photos of only a
    few parts this works better than training the whole network."""
    batch_size: int = Field(ge=2, le=65_536)
    """Images per training step. Several processes (torchrun) share them equally."""
    validation_share: float = Field(gt=0, lt=1)
    """Share of the training images, between 0 and 1, that is used for validation instead. It applies to a folder or a published
    data set; a manifest has its own validation photos."""
    augmentation: Literal[
        "no_augment", "production", "simple", "rand_augment", "auto_augment", "random_choice", "categorical"
    ]
    """How training images are changed at random. no_augment: they are not. production: small shifts, and changes of light and
    sensor noise as they occur between labels on a line. simple mirrors; the others also turn, distort and recolour. Use these
    only if a mirrored, turned or recoloured image still belongs to its class."""
    class_balance: Literal["none", "sampling", "weights"]
    """How rare classes are treated. none: like the others. sampling: each class is drawn equally often, so that a few photos of a
    fault count as much as many good ones. weights: the loss of an image is divided by the number of images of its class."""
    epoch_images: int | None = Field(default=None, ge=1, le=100_000_000)
    """Images drawn per epoch; if there are fewer, they are repeated. This is for very small data sets. null: each image once."""
    label_smoothing: float = Field(ge=0, lt=1)
    """Share of each training target, between 0 and 1, that is spread evenly over all classes. 0: no smoothing."""
    optimizer: Literal["SGD", "AdamW"]
    """The optimiser of the weights. SGD has momentum 0.9."""
    nesterov: bool
    """true: SGD uses Nesterov momentum. AdamW ignores this key."""
    lr: float = Field(gt=0, le=100)
    """The highest learning rate. `scheduler` says how it changes."""
    weight_decay: float = Field(ge=0, le=100)
    """Weight decay of the optimiser. 0: no decay."""
    clip_norm: float | None = Field(default=None, gt=0, le=1e6)
    """Largest norm of the gradient; a longer gradient is shortened to it. A DUQ head that starts far from all images has long
    gradients. null: gradients are not shortened."""
    scheduler: Literal["none", "cosine", "MultiStepLR"]
    """How the learning rate changes. none: it stays. cosine: it rises linearly over the first 15 % of the training and then falls
    to 0 along a cosine. MultiStepLR: it falls to a fifth after each of the `milestones`."""
    milestones: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = ()
    """Epochs after which MultiStepLR lowers the learning rate, each at most `epochs`. Other schedulers ignore this key."""
    keep: Literal["best", "last"] = "best"
    """The epoch whose weights the run keeps. best: that of the lowest validation loss. last: the last one, as in published
    training schedules."""
    early_limit: int = Field(ge=0, le=100_000)
    """Training stops after so many epochs without a lower validation loss. 0: it never stops early."""
    replacement_limit: int = Field(ge=0, le=100_000)
    """After so many epochs without a lower validation loss, training goes on from the best weights so far. 0: it never goes back."""
    PFM_flag: tuple[Literal["Terminal", "Tensorboard"], ...]
    """Where the metrics are shown, besides the files of the run. Terminal: printed as tables. Tensorboard: written as event
    files for TensorBoard. An empty list: in the files only."""
    seed: int = Field(ge=0, lt=2**32)
    """Seed of everything random in the training. The same settings, photos, seed and machine give the same weights."""

    @property
    def trains_duq(self) -> bool:
        """Whether gradient descent trains the DUQ head, and not a softmax that it replaces afterwards."""
        return self.RBF_flag and self.criterion != "CrossEntropyLoss"

    @field_validator("pass_class")
    @classmethod
    def _is_a_class(cls, value: str, info: Any) -> str:
        classes = info.data.get("classes", ())
        if classes and value not in classes:
            raise ValueError(f"is not one of the classes {', '.join(classes)}")
        return value

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if not self.RBF_flag and self.criterion in ("BCE", "BCE_of_K"):
            raise ValueError(
                f"criterion: {self.criterion} needs a DUQ head; it must be CrossEntropyLoss if RBF_flag is false"
            )
        if self.RBF_flag and self.head_fit != "covariance" and not self.trains_duq:
            raise ValueError(
                "criterion: CrossEntropyLoss does not train a DUQ head; set criterion to BCE or BCE_of_K, or head_fit to "
                "covariance"
            )
        if self.epochs == 0 and not (self.pretrained and self.head_fit == "covariance"):
            raise ValueError(
                "epochs: 0 only fits a head to a pretrained backbone; pretrained must be true and head_fit covariance"
            )
        if self.scheduler == "MultiStepLR":
            if not self.milestones:
                raise ValueError("milestones: is empty; MultiStepLR needs at least one epoch after which lr falls")
            if max(self.milestones) > self.epochs:
                raise ValueError(
                    f"milestones: {max(self.milestones)} is not reached, because epochs is {self.epochs}; give milestones of at "
                    f"most {self.epochs}"
                )
        if self.model == "DuqCnn" and not all(side in _DUQ_CNN_PX for side in (self.input.width, self.input.height)):
            raise ValueError(
                f"model: DuqCnn takes images of {_DUQ_CNN_PX[0]} to {_DUQ_CNN_PX[-1]} px, but input is {self.input.width}x"
                f"{self.input.height} px; choose another model, or input.width and input.height of 28"
            )
        if self.gp_const is not None and not self.trains_duq:
            raise ValueError(
                "gp_const: the gradient penalty needs a DUQ head that is trained; it must be null if RBF_flag is false or "
                "criterion is CrossEntropyLoss"
            )
        return self


def names(folder: Path = FOLDER) -> list[str]:
    """The training settings in `folder`, without default.json, which is below all of them."""
    return sorted(path.stem for path in folder.glob("*.json") if path.stem != "default")


def load_settings(name: str, changes: Iterable[str] = (), folder: Path = FOLDER) -> TrainingSettings:
    """Read `<folder>/<name>.json` over `default.json`, then make the `key=value` changes (see `inspectd_tools.changes`).

    Raises ConfigError naming the file and, for all wrong keys at once, the value and what is allowed.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise ConfigError(f"{path}: no such training settings; there are: {', '.join(names(folder))}")
    values = overlaid(read_json(folder / "default.json"), read_json(path))
    values = changed(values, changes)
    try:
        return checked(TrainingSettings, values, path)
    except ConfigError as error:
        if "pass_class" not in values and "classes" in values and set(values) <= set(TrainingSettings.model_fields):
            classes = ", ".join(map(str, values["classes"]))
            raise ConfigError(f"which class is the good one? Give --set pass_class=NAME, one of: {classes}") from error
        raise
