"""How rendered labels look: the ranges of all random values. Each `Style` looks like another plant."""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Style:
    """Grey values are 0..255, lengths px at 640x480, angles degrees."""

    fonts: tuple[str, ...] = ("dots", "sans")
    belt_grey: Range = (55, 85)
    filter_grey: Range = (188, 222)
    cylinder_grey: Range = (18, 38)
    ink_grey: Range = (40, 85)
    ink_density: Range = (0.86, 1.0)
    weave_contrast: Range = (5, 11)
    weave_period_px: Range = (3.5, 5.5)
    texture_seed: int = 1000
    """Seed of the large textures from which belt and fabric are cut."""
    pose_shift_px: float = 12
    pose_angle_deg: float = 0.8
    label_shift_px: float = 7
    good_angle_deg: float = 1.5
    exposure: Range = (0.88, 1.1)
    light_slope: float = 0.16
    vignetting: Range = (0.02, 0.16)
    motion_blur_px: Range = (0, 3.5)
    defocus_px: Range = (0.4, 0.95)
    read_noise: Range = (1.0, 2.4)
    shot_noise: Range = (0.12, 0.3)


TRAINING = Style()
PLANT = Style(
    fonts=("stroke", "small_dots"),
    belt_grey=(72, 100),
    filter_grey=(168, 204),
    cylinder_grey=(12, 30),
    ink_grey=(28, 62),
    ink_density=(0.8, 0.96),
    weave_contrast=(6, 10),
    weave_period_px=(5.5, 7.5),
    texture_seed=7000,
    pose_shift_px=15,
    pose_angle_deg=1.1,
    exposure=(0.84, 1.04),
    light_slope=0.22,
    vignetting=(0.1, 0.26),
    motion_blur_px=(0, 2),
    defocus_px=(0.7, 1.3),
    read_noise=(1.6, 3.0),
    shot_noise=(0.15, 0.35),
)
"""Fabric, printer, lamp and camera of another plant, to use in place of real photos."""
STYLES = {"training": TRAINING, "plant": PLANT}
