"""Codes of all kinds are read where they are, also turned and damaged; otherwise nothing is read."""

import cv2
import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.part import Image
from inspectd.text.codes import box_in_image, read_code

HERE = np.eye(3)
BOX = (60, 50, 96, 96)
GS1 = "010950110153000317261231107481-83"
KINDS = {
    "data_matrix": (zxingcpp.BarcodeFormat.DataMatrix, "LOT 7481-83"),
    "qr_code": (zxingcpp.BarcodeFormat.QRCode, "https://example.com/7481"),
    "code_128": (zxingcpp.BarcodeFormat.Code128, "7481-83"),
    "ean_8": (zxingcpp.BarcodeFormat.EAN8, "96385074"),
    "ean_13": (zxingcpp.BarcodeFormat.EAN13, "4006381333931"),
}


def drawn(content: str, kind: str = "data_matrix", *, box=BOX, **options) -> Image:
    """(240, 320) grey: the code fills the box."""
    code = zxingcpp.create_barcode(content, KINDS[kind][0], **options)
    cells = np.array(code.to_image(scale=1, add_quiet_zones=False))
    image = np.full((240, 320), 220, np.uint8)
    left, top, width, height = box
    grey = np.where(cv2.resize(cells, (width, height), interpolation=cv2.INTER_NEAREST) > 127, 220, 40)
    image[top : top + height, left : left + width] = grey
    return cv2.GaussianBlur(image, (0, 0), 0.8)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_code_is_read_and_none_is_taken_for_another(kind):
    box = (40, 80, 240, 60) if kind in ("code_128", "ean_8", "ean_13") else BOX
    image = drawn(KINDS[kind][1], kind, box=box)
    for other in KINDS:
        assert read_code(image, HERE, box, other) == (KINDS[kind][1] if other == kind else None)


def test_an_ean_13_that_begins_with_0_has_13_digits():
    assert (
        read_code(drawn("0012345678905", "ean_13", box=(40, 80, 240, 60)), HERE, (40, 80, 240, 60), "ean_13")
        == "0012345678905"
    )


def test_the_separator_of_gs1_elements_is_kept():
    image = drawn("(01)09501101530003(10)7481-83(21)15", gs1=True)
    assert read_code(image, HERE, BOX, "data_matrix") == "0109501101530003107481-83\x1d2115"


@settings(max_examples=20, deadline=None)
@given(st.floats(-12, 12), st.floats(-30, 30), st.floats(-30, 30))
def test_a_code_is_read_where_the_print_is(angle_deg, x, y):
    turn = np.vstack([cv2.getRotationMatrix2D((160, 120), angle_deg, 1), [0, 0, 1]])
    turn[:2, 2] += x, y
    image = cv2.warpAffine(drawn("LOT 7481-83"), turn[:2], (320, 240), borderValue=220)
    assert read_code(image, turn, BOX, "data_matrix") == "LOT 7481-83"


def test_what_is_beside_the_box_is_not_read():
    image = drawn("LOT 7481-83")
    assert read_code(image, HERE, (200, 50, 96, 96), "data_matrix") is None
    assert read_code(image, HERE, (1000, 1000, 96, 96), "data_matrix") is None
    assert read_code(image, HERE, (-500, -500, 96, 96), "data_matrix") is None


def test_two_codes_in_one_box_are_not_read():
    image = np.hstack([drawn("LOT 7481-83"), drawn("LOT 7481-84")])
    assert read_code(image, HERE, (40, 40, 440, 120), "data_matrix") is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_a_damaged_code_is_read_or_not_read_but_never_misread(seed, blots):
    rng = np.random.default_rng(seed)
    image = drawn(GS1)
    for left, top in rng.integers((60, 50), (150, 140), (blots, 2)):
        image[top : top + 6, left : left + 6] = rng.choice([40, 220])
    assert read_code(image, HERE, BOX, "data_matrix") in (GS1, None)


@pytest.mark.parametrize(
    "image", [np.zeros((0, 0), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((5, 5), np.float64)]
)
def test_no_image_raises(image):
    assert read_code(image, HERE, BOX, "qr_code") is None
    assert read_code(drawn("x"), np.full((3, 3), np.nan), BOX, "qr_code") is None


def test_colour_is_read_like_grey():
    assert read_code(cv2.cvtColor(drawn("LOT"), cv2.COLOR_GRAY2BGR), HERE, BOX, "data_matrix") == "LOT"


def test_a_box_of_the_print_becomes_the_rectangle_around_it():
    assert box_in_image((10, 20, 30, 40), np.array([[1, 0, 5.5], [0, 1, -2.5], [0, 0, 1]])) == (15, 17, 31, 41)
    assert box_in_image((10, 20, 30, 40), np.array([[0, -1, 100], [1, 0, 0], [0, 0, 1.0]])) == (40, 10, 40, 30)
