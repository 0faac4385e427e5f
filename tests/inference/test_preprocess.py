"""One preprocessing for training and line: what it promises for any image and any spec."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from inspectd.inference.preprocess import InputSpec, Region, preprocess
from inspectd.part import Image


def spec(**settings: object) -> InputSpec:
    channels = settings.setdefault("channels", 1)
    assert isinstance(channels, int)
    return InputSpec.model_validate(
        {"width": 32, "height": 16, "mean": [0.5] * channels, "std": [0.5] * channels} | settings
    )


@st.composite
def images(draw: st.DrawFn) -> Image:
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    shape = draw(st.sampled_from([(height, width), (height, width, 3)]))
    image = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape, np.uint8)
    return image[:: draw(st.sampled_from([1, -1, 2])), :: draw(st.sampled_from([1, -1, 2]))]


@st.composite
def regions(draw: st.DrawFn) -> Region:
    left, top = draw(st.floats(0, 0.9)), draw(st.floats(0, 0.9))
    right, bottom = draw(st.floats(left + 0.01, 1)), draw(st.floats(top + 0.01, 1))
    return Region(left=left, top=top, right=right, bottom=bottom)


@st.composite
def specs(draw: st.DrawFn) -> InputSpec:
    return spec(
        width=draw(st.integers(16, 80)),
        height=draw(st.integers(16, 80)),
        channels=draw(st.sampled_from([1, 3])),
        resize=draw(st.sampled_from(["area", "linear"])),
        region=draw(regions()),
    )


@given(image=images(), wanted=specs())
def test_any_image_with_a_pixel_in_the_region_becomes_a_batch(image: Image, wanted: InputSpec) -> None:
    before = image.copy()
    (height, width), region = image.shape[:2], wanted.region
    if not (round(region.left * width) < round(region.right * width)) or not (
        round(region.top * height) < round(region.bottom * height)
    ):
        with pytest.raises(ValueError, match="region of interest is empty"):
            preprocess(image, wanted)
        return
    batch = preprocess(image, wanted)
    np.testing.assert_array_equal(image, before)
    assert batch.dtype == np.uint8
    assert batch.shape == (1, wanted.channels, wanted.height, wanted.width)
    assert batch.flags.c_contiguous
    np.testing.assert_array_equal(batch, preprocess(np.ascontiguousarray(image), wanted))


@given(grey=st.integers(0, 255), wanted=specs())
def test_a_plain_image_stays_plain(grey: int, wanted: InputSpec) -> None:
    for shape in ((100, 120), (100, 120, 3)):
        assert np.all(preprocess(np.full(shape, grey, np.uint8), wanted) == grey)


@given(image=images().filter(lambda image: image.ndim == 2), wanted=specs())
def test_grey_given_as_colour_is_still_grey(image: Image, wanted: InputSpec) -> None:
    whole = wanted.model_copy(update={"region": Region()})
    np.testing.assert_array_equal(preprocess(image, whole), preprocess(np.dstack([image] * 3), whole))


@given(seed=st.integers(0, 99), factor=st.integers(1, 5), channels=st.sampled_from([1, 3]))
def test_area_resizing_averages_blocks(seed: int, factor: int, channels: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (16 * factor, 32 * factor), np.uint8)
    expected = image.reshape(16, factor, 32, factor).mean(axis=(1, 3))
    for plane in preprocess(image, spec(channels=channels))[0]:
        assert np.abs(plane - expected).max() <= 1


def test_the_size_it_already_has_is_left_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 32), np.uint8)
    np.testing.assert_array_equal(preprocess(image, spec())[0, 0], image)


def test_colour_planes_are_red_green_blue() -> None:
    blue_green_red = np.full((16, 32, 3), (10, 20, 30), np.uint8)
    assert [int(plane[0, 0]) for plane in preprocess(blue_green_red, spec(channels=3))[0]] == [30, 20, 10]


def test_colour_becomes_the_grey_that_opencv_reads() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)
    np.testing.assert_array_equal(preprocess(image, spec())[0, 0], cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def test_the_region_is_cut_in_shares_of_the_image() -> None:
    image = np.zeros((160, 320), np.uint8)
    image[40:80, 80:240] = 255
    inside = spec(region={"left": 0.25, "top": 0.25, "right": 0.75, "bottom": 0.5})
    assert preprocess(image, inside).min() == 255
    wider = spec(region={"left": 0.2, "top": 0.25, "right": 0.75, "bottom": 0.5})
    assert preprocess(image, wider).min() == 0


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((16, 32), np.float32),
        np.zeros((16, 32), np.int8),
        np.zeros((16, 32, 1), np.uint8),
        np.zeros((16, 32, 4), np.uint8),
        np.zeros((1, 3, 16, 32), np.uint8),
        np.zeros(16, np.uint8),
    ],
)
def test_other_kinds_of_image_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        preprocess(image, spec())


def test_a_region_that_is_empty_in_a_small_image_is_refused() -> None:
    with pytest.raises(ValueError, match="empty in an image of 4x4 px"):
        preprocess(np.zeros((4, 4), np.uint8), spec(region={"left": 0.5, "right": 0.51}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"region": {"left": 0.5, "right": 0.5}}, "left must be less than right"),
        ({"region": {"left": 0.9, "right": 0.1}}, "left must be less than right"),
        ({"region": {"top": 1.0}}, "top less than bottom"),
        ({"region": {"left": -0.1}}, "greater than or equal to 0"),
        ({"mean": [0.5] * 3}, "mean needs 1 value"),
        ({"std": []}, "std needs 1 value"),
        ({"channels": 3, "mean": [0.5]}, "mean needs 3 value"),
        ({"std": [0.0]}, "greater than 0"),
        ({"width": 8}, "greater than or equal to 16"),
        ({"channels": 2, "mean": [0.5] * 2, "std": [0.5] * 2}, "Input should be 1 or 3"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        spec(**settings)
