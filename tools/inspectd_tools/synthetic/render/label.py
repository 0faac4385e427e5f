"""One rendered label with its complete truth."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd_tools.synthetic.render import printing
from inspectd_tools.synthetic.render.camera import take_photo
from inspectd_tools.synthetic.render.incomplete_print import incomplete
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
from inspectd_tools.synthetic.render.style import TRAINING, Style
from inspectd_tools.synthetic.render.unknowns import foreign_object, oil_spot, other_label, smeared

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
)

Matrix = NDArray[np.float64]


@dataclass(slots=True)
class _Draft:
    """A label while it is drawn. Each kind of unknown label changes it at one stage."""

    rng: np.random.Generator
    style: Style
    scene: Scene
    print: printing.Print
    placement: Matrix
    exposure: float | None = None
    defocus_px: float | None = None
    parameters: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    image: NDArray[np.uint8]
    """(480, 640) grey."""
    label_class: str
    """One of CLASSES, or 'unknown'."""
    kind: str
    """One of UNKNOWNS; '' for a label of CLASSES."""
    severity: float
    """0 mildest .. 1 worst; 0 for good labels, 1 for unknown ones."""
    polygon: NDArray[np.float32]
    """(4, 2) corners of the label box in px: top left, top right, bottom right, bottom left."""
    fault_mask: NDArray[np.uint8]
    """(480, 640), 255 where the fault is visible."""
    ink: NDArray[np.uint8]
    """(480, 640), coverage 0..255 of the print that reached the fabric, before lens and sensor."""
    text: tuple[str, ...]
    parameters: dict[str, object]


def render(kind: str, rng: np.random.Generator, style: Style = TRAINING) -> Sample:
    """Render one of CLASSES or UNKNOWNS. The same generator state gives the same bytes.

    Raises ValueError for any other kind.
    """
    if kind not in CLASSES + UNKNOWNS:
        raise ValueError(f"{kind!r} is not a kind of label; the kinds are {', '.join(CLASSES + UNKNOWNS)}")
    draft = _draft(kind, rng, style)
    whole = _placed(draft.print.ink, draft.placement) * draft.scene.fabric
    severity, ink, mask = _printed(kind, draft, whole)
    scene = _apply_ink(draft, ink)
    if kind in _ON_TOP:
        scene, spot = _ON_TOP[kind](scene, rng)
        mask = np.maximum(mask, spot)
    pose = _pose(kind, draft)
    scene = cv2.warpAffine(scene, pose, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpAffine(mask, pose, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_NEAREST)
    image, camera = take_photo(scene, rng, style, exposure=draft.exposure, defocus_px=draft.defocus_px)
    return Sample(
        image=image,
        label_class=kind if kind in CLASSES else "unknown",
        kind="" if kind in CLASSES else kind,
        severity=severity,
        polygon=_corners(pose, draft.placement),
        fault_mask=mask,
        ink=cv2.warpAffine((ink * 255).astype(np.uint8), pose, (WIDTH_PX, HEIGHT_PX)),
        text=draft.print.text,
        parameters={**draft.parameters, **camera, "font": draft.print.font},
    )


def _draft(kind: str, rng: np.random.Generator, style: Style) -> _Draft:
    scene = draw_scene(rng, style, with_filter=kind != "no_filter")
    label = printing.draw_print(rng, style.fonts)
    angle = float(rng.uniform(-style.good_angle_deg, style.good_angle_deg))
    shift = rng.uniform(-style.label_shift_px, style.label_shift_px, 2)
    if kind == "fail_label_crooked_print":
        angle = float(rng.choice([-1, 1]) * rng.uniform(*style.crooked_angle_deg))
    if kind == "upside_down":
        angle += 180
    centre = np.array([(FILTER_LEFT + FILTER_RIGHT) / 2, (FILTER_TOP + FILTER_BOTTOM) / 2]) + shift
    draft = _Draft(rng, style, scene, label, _placement(centre, angle), parameters={"angle_deg": angle})
    if kind == "fail_label_half_printed":
        missing = float(rng.uniform(*style.half_missing_share))
        centre[0] = FILTER_LEFT + (0.5 - missing) * printing.WIDTH_PX
        draft.placement = _placement(centre, angle)
        draft.parameters["missing_share"] = missing
    if kind == "lamp_off":
        draft.exposure = float(rng.uniform(0.02, 0.12))
    if kind == "lamp_overexposed":
        draft.exposure = float(rng.uniform(1.9, 3.0))
    if kind == "strong_defocus":
        draft.defocus_px = float(rng.uniform(7, 12))
    return draft


def _printed(kind: str, draft: _Draft, whole: Grey) -> tuple[float, Grey, NDArray[np.uint8]]:
    """Severity of the fault, the ink that reached the fabric, and the mask of the fault."""
    rng, style = draft.rng, draft.style
    nothing = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    box = _filled(cv2.transform(_box()[None], draft.placement[:2])[0])
    match kind:
        case "fail_label_crooked_print":
            low, high = style.crooked_angle_deg
            return (abs(float(str(draft.parameters["angle_deg"]))) - low) / (high - low), whole, box
        case "fail_label_half_printed":
            low, high = style.half_missing_share
            missing = float(str(draft.parameters["missing_share"]))
            lost = box.copy()
            lost[:, FILTER_LEFT + 12 :] = 0
            return (missing - low) / (high - low), whole, lost
        case "fail_label_not_fully_printed":
            kept, way, share = incomplete(draft.print.ink, rng)
            draft.parameters |= {"way": way, "lost_share": share}
            ink = _placed(kept, draft.placement) * draft.scene.fabric
            return min(1.0, share), ink, ((whole - ink) > 0.3).astype(np.uint8) * 255
        case "no_fail":
            return 0.0, whole, nothing
        case "no_filter" | "blank_filter":
            return 1.0, np.zeros_like(whole), nothing
        case "double_print":
            return 1.0, np.maximum(whole, _second_print(draft)), box
        case "wrong_product":
            return 1.0, other_label(draft.rng) * draft.scene.fabric, box
        case "smear":
            return 1.0, smeared(whole, rng), box
        case _:
            return 1.0, whole, nothing


def _second_print(draft: _Draft) -> Grey:
    rng = draft.rng
    offset = np.eye(3)
    offset[:2, 2] = rng.choice([-1, 1], 2) * rng.uniform((10, 8), (40, 26))
    again = draft.placement @ offset
    return _placed(draft.print.ink, again) * draft.scene.fabric


_ON_TOP: dict[str, Callable[[Grey, np.random.Generator], tuple[Grey, NDArray[np.uint8]]]] = {
    "oil_spot": oil_spot,
    "foreign_object": foreign_object,
}


def _apply_ink(draft: _Draft, ink: Grey) -> Grey:
    """Ink soaks into fabric: its edges blur a little, and the weave shows through."""
    rng, style = draft.rng, draft.style
    ink = cv2.GaussianBlur(ink, (0, 0), float(rng.uniform(0.5, 0.9)))
    density = float(rng.uniform(*style.ink_density))
    draft.parameters["ink_density"] = density
    coverage = np.clip(ink * (density + 0.07 * draft.scene.weave), 0, 1)
    return draft.scene.image * (1 - coverage) + float(rng.uniform(*style.ink_grey)) * coverage


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


def _placement(centre: NDArray[np.float64], angle_deg: float) -> Matrix:
    """(3, 3) from label coordinates to the scene; angles count clockwise on the image."""
    matrix = np.eye(3)
    matrix[:2] = cv2.getRotationMatrix2D((printing.WIDTH_PX / 2, printing.HEIGHT_PX / 2), -angle_deg, 1.0)
    matrix[:2, 2] += centre - np.array([printing.WIDTH_PX / 2, printing.HEIGHT_PX / 2])
    return matrix


def _placed(ink: Grey, placement: Matrix) -> Grey:
    return cv2.warpAffine(ink, placement[:2], (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_LINEAR)


def _box() -> NDArray[np.float64]:
    width, height = printing.WIDTH_PX, printing.HEIGHT_PX
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


def _corners(pose: Matrix, placement: Matrix) -> NDArray[np.float32]:
    whole = np.vstack([pose, [0, 0, 1]]) @ placement
    return cv2.transform(_box()[None], whole[:2])[0].astype(np.float32)


def _filled(corners: NDArray[np.float64]) -> NDArray[np.uint8]:
    mask = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], 255)
    return mask
