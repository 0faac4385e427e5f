"""One rendered label with its complete truth."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.render import printing, unknowns
from inspectd_tools.synthetic.render.camera import take_photo
from inspectd_tools.synthetic.render.incomplete_print import incomplete
from inspectd_tools.synthetic.render.label_text import LINES, LabelText, random_text
from inspectd_tools.synthetic.render.placement import Matrix, corners, filled, placed, placement
from inspectd_tools.synthetic.render.scene import (
    FILTER_BOTTOM,
    FILTER_LEFT,
    FILTER_RIGHT,
    FILTER_TOP,
    HEIGHT_PX,
    WIDTH_PX,
    Grey,
    Scene,
    draw_scene,
)
from inspectd_tools.synthetic.render.severity import SIZES, Severity
from inspectd_tools.synthetic.render.style import TRAINING, Style
from inspectd_tools.synthetic.render.wrong_text import WRONG_TEXTS, wrong_fields

CLASSES = ("fail_label_crooked_print", "fail_label_half_printed", "fail_label_not_fully_printed", "no_fail")
UNKNOWNS = (
    "no_filter",
    "blank_filter",
    "upside_down",
    "double_print",
    "smear",
    "oil_spot",
    "wrong_product",
    "foreign_object",
    "strong_defocus",
    "lamp_off",
    "lamp_overexposed",
    "camera_knocked",
    "spatter",
    "scratch",
    "specks",
    "shifted_print",
)
WRONG_TEXT_CLASS = "fail_label_date"
"""The class of the kinds WRONG_TEXTS. They are printed as well as `no_fail`, so no network is trained on them."""
_NO_PRINT = ("no_filter", "blank_filter", "wrong_product")


@dataclass(frozen=True, slots=True)
class Fault:
    """The default is that of a good label."""

    kind: str = ""
    """One of UNKNOWNS or WRONG_TEXTS; for the classes of print: crooked, half, or how the print is incomplete, such as character."""
    size: float | None = None
    """Of graded kinds; `SIZES` and `incomplete_print.Incomplete.lost_px` say of what."""
    unit: str = ""
    severity: float = 0.0
    """0 mildest .. 1 worst."""


@dataclass(slots=True)
class _Draft:
    """A label while it is drawn. Each kind of fault changes it at one stage."""

    rng: np.random.Generator
    style: Style
    scene: Scene
    expected: LabelText
    text: dict[str, str]
    print: printing.Print
    placement: Matrix
    fault: Fault
    ink: Grey
    mask: NDArray[np.uint8]
    exposure: float | None = None
    defocus_px: float | None = None
    parameters: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    image: NDArray[np.uint8]
    """(480, 640) grey."""
    label_class: str
    """One of CLASSES, WRONG_TEXT_CLASS, or 'unknown'."""
    kind: str
    """One of UNKNOWNS; '' for other labels."""
    fault: Fault
    polygon: NDArray[np.float32]
    """(4, 2) corners of the label box in px: top left, top right, bottom right, bottom left."""
    code: printing.Area
    """Place of the Data Matrix in the label box, in px of it."""
    fault_mask: NDArray[np.uint8]
    """(480, 640), 255 where the fault is visible."""
    ink: NDArray[np.uint8]
    """(480, 640), coverage 0..255 of the print that reached the fabric, before lens and sensor."""
    text: dict[str, str]
    """Field -> what the print says; empty if another print or none is on the label."""
    expected: dict[str, str]
    """Field -> what the print should say."""
    parameters: dict[str, object]

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """left, top, width, height of the fault in px; None if it has no place, as a lamp that is off."""
        left, top, width, height = cv2.boundingRect(self.fault_mask)
        return (left, top, width, height) if width else None


def kinds(severity: Severity) -> tuple[str, ...]:
    """The classes, then the kinds of unknown labels, of which there are some of this severity, then the wrong texts."""
    graded = {*SIZES, "fail_label_not_fully_printed", "no_fail", *WRONG_TEXTS}
    return tuple(kind for kind in CLASSES + UNKNOWNS + WRONG_TEXTS if severity != "small" or kind in graded)


def render(
    kind: str,
    rng: np.random.Generator,
    style: Style = TRAINING,
    severity: Severity = "all",
    expected: LabelText | None = None,
) -> Sample:
    """Render one of `kinds(severity)`. The same generator state gives the same bytes.

    `expected`: what the label should say; None: something random. Raises ValueError for any other kind.
    """
    if kind not in kinds(severity):
        raise ValueError(f"{kind!r} is not a kind of label ({severity}); the kinds are {', '.join(kinds(severity))}")
    draft = _draft(kind, rng, style, severity, expected)
    _print(kind, draft, severity)
    scene = _on_top(kind, draft, _apply_ink(draft))
    pose = _pose(kind, draft)
    scene = cv2.warpAffine(scene, pose, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    image, camera = take_photo(scene, rng, style, exposure=draft.exposure, defocus_px=draft.defocus_px)
    return Sample(
        image=image,
        label_class=class_of(kind),
        kind=kind if kind in UNKNOWNS else "",
        fault=draft.fault,
        polygon=corners(np.vstack([pose, [0, 0, 1]]) @ draft.placement),
        code=draft.print.code,
        fault_mask=cv2.warpAffine(draft.mask, pose, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_NEAREST),
        ink=cv2.warpAffine((draft.ink * 255).astype(np.uint8), pose, (WIDTH_PX, HEIGHT_PX)),
        text={} if kind in _NO_PRINT else draft.text,
        expected=draft.expected.fields,
        parameters={**draft.parameters, **camera, "font": draft.print.font},
    )


def class_of(kind: str) -> str:
    """The class of one of `kinds`, or 'unknown'."""
    return WRONG_TEXT_CLASS if kind in WRONG_TEXTS else kind if kind in CLASSES else "unknown"


def _draft(kind: str, rng: np.random.Generator, style: Style, severity: Severity, expected: LabelText | None) -> _Draft:
    scene = draw_scene(rng, style, with_filter=kind != "no_filter")
    font, expected = str(rng.choice(style.fonts)), expected or random_text(rng)
    text = wrong_fields(kind, expected, rng) if kind in WRONG_TEXTS else expected.fields
    label = _printed(text, font)
    fault = _fault(kind, rng, severity)
    size = fault.size or 0.0
    angle = float(rng.uniform(-style.good_angle_deg, style.good_angle_deg))
    centre = np.array([(FILTER_LEFT + FILTER_RIGHT) / 2, (FILTER_TOP + FILTER_BOTTOM) / 2])
    shift = rng.uniform(-style.label_shift_px, style.label_shift_px, 2)
    match kind:
        case "fail_label_crooked_print":
            angle = float(rng.choice([-1, 1])) * size
        case "fail_label_half_printed":
            shift[0] = FILTER_LEFT - size + printing.WIDTH_PX / 2 - centre[0]
        case "shifted_print":
            direction = rng.uniform(0, 2 * np.pi)
            shift = size * np.array([np.cos(direction), np.sin(direction)])
        case "upside_down":
            angle += 180
    where = placement(centre + shift, angle)
    draft = _Draft(
        rng,
        style,
        scene,
        expected,
        text,
        label,
        where,
        fault,
        ink=placed(label.ink, where) * scene.fabric,
        mask=np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8),
        parameters={"angle_deg": angle, "shift_px": shift.tolist()},
    )
    if kind == "lamp_off":
        draft.exposure = float(rng.uniform(0.02, 0.12))
    if kind == "lamp_overexposed":
        draft.exposure = float(rng.uniform(1.9, 3.0))
    if kind == "strong_defocus":
        draft.defocus_px = float(rng.uniform(7, 12))
    return draft


def _printed(text: dict[str, str], font: str) -> printing.Print:
    return printing.draw_print([text[field] for field in LINES], text["code"], font)


def _fault(kind: str, rng: np.random.Generator, severity: Severity) -> Fault:
    if kind == "no_fail":
        return Fault()
    name = kind.removeprefix("fail_label_")
    if kind not in SIZES:
        return Fault(name, severity=1.0)
    sizes = SIZES[kind]
    size = sizes.draw(rng, severity)
    return Fault(name, size, sizes.unit, sizes.severity(size))


def _print(kind: str, draft: _Draft, severity: Severity) -> None:
    """What is wrong with the ink."""
    rng, whole, size = draft.rng, draft.ink, draft.fault.size or 0.0
    box = filled(corners(draft.placement))
    if kind in WRONG_TEXTS:
        right = placed(_printed(draft.expected.fields, draft.print.font).ink, draft.placement) * draft.scene.fabric
        draft.mask = (np.abs(whole - right) > 0.3).astype(np.uint8) * 255
    match kind:
        case "fail_label_crooked_print" | "shifted_print":
            draft.mask = box
        case "fail_label_half_printed":
            draft.mask = box
            draft.mask[:, FILTER_LEFT + 12 :] = 0
        case "fail_label_not_fully_printed":
            left = incomplete(draft.print, rng, severity)
            draft.ink = placed(left.ink, draft.placement) * draft.scene.fabric
            draft.mask = ((whole - draft.ink) > 0.3).astype(np.uint8) * 255
            draft.fault = Fault(left.way, left.lost_px, "px", left.lost_share)
            draft.parameters["lost_share"] = left.lost_share
        case "no_filter" | "blank_filter":
            draft.ink = np.zeros_like(whole)
        case "double_print":
            draft.ink, draft.mask = np.maximum(whole, _second_print(draft, size)), box
        case "wrong_product":
            draft.ink, draft.mask = unknowns.other_label(rng) * draft.scene.fabric, box
        case "smear":
            draft.ink, draft.mask = unknowns.smeared(whole, size, rng)
        case "spatter":
            draft.ink, draft.mask = unknowns.spattered(whole, size, rng)
        case "scratch":
            draft.ink, draft.mask = unknowns.scratched(whole, size, rng)


def _second_print(draft: _Draft, distance: float) -> Grey:
    angle = draft.rng.uniform(0, 2 * np.pi)
    offset = np.eye(3)
    offset[:2, 2] = distance * np.array([np.cos(angle), np.sin(angle)])
    return placed(draft.print.ink, draft.placement @ offset) * draft.scene.fabric


def _apply_ink(draft: _Draft) -> Grey:
    """Ink soaks into fabric: its edges blur a little, and the weave shows through."""
    rng, style = draft.rng, draft.style
    ink = cv2.GaussianBlur(draft.ink, (0, 0), float(rng.uniform(0.5, 0.9)))
    density = float(rng.uniform(*style.ink_density))
    draft.parameters["ink_density"] = density
    coverage = np.clip(ink * (density + 0.07 * draft.scene.weave), 0, 1)
    return draft.scene.image * (1 - coverage) + float(rng.uniform(*style.ink_grey)) * coverage


def _on_top(kind: str, draft: _Draft, scene: Grey) -> Grey:
    """What is on the label besides ink."""
    rng, size = draft.rng, draft.fault.size or 0.0
    match kind:
        case "oil_spot":
            scene, draft.mask = unknowns.oil_spot(scene, size, rng)
        case "foreign_object":
            scene, draft.mask = unknowns.foreign_object(scene, size, rng)
        case "specks":
            box = filled(corners(draft.placement))
            scene, draft.mask = unknowns.specked(scene, box, draft.scene.fabric, size, rng)
    return scene


def _pose(kind: str, draft: _Draft) -> Matrix:
    """Position and angle of the whole filter in the image; a knocked camera sees everything turned."""
    rng, style = draft.rng, draft.style
    angle = float(rng.uniform(-style.pose_angle_deg, style.pose_angle_deg))
    if kind == "camera_knocked":
        angle += float(rng.choice([-1, 1]) * rng.uniform(18, 22))
    matrix = cv2.getRotationMatrix2D((WIDTH_PX / 2, HEIGHT_PX / 2), angle, 1.0)
    matrix[:, 2] += rng.uniform(-style.pose_shift_px, style.pose_shift_px, 2)
    draft.parameters["pose_angle_deg"] = angle
    return matrix
