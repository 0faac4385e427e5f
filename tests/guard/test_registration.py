"""Poses to a fraction of a pixel."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspectd.guard import registration
from inspectd.guard.registration import Pose, Registration, Template, straightened


def _scene(pose: Pose) -> NDArray[np.float32]:
    """A bright plate with marks on dark ground, placed at `pose`."""
    plate = np.full((120, 160), 60, np.float32)
    plate[25:95, 30:130] = 200
    plate[40:50, 45:90] = 80
    plate[60:80, 100:115] = 80
    plate = cv2.GaussianBlur(plate, (0, 0), 1.2)
    return straightened(plate, np.linalg.inv(pose.matrix(160, 120)))


@pytest.mark.parametrize("doubting", [False, True])
@pytest.mark.parametrize("pose", [Pose(0, 0, 0), Pose(1.5, 2.2, -1.7), Pose(-2, -3, 2.5)])
def test_finds_the_pose(pose: Pose, doubting: bool) -> None:
    template = Template(_scene(registration.NOWHERE), np.ones((120, 160), np.float32))
    found = Registration(template, doubting=doubting).locate(_scene(pose))
    np.testing.assert_allclose(found, pose, atol=0.06)


def test_light_is_not_taken_for_movement() -> None:
    template = Template(_scene(registration.NOWHERE), np.ones((120, 160), np.float32))
    slope = np.linspace(0.85, 1.15, 160, dtype=np.float32)
    found = Registration(template).locate(_scene(Pose(1, 2, -1)) * slope * 0.9)
    np.testing.assert_allclose(found, Pose(1, 2, -1), atol=0.15)


def test_what_covers_an_edge_moves_a_doubting_one_little() -> None:
    template = Template(_scene(registration.NOWHERE), np.ones((120, 160), np.float32))
    covered = _scene(registration.NOWHERE)
    covered[40:80, 22:38] = 20
    plain, doubting = (Registration(template, doubting=doubts).locate(covered) for doubts in (False, True))
    assert abs(doubting.x_px) < 0.1
    assert abs(doubting.x_px) < abs(plain.x_px) / 3


def test_fitting_aligns_images_to_their_middle() -> None:
    rng = np.random.default_rng(3)
    poses = [Pose(*rng.uniform((-1, -2, -2), (1, 2, 2)).tolist()) for _ in range(12)]
    images = [_scene(pose) for pose in poses]
    _, found = registration.fit(images)
    _, found = registration.fit(images, start=found)
    left = np.array(poses) - np.array(found)
    assert np.all(left.std(axis=0) < np.std(poses, axis=0) / 4)


def test_a_pose_scales_with_the_pixels() -> None:
    small, large = Pose(3, 1, -2).matrix(40, 30), Pose(3, 1, -2).scaled(4).matrix(160, 120)
    corner = np.array([0.0, 0.0, 1.0])  # middle of the first small pixel, at 1.5 of the large ones
    np.testing.assert_allclose((small @ corner)[:2] * 4 + 1.5, (large @ np.array([1.5, 1.5, 1.0]))[:2])
