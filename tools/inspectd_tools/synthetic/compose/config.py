"""The YAML of `synthesize.py compose`: what to lift from which photos, and where it may go."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from inspectd.class_name import ClassName
from inspectd.files.yaml_file import read_yaml
from inspectd.section import ConfigPath, Section, checked
from inspectd_tools.changes import changed


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("must be [lowest, highest]")
    return limits


Limit = Annotated[float, Field(ge=-1e9, le=1e9)]
Limits = Annotated[tuple[Limit, Limit], AfterValidator(_ascending)]
Pixels = Annotated[int, Field(ge=0, le=65_536)]
Box = tuple[Pixels, Pixels, Annotated[Pixels, Field(ge=8)], Annotated[Pixels, Field(ge=8)]]
"""left, top, width, height in px."""
Share = Annotated[float, Field(ge=0, le=1)]


class TemplateConfig(Section):
    """What something looks like, in one photo; `compose pick` writes these lines."""

    photo: ConfigPath
    box: Box
    """What is searched for."""
    label: Box | None = None
    """What is meant by it, if not the box itself: a half print is found by its whole end, a body with some background."""


class FindConfig(Section):
    """Search by normalised cross-correlation. The defaults suit a camera and a product that stay where they are."""

    templates: Annotated[tuple[str, ...], Field(min_length=1)]
    """Each is tried, the best match counts."""
    angle_deg: Limits = (-3, 3)
    """Clockwise, against the template."""
    scale: Limits = (0.97, 1.03)
    within_px: float | None = Field(default=None, gt=0, le=65_536)
    """About this far at most, along each axis, from where it is in the template's photo; null: anywhere."""
    min_score: Share = 0.5
    """A lower correlation is no find."""
    ink_px: Limits = (1, 1e9)
    """Fewer or more pixels of ink in the box found: it was something else."""


class PlaceConfig(Section):
    where: Literal["anywhere", "same", "left_edge"] = "anywhere"
    """Of the part's body, or of the whole photo where no part is cut out. same: where it was in its own photo;
    left_edge: begins at the left edge, as a half print does."""
    jitter_px: float = Field(default=0, ge=0, le=65_536)
    """Shift from the place that `same` and, along the edge, `left_edge` mean."""
    margin_px: Pixels = 15
    """Stays this far from the edges; not from the one that `left_edge` means."""
    turn_deg: Limits = (0, 0)
    flip: Share = 0
    """Share that is mirrored left to right."""


class ClassConfig(Section):
    find: FindConfig | None = None
    """Where the print is, on photos without masks."""
    place: PlaceConfig = PlaceConfig()


class InkConfig(Section):
    """Which pixels of a label are ink."""

    grey: Limits = (0, 220)
    contrast: Share = 0.15
    """And darker than the bare surface around by this share."""
    stroke_px: int = Field(default=41, ge=3, le=65_536)
    """Wider than the widest stroke: how far around the bare surface is looked for."""
    grow_px: Pixels = 3
    """Soft edges that belong to the ink."""


class GroundConfig(Section):
    """What is pasted onto: photos with the print inpainted away."""

    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    inpaint: Literal["navier_stokes", "telea"] = "navier_stokes"
    radius_px: float = Field(default=3, gt=0, le=65_536)
    texture: bool = True
    """Give what was inpainted the texture and noise of the surface around, without which it is too smooth to be true."""


class JoinedConfig(Section):
    """A piece beside the body that belongs to the part: both and what lies between are cut out."""

    templates: Annotated[tuple[str, ...], Field(min_length=1)]
    min_score: Share = 0.5
    scale: Limits = (0.9, 1.1)
    dark_below: int = Field(default=60, ge=1, le=255)
    dark_px: Limits = (200, 1e9)
    """Pixels darker than that in the piece: else it was something else."""


class PartConfig(Section):
    """Where the part is in its photo: prints go onto its body, and it can be cut out and put on another background."""

    backgrounds: ConfigPath | None = None
    """Folder of photos without a part; null: the part stays where it is. That is the truer picture where the camera sees
    the same scene each time: there is no seam, and shadow and light are the part's own."""
    body: FindConfig
    joined: JoinedConfig | None = None
    margin_px: Pixels = 10
    """Of background (and shadow) that is cut out with it."""
    jitter_px: Pixels | None = None
    """At most this far from where it was in its own photo; null: anywhere on the background."""
    top_px: Pixels = 0
    bottom_px: Pixels = 0
    """Strips at the top and the bottom of the background that stay free."""


class SeamConfig(Section):
    method: Literal["poisson", "inpaint"] = "poisson"
    """poisson: gradients are kept, the light is the ground's (Perez et al. 2003); inpaint: as the thesis did, a strip
    along the edge is inpainted."""
    part_px: int = Field(default=8, ge=1, le=65_536)
    """Width of the seam around the part: blended over, or inpainted."""
    part_radius_px: float = Field(default=20, gt=0, le=65_536)
    """inpaint only."""
    label_px: int = Field(default=3, ge=1, le=65_536)


class ComposeConfig(Section):
    photos: ConfigPath
    """Folder with one folder of photos a class, or a data manifest."""
    split: Literal["train", "val"] = "train"
    """Of a manifest: whose photos are used, and so where the images may go. Never the test's."""
    masks: ConfigPath | None = None
    """Folder with <class>/<name of the photo>.png, 255 where the fault is: it is cut out by its mask, not searched for."""
    templates: dict[str, TemplateConfig] = Field(default={})
    classes: Annotated[dict[ClassName, ClassConfig], Field(min_length=1)]
    """What is made."""
    ink: InkConfig = InkConfig()
    ground: GroundConfig
    part: PartConfig | None = None
    """null: the whole photo is the part's body."""
    seam: SeamConfig = SeamConfig()
    format: Literal["png", "bmp"] = "png"

    @model_validator(mode="after")
    def _knows_where_everything_is(self) -> Self:
        for name, class_ in self.classes.items():
            if (class_.find is None) == (self.masks is None):
                raise ValueError(
                    f"classes.{name}.find: must be given where there are no masks, and left out where there are"
                )
        searches = [
            (f"classes.{name}.find", class_.find.templates) for name, class_ in self.classes.items() if class_.find
        ]
        if self.part is not None:
            searches.append(("part.body", self.part.body.templates))
            if self.part.joined is not None:
                searches.append(("part.joined", self.part.joined.templates))
        for key, names in searches:
            for name in names:
                if name not in self.templates:
                    known = ", ".join(self.templates) or "none"
                    raise ValueError(f"{key}.templates: {name!r} is not among the templates: {known}")
        return self


def load_compose_config(path: Path, changes: Iterable[str] = ()) -> ComposeConfig:
    """Read a file and make the `key=value` changes (see `inspectd_tools.changes`).

    Raises ConfigError naming the file and, for every wrong key, its value and what is allowed.
    """
    values = read_yaml(path, "'photos', 'classes' and 'ground'")
    return checked(ComposeConfig, changed(values, changes), path)
