"""The frame on a contact sheet's small image is around the right place, and is seen on any label."""

import cv2
import numpy as np
import pytest

from inspectd.contact_sheet import Tile, write_contact_sheet

YELLOW = (66, 228, 240)


def sheet(tmp_path, image, framed):
    path = tmp_path / "sheet.png"
    write_contact_sheet(path, [Tile(image, ("1: anomaly 1.8x", "was good"), (0, 0, 200), framed)])
    return cv2.imread(str(path))[:240, :320]


def extent(tile, colour=YELLOW):
    """Left, top, right and bottom of all pixels of a colour."""
    rows, columns = np.nonzero((tile == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_the_frame_is_around_the_box_and_covers_none_of_it(tmp_path):
    """A label of 640 x 480 px is shown at half its size."""
    image = np.full((480, 640), 90, np.uint8)
    image[200:240, 400:480] = 180
    tile = sheet(tmp_path, image, (400, 200, 80, 40))
    assert (tile[100:120, 200:240] == 180).all()
    assert extent(tile) == (195, 95, 245, 125)
    left, top, right, bottom = extent(tile)
    for outside in (tile[top - 1, left : right + 1], tile[bottom + 1, left : right + 1]):
        assert (outside == 0).all()
    assert (tile[top : top + 2, left : right + 1] == YELLOW).all(), "two pixels wide"


@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (100, 1000), (1000, 100), (48, 64), (480, 640, 3)])
def test_the_frame_of_an_image_of_another_shape(tmp_path, shape):
    """It is around the middle of the image, wherever that is on the tile."""
    image = np.full(shape, 200, np.uint8)
    height, width = shape[:2]
    tile = sheet(tmp_path, image, (width // 2 - 2, height // 2 - 2, 4, 4))
    share = min(320 / width, 240 / height)
    middle = np.array([160, height * share / 2])
    left, top, right, bottom = extent(tile)
    assert np.abs(np.array([left + right, top + bottom]) / 2 - middle).max() <= 1.5


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_frame_of_a_speck_is_seen_on_any_label(tmp_path, grey):
    """At least 18 px large, and with neighbours that differ much in brightness: no colours are needed to see it."""
    tile = sheet(tmp_path, np.full((480, 640), grey, np.uint8), (320, 240, 2, 2))
    left, top, right, bottom = extent(tile)
    assert min(right - left, bottom - top) >= 18
    brightness = cv2.cvtColor(tile, cv2.COLOR_BGR2GRAY).astype(int)
    assert np.abs(np.diff(brightness[(top + bottom) // 2])).max() > 120


@pytest.mark.parametrize(
    "framed", [(0, 0, 640, 480), (0, 0, 1, 1), (639, 479, 1, 1), (630, -20, 40, 40), (900, 900, 10, 10)]
)
def test_a_frame_at_the_edge_stays_inside_the_image(tmp_path, framed):
    tile = sheet(tmp_path, np.full((300, 320), 90, np.uint8), framed)
    assert (tile[:, :32] == 255).all(), "beside the image"
    left, top, right, bottom = extent(tile)
    assert 32 < left <= right < 287
    assert 0 < top <= bottom < 239


def test_without_a_box_there_is_no_frame(tmp_path):
    assert (sheet(tmp_path, np.full((480, 640), 90, np.uint8), None) == 90).all()
