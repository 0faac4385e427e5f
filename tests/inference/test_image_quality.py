"""Brightness and sharpness: what they say about lamp and lens, and that they never cost a verdict."""

import time

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.inference.image_quality import Quality, quality_of


def _batch(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image)[np.newaxis, np.newaxis]


def _label(seed: int = 0, size: tuple[int, int] = (192, 256)) -> np.ndarray:
    """Dark words on a light ground, with a little noise."""
    draw = np.random.default_rng(seed)
    image = np.full(size, 170, np.uint8)
    for line in range(30, size[0] - 20, 40):
        cv2.putText(image, "LOT 7481-83", (10, line), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 60, 2)
    return np.clip(image + draw.normal(0, 2, size), 0, 255).astype(np.uint8)


def test_blur_makes_an_image_less_sharp_and_not_darker():
    sharp = quality_of(_batch(_label()))
    blurred = quality_of(_batch(cv2.GaussianBlur(_label(), (0, 0), 1.0)))
    assert blurred.sharpness < 0.5 * sharp.sharpness
    assert blurred.brightness == pytest.approx(sharp.brightness, abs=0.005)


@pytest.mark.parametrize("gain", [0.6, 0.8, 1.2])
def test_light_changes_the_brightness_and_hardly_the_sharpness(gain):
    usual = quality_of(_batch(_label()))
    other = quality_of(_batch(cv2.convertScaleAbs(_label(), alpha=gain)))
    assert other.brightness == pytest.approx(gain * usual.brightness, abs=0.005)
    assert other.sharpness == pytest.approx(usual.sharpness, rel=0.05)


def test_white_is_one_and_one_grey_level_has_no_sharpness():
    assert quality_of(np.full((1, 3, 20, 30), 255, np.uint8)) == (1.0, None)
    assert quality_of(np.zeros((1, 1, 20, 30), np.uint8)) == (0.0, None)


def test_of_a_colour_image_the_green_channel_counts():
    green = _label()
    colour = np.stack([np.zeros_like(green), green, np.full_like(green, 255)])[np.newaxis]
    assert quality_of(colour) == quality_of(_batch(green))


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 99))
def test_any_batch_has_finite_values(height, width, channels, seed):
    batch = np.random.default_rng(seed).integers(0, 256, (1, channels, height, width), np.uint8)
    brightness, sharpness = quality_of(batch)
    assert 0 <= brightness <= 1
    assert sharpness is None or sharpness >= 0


@pytest.mark.parametrize(
    "broken", [np.zeros((1, 1, 0, 0), np.uint8), np.zeros(3, np.uint8), np.zeros((1, 1, 9, 9), object), None]
)
def test_what_can_not_be_measured_is_not_measured(broken):
    assert quality_of(broken) == Quality(None, None)


def test_a_large_image_takes_no_longer():
    small, large = _batch(_label(size=(256, 256))), _batch(_label(size=(2000, 2000)))

    def took_us(batch: np.ndarray) -> float:
        times = []
        for _ in range(30):
            begin = time.perf_counter()
            quality_of(batch)
            times.append(time.perf_counter() - begin)
        return 1e6 * min(times)

    assert took_us(large) < 3 * took_us(small)
