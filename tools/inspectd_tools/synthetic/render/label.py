"""One rendered label with its whole truth."""

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
    Scene,
    draw_scene,
)
from inspectd_tools.synthetic.render.style import TRAINING, Style

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

Grey = NDArray[np.float32]
Matrix = NDArray[np.float64]


@dataclass(slots=True)
class _Draft:
    """A label while it is made; unknowns change it at one of its stages."""

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
    """Of unknowns: one of UNKNOWNS; otherwise ''."""
    severity: float
    """0 mildest .. 1 worst; 0 for good labels, 1 for unknowns."""
    polygon: NDArray[np.float32]
    """(4, 2) corners of the label box in px: top left, top right, bottom right, bottom left."""
    fault_mask: NDArray[np.uint8]
    """(480, 640), 255 where the fault shows."""
    ink: NDArray[np.uint8]
    """(480, 640), coverage 0..255 of the print that reached the fabric, before lens and sensor."""
    text: tuple[str, ...]
    parameters: dict[str, object]


def render(kind: str, rng: np.random.Generator, style: Style = TRAINING) -> Sample:
    """Render one of CLASSES or UNKNOWNS. The same generator state gives the same bytes.

    Raises ValueError for any other kind.
    """
    if kind not in CLASSES + UNKNOWNS:
        raise ValueError(f"{kind!r} is none of {', '.join(CLASSES + UNKNOWNS)}")
    draft = _draft(kind, rng, style)
    whole = _placed(draft.print.ink, draft.placement) * draft.scene.fabric
    severity, ink, mask = _printed(kind, draft, whole)
    scene = _apply_ink(draft, ink)
    if kind in _ON_TOP:
        scene, spot = _ON_TOP[kind](scene, draft)
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
    """How bad the fault is, the ink that reached the fabric, and where the fault shows."""
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
            return 1.0, _other_label(draft), box
        case "smear":
            return 1.0, _smeared(whole, rng), box
        case _:
            return 1.0, whole, nothing


def _second_print(draft: _Draft) -> Grey:
    rng = draft.rng
    offset = np.eye(3)
    offset[:2, 2] = rng.choice([-1, 1], 2) * rng.uniform((10, 8), (40, 26))
    again = draft.placement @ offset
    return _placed(draft.print.ink, again) * draft.scene.fabric


def _other_label(draft: _Draft) -> Grey:
    """Another product's label: other layout, a frame, a bar code."""
    rng = draft.rng
    ink = np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8)
    width, height = int(rng.integers(230, 330)), int(rng.integers(130, 220))
    left, top = int(rng.integers(150, 420 - width // 2)), int(rng.integers(110, 380 - height))
    cv2.rectangle(ink, (left, top), (left + width, top + height), 255, int(rng.integers(2, 6)))
    x = left + 16
    while x < left + width - 20:
        bar = int(rng.integers(2, 8))
        ink[top + 14 : top + height // 2, x : x + bar] = 255
        x += bar + int(rng.integers(2, 8))
    scale = rng.uniform(0.9, 1.4)
    text = f"{rng.choice(['BREMS', 'OIL-F', 'TYP', 'KIT'])} {rng.integers(100, 999)}"
    cv2.putText(ink, text, (left + 14, top + height - 18), cv2.FONT_HERSHEY_DUPLEX, scale, 255, 3, cv2.LINE_AA)
    return np.divide(ink, 255, dtype=np.float32) * draft.scene.fabric


def _smeared(ink: Grey, rng: np.random.Generator) -> Grey:
    """Wet ink wiped sideways over a good part of the print."""
    length = int(rng.integers(36, 80))
    kernel = np.zeros((1, 2 * length + 1), np.float32)
    kernel[0, length:] = np.linspace(1, 0.2, length + 1)
    wiped = np.clip(cv2.filter2D(ink, -1, kernel / kernel.sum()) * rng.uniform(1.4, 2.0), 0, 1)
    rows = np.zeros((HEIGHT_PX, 1), np.float32)
    top = int(rng.integers(FILTER_TOP + 40, FILTER_TOP + 140))
    rows[top : top + int(rng.integers(110, 200))] = 1
    rows = cv2.blur(rows, (1, 21))
    return ink * (1 - 0.75 * rows) + np.maximum(wiped, 0.25 * ink) * rows


def _oil_spot(scene: Grey, draft: _Draft) -> tuple[Grey, NDArray[np.uint8]]:
    """Oil darkens the fabric and takes the contrast out of the print."""
    rng = draft.rng
    spot = _blob(rng, (85, 150))
    stained = scene * (1 - 0.55 * spot)
    grey = float(rng.uniform(55, 95))
    return (stained * (1 - 0.55 * spot) + grey * 0.55 * spot).astype(np.float32), _mask(spot)


def _foreign_object(scene: Grey, draft: _Draft) -> tuple[Grey, NDArray[np.uint8]]:
    """A screw, a glove finger, a strip of tape: something opaque on the label."""
    rng = draft.rng
    shape = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    centre = (int(rng.integers(200, 440)), int(rng.integers(160, 320)))
    kind = rng.choice(["screw", "tape", "ring"])
    angle = float(rng.uniform(0, 180))
    if kind == "screw":
        points = cv2.boxPoints((centre, (float(rng.uniform(150, 230)), float(rng.uniform(34, 54))), angle))
        cv2.fillPoly(shape, [points.astype(np.int32)], 1.0, cv2.LINE_AA)
        cv2.circle(shape, tuple(int(value) for value in points[0]), int(rng.integers(34, 48)), 1.0, -1, cv2.LINE_AA)
    elif kind == "tape":
        points = cv2.boxPoints((centre, (float(rng.uniform(220, 340)), float(rng.uniform(70, 110))), angle))
        cv2.fillPoly(shape, [points.astype(np.int32)], 1.0, cv2.LINE_AA)
    else:
        cv2.circle(shape, centre, int(rng.integers(60, 100)), 1.0, int(rng.integers(18, 34)), cv2.LINE_AA)
    shading = cv2.GaussianBlur(shape, (0, 0), 9)
    grey = float(rng.choice([rng.uniform(20, 90), rng.uniform(140, 180)]))
    body = grey * (0.6 + 0.55 * shading)
    return (scene * (1 - shape) * (1 - 0.3 * shading) + body * shape).astype(np.float32), _mask(shape)


_ON_TOP: dict[str, Callable[[Grey, _Draft], tuple[Grey, NDArray[np.uint8]]]] = {
    "oil_spot": _oil_spot,
    "foreign_object": _foreign_object,
}


def _blob(rng: np.random.Generator, radius: tuple[int, int]) -> Grey:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radii = rng.uniform(*radius) * (1 + 0.18 * np.convolve(rng.standard_normal(44), np.ones(5) / 5, "valid"))
    centre = np.array([rng.uniform(210, 430), rng.uniform(180, 300)])
    points = centre + np.stack([np.cos(angles), 0.75 * np.sin(angles)], axis=1) * radii[:, None]
    shape = np.zeros((HEIGHT_PX, WIDTH_PX), np.float32)
    cv2.fillPoly(shape, [points.astype(np.int32)], 1.0)
    return cv2.GaussianBlur(shape, (0, 0), 5)


def _apply_ink(draft: _Draft, ink: Grey) -> Grey:
    """Ink soaks into fabric: it bleeds a little, and the weave shows through."""
    rng, style = draft.rng, draft.style
    ink = cv2.GaussianBlur(ink, (0, 0), float(rng.uniform(0.5, 0.9)))
    density = float(rng.uniform(*style.ink_density))
    draft.parameters["ink_density"] = density
    coverage = np.clip(ink * (density + 0.07 * draft.scene.weave), 0, 1)
    return draft.scene.image * (1 - coverage) + float(rng.uniform(*style.ink_grey)) * coverage


def _pose(kind: str, draft: _Draft) -> Matrix:
    """How the whole filter lies before the camera; a knocked camera sees everything turned."""
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


def _mask(shape: Grey) -> NDArray[np.uint8]:
    return (shape > 0.5).astype(np.uint8) * 255
