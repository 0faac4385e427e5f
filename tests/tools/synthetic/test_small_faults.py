"""Small faults in photos: as large as asked, on the print, a matter of the seed alone."""

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd_tools.synthetic.render.label import render
from inspectd_tools.synthetic.render.style import STYLES
from inspectd_tools.synthetic.small_faults import SCRATCH_PX, SmallFault, find_print, put_in

LABELS = st.tuples(st.sampled_from(sorted(STYLES)), st.integers(0, 2))
SEEDS = st.integers(0, 2**32 - 1)


@cache
def label(style: str, number: int):
    """The photo of a good label and its print."""
    photo = render("no_fail", np.random.default_rng([31, number]), STYLES[style]).image
    return photo, find_print(photo)


def seeded(label_, kind: str, size: float, seed: int):
    return put_in(label(*label_)[1], SmallFault(kind, size), np.random.default_rng(seed))


@pytest.mark.parametrize("style", sorted(STYLES))
def test_the_print_that_is_found_is_the_one_that_was_rendered(style):
    for number in range(3):
        drawn = render("no_fail", np.random.default_rng([31, number]), STYLES[style])
        truth = np.zeros_like(drawn.image)
        cv2.fillPoly(truth, [np.round(drawn.polygon).astype(np.int32)], 255)
        found = np.zeros_like(drawn.image)
        _, print_ = label(style, number)
        found[print_.area] = print_.region
        both = cv2.countNonZero(truth & found)
        assert both > 0.9 * cv2.countNonZero(found)
        assert both > 0.8 * cv2.countNonZero(truth)


@settings(max_examples=25)
@given(LABELS, st.integers(8, 48), SEEDS)
def test_lost_ink_is_a_square_of_this_size_on_ink_and_only_brightens(which, side, seed):
    photo, print_ = label(*which)
    found = seeded(which, "lost ink", side, seed)
    assert abs(np.sqrt(found.mask.sum()) - side) < max(0.6, 0.05 * side)
    assert (found.mask[print_.area][print_.ink > 0] > 0).any()
    changed = np.abs(found.image.astype(int) - photo) > 1
    assert changed.any()
    assert (found.image.astype(int) - photo)[changed].mean() > 0


@settings(max_examples=25)
@given(LABELS, st.integers(6, 40), SEEDS)
def test_spatter_has_this_diameter_lies_half_on_bare_surface_and_only_darkens(which, across, seed):
    photo, print_ = label(*which)
    found = seeded(which, "spatter", across, seed)
    assert 0.7 * across < 2 * np.sqrt(found.mask.sum() / np.pi) < 1.3 * across
    assert found.mask[print_.area][print_.ink > 0].sum() <= 0.5 * found.mask.sum()
    assert (found.image <= photo).all()
    assert (found.image < photo).any()


@settings(max_examples=25)
@given(LABELS, st.sampled_from([2, 3, 5, 8]), SEEDS)
def test_a_scratch_has_this_width_and_goes_through_ink(which, width, seed):
    _, print_ = label(*which)
    found = seeded(which, "scratch", width, seed)
    assert found.mask.sum() <= (width + 0.5) * (SCRATCH_PX + 1)
    assert found.mask.sum() > (width - 0.5) * SCRATCH_PX * 0.5  # the rest may be outside the photo
    assert found.mask[print_.area][print_.ink > 0].sum() >= 0.15 * found.mask.sum()


@settings(max_examples=15)
@given(LABELS, st.floats(2, 6), SEEDS)
def test_a_turned_print_is_turned_by_this_angle(which, angle, seed):
    before = _angle(label(*which)[0])
    after = _angle(seeded(which, "turned print", angle, seed).image)
    assert abs(after - before) == pytest.approx(angle, abs=0.4)


@settings(max_examples=15)
@given(LABELS, st.floats(5, 25), SEEDS)
def test_a_shifted_print_is_shifted_this_far(which, shift, seed):
    before, after = _centre(label(*which)[0]), _centre(seeded(which, "shifted print", shift, seed).image)
    assert np.hypot(*(after - before)) == pytest.approx(shift, abs=1.5)


@settings(max_examples=20)
@given(
    LABELS,
    st.sampled_from(["lost ink", "spatter", "scratch", "turned print", "shifted print"]),
    st.integers(2, 20),
    SEEDS,
)
def test_the_seed_decides_all_and_only_what_is_masked_changes(which, kind, size, seed):
    photo, print_ = label(*which)
    before = photo.copy()
    first, again = seeded(which, kind, size, seed), seeded(which, kind, size, seed)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    np.testing.assert_array_equal(photo, before)
    near = cv2.dilate(first.mask, np.ones((11, 11))) > 0  # edges of ink, and of the lens
    assert (np.abs(first.image.astype(int) - photo)[~near] <= 1).all()
    others = [seeded(which, kind, size, seed + other).image for other in range(1, 12)]
    assert not all(np.array_equal(first.image, other) for other in others)  # a turn has two directions only


def test_a_photo_without_print_is_refused():
    with pytest.raises(ValueError, match="no print found"):
        find_print(np.full((480, 640), 180, np.uint8))


def _ink(image):
    print_ = find_print(image)
    ink = np.zeros_like(image)
    ink[print_.area] = print_.ink
    return ink


def _angle(image):
    """Of the principal axis of the ink, in degrees."""
    of = cv2.moments(_ink(image), binaryImage=True)
    return np.rad2deg(np.arctan2(2 * of["mu11"], of["mu20"] - of["mu02"]) / 2)


def _centre(image):
    ys, xs = np.nonzero(_ink(image))
    return np.array([xs.mean(), ys.mean()])
