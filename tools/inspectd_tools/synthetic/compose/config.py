"""The YAML of `synthesize.py compose`: what to lift from which photos, and where to put it."""

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
    """What to search for, as it looks in one photo; `compose pick` writes these lines."""

    photo: ConfigPath
    box: Box
    """The area that is searched for."""
    label: Box | None = None
    """The area that is meant, if it is not the box: a half print is found by its complete end, a body with some background."""


class FindConfig(Section):
    """Search by normalised cross-correlation. The defaults suit a camera and a product that stay where they are."""

    templates: Annotated[tuple[str, ...], Field(min_length=1)]
    """All are tried, and the best match is used."""
    angle_deg: Limits = (-3, 3)
    """Clockwise, relative to the template."""
    scale: Limits = (0.97, 1.03)
    within_px: float | None = Field(default=None, gt=0, le=65_536)
    """Largest distance along each axis, approximately, from its position in the template's photo; null: anywhere."""
    min_score: Share = 0.5
    """A match with a lower correlation is not used."""
    ink_px: Limits = (1, 1e9)
    """Allowed pixels of ink in the box found; with fewer or more, it was something else."""


class PlaceConfig(Section):
    where: Literal["anywhere", "same", "left_edge"] = "anywhere"
    """Position on the body of the part, or in the whole photo if no part is cut out. same: as in its own photo;
    left_edge: it starts at the left edge, as a half print does."""
    jitter_px: float = Field(default=0, ge=0, le=65_536)
    """Largest random shift from the position of `same`, or along the edge for `left_edge`."""
    margin_px: Pixels = 15
    """Distance to the edges, except the left edge for `left_edge`."""
    turn_deg: Limits = (0, 0)
    flip: Share = 0
    """Share of images in which it is mirrored left to right."""


class ClassConfig(Section):
    find: FindConfig | None = None
    """How to find the print, on photos without masks."""
    place: PlaceConfig = PlaceConfig()


class InkConfig(Section):
    """Which pixels of a label are ink."""

    grey: Limits = (0, 220)
    contrast: Share = 0.15
    """Ink is also darker than the bare surface around it by this share."""
    stroke_px: int = Field(default=41, ge=3, le=65_536)
    """Width of the area in which the bare surface is searched; must be wider than the widest stroke."""
    grow_px: Pixels = 3
    """Width of the soft edges that belong to the ink."""


class GroundConfig(Section):
    """The photos that are pasted onto, after their print is removed by inpainting."""

    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    inpaint: Literal["navier_stokes", "telea"] = "navier_stokes"
    radius_px: float = Field(default=3, gt=0, le=65_536)
    texture: bool = True
    """Give the inpainted area the texture and noise of the surface around it; without them it is too smooth."""


class JoinedConfig(Section):
    """A piece beside the body that belongs to the part: both, and what is between them, are cut out."""

    templates: Annotated[tuple[str, ...], Field(min_length=1)]
    min_score: Share = 0.5
    scale: Limits = (0.9, 1.1)
    dark_below: int = Field(default=60, ge=1, le=255)
    dark_px: Limits = (200, 1e9)
    """Allowed number of pixels in the piece that are darker than `dark_below`; with fewer or more, it was something else."""


class PartConfig(Section):
    """Where the part is in its photo. Prints go onto its body. It can be cut out and put onto another background."""

    backgrounds: ConfigPath | None = None
    """Folder of photos without a part; null: the part stays in its photo. That is more realistic if the camera always sees
    the same scene: there is no seam, and shadow and light fit the part."""
    body: FindConfig
    joined: JoinedConfig | None = None
    margin_px: Pixels = 10
    """Width of background (and shadow) that is cut out with the part."""
    jitter_px: Pixels | None = None
    """Largest distance from the position in its own photo; null: anywhere on the background."""
    top_px: Pixels = 0
    bottom_px: Pixels = 0
    """`top_px` and `bottom_px`: strips of the background that stay free."""


class SeamConfig(Section):
    method: Literal["poisson", "inpaint"] = "poisson"
    """poisson: keep the gradients and take the light of the ground (Perez et al. 2003); inpaint: inpaint a strip along the
    edge, as in the thesis."""
    part_px: int = Field(default=8, ge=1, le=65_536)
    """Width of the seam around the part, which is blended or inpainted."""
    part_radius_px: float = Field(default=20, gt=0, le=65_536)
    """Radius of inpainting; only for the method inpaint."""
    label_px: int = Field(default=3, ge=1, le=65_536)
    """Width of the seam around the print or fault."""


class ComposeConfig(Section):
    photos: ConfigPath
    """Folder with one folder of photos per class, or a data manifest."""
    split: Literal["train", "val"] = "train"
    """Which photos of a manifest are used. The images may then go to that split only; never to the test photos."""
    masks: ConfigPath | None = None
    """Folder with <class>/<name of the photo>.png, 255 where the fault is. With masks nothing is searched for: the fault is cut
    out by its mask."""
    templates: dict[str, TemplateConfig] = Field(default={})
    classes: Annotated[dict[ClassName, ClassConfig], Field(min_length=1)]
    """The classes to make images of."""
    ink: InkConfig = InkConfig()
    ground: GroundConfig
    part: PartConfig | None = None
    """null: the whole photo is the body of the part."""
    seam: SeamConfig = SeamConfig()
    format: Literal["png", "bmp"] = "png"

    @model_validator(mode="after")
    def _knows_where_everything_is(self) -> Self:
        for name, class_ in self.classes.items():
            if class_.find is None and self.masks is None:
                raise ValueError(
                    f"classes.{name}: give `masks`, the folder with masks of the faults (--set masks=FOLDER), "
                    f"or `classes.{name}.find`, which says how to find a print"
                )
            if class_.find is not None and self.masks is not None:
                raise ValueError(f"classes.{name}.find: is not allowed together with `masks`; leave out one of them")
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
    """Read a file, make the `key=value` changes (see `inspectd_tools.changes`), and check it.

    Raises ConfigError naming the file and, for every wrong key, its value and what is allowed.
    """
    values = read_yaml(path, "'photos', 'classes' and 'ground'")
    return checked(ComposeConfig, changed(values, changes), path)
