"""Distances from good images, place by place."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inspectd.guard import variation
from inspectd.guard.variation import STRIDE, WINDOW, Variation


def _images(count: int) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    ground = rng.random((16, 24), np.float32)
    return [ground + 0.1 * rng.standard_normal((16, 24)).astype(np.float32) for _ in range(count)]


def test_windows_lie_around_their_places() -> None:
    image = np.arange(16 * 24, dtype=np.float32).reshape(16, 24)
    found = variation.windows(image)
    assert found.shape == (4 * 6, WINDOW * WINDOW)
    second_row_third = found[1 * 6 + 2].reshape(WINDOW, WINDOW)
    np.testing.assert_array_equal(second_row_third, image[STRIDE - 1 : STRIDE + 5, 2 * STRIDE - 1 : 2 * STRIDE + 5])


def test_a_change_is_far_where_it_is_and_nowhere_else() -> None:
    *fitted, good = _images(60)
    model = variation.fit(fitted)
    spoilt = good.copy()
    spoilt[8:12, 12:16] += 2
    before, after = model.scores(good), model.scores(spoilt)
    row, column = np.unravel_index(int(after.argmax()), after.shape)
    assert (row, column) == (2, 3)
    assert after.max() > 5 * before.max()
    np.testing.assert_array_equal(after[0], before[0])


def test_leaving_one_out_in_closed_form_is_leaving_it_out() -> None:
    rng = np.random.default_rng(2)
    samples = rng.standard_normal((30, 5))
    count = len(samples)
    least = 0.02 * np.eye(5)
    whole = samples - samples.mean(axis=0)
    inside = np.einsum("id,de,ie->i", whole, np.linalg.inv(whole.T @ whole / count + least), whole) / count
    for index, closed in enumerate(variation._left_out(inside, count)):
        rest = np.delete(samples, index, axis=0)
        others = rest - rest.mean(axis=0)
        # the closed form keeps the share of `least` as it was with all of them
        covariance = (others.T @ others + count * least) / (count - 1)
        apart = samples[index] - rest.mean(axis=0)
        assert closed == pytest.approx(apart @ np.linalg.inv(covariance) @ apart, rel=1e-6)


def test_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        variation.fit(_images(variation.MIN_IMAGES - 1))


def test_arrays_hold_everything() -> None:
    *fitted, good = _images(20)
    model = variation.fit(fitted)
    again = Variation.from_arrays(model.arrays())
    np.testing.assert_array_equal(model.scores(good), again.scores(good))
