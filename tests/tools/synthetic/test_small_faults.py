"""Small faults in photos: as large as asked, on the print, a matter of the seed alone."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.guard.registration import Pose
from inspectd_tools.synthetic.render.label import render
from inspectd_tools.synthetic.render.style import STYLES
from inspectd_tools.synthetic.small_faults.fault import KINDS, SmallFault
from inspectd_tools.synthetic.small_faults.seeding import put_in, scratch_px, sizes_for
from inspectd_tools.synthetic.small_faults.subject import Surface, find_print, print_box, show_print

LABELS = st.tuples(st.sampled_from(sorted(STYLES)), st.integers(0, 2))
SEEDS = st.integers(0, 2**32 - 1)
SCRATCH_PX = 200
"""On photos of 640x480 px."""


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
    assert scratch_px(label(*which)[0]) == SCRATCH_PX
    assert found.mask.sum() <= (width + 0.5) * (SCRATCH_PX + 1)
    assert found.mask.sum() > (width - 0.5) * SCRATCH_PX * 0.5  # the rest may be outside the photo
    assert found.mask[print_.area][print_.ink > 0].sum() >= 0.15 * found.mask.sum()


@settings(max_examples=15)
@given(LABELS, st.floats(1, 6), st.floats(-3, 3), SEEDS)
def test_a_turned_print_has_this_angle_against_its_usual_one_on_the_side_where_it_is(which, angle, lies, seed):
    photo, print_ = label(*which)
    turned = put_in(
        replace(print_, lies=Pose(lies, 0, 0)), SmallFault("turned print", angle), np.random.default_rng(seed)
    )
    turned_by = _angle(turned.image) - _angle(photo)
    assert abs(lies + turned_by) == pytest.approx(angle, abs=0.4)
    assert abs(lies) < 0.1 or (lies + turned_by) * lies > 0


@settings(max_examples=15)
@given(LABELS, st.floats(2, 25), st.floats(-8, 8), st.floats(-8, 8), SEEDS)
def test_a_shifted_print_is_this_far_from_its_usual_place(which, shift, right, down, seed):
    photo, print_ = label(*which)
    lies = replace(print_, lies=Pose(0, right, down))
    after = _centre(put_in(lies, SmallFault("shifted print", shift), np.random.default_rng(seed)).image)
    assert np.hypot(*(after - _centre(photo) + (right, down))) == pytest.approx(shift, abs=1.5)


@settings(max_examples=15)
@given(LABELS, st.floats(0, 1), SEEDS)
def test_a_missing_character_leaves_all_others(which, share, seed):
    photo, print_ = label(*which)
    smallest, largest = sizes_for(print_, "missing character")
    found = seeded(which, "missing character", smallest + share * (largest - smallest), seed)
    ink = print_.ink > 0
    lost = ink & (found.mask[print_.area] > 0)
    assert lost.sum() == pytest.approx(found.fault.size)
    assert smallest <= found.fault.size <= largest
    assert any(np.array_equal(lost, character > 0) for character in print_.characters)
    brighter = found.image.astype(int) - photo
    assert brighter[print_.area][lost].mean() > 20


@settings(max_examples=10)
@given(LABELS, st.floats(0.5, 4), SEEDS)
def test_a_broken_nozzle_leaves_a_line_through_the_whole_print_along_the_text(which, width, seed):
    _, print_ = label(*which)
    mask = seeded(which, "broken nozzle", width, seed).mask
    rows, columns = np.nonzero(mask > 0)
    across = cv2.boundingRect(print_.region)[2]
    assert np.ptp(columns) > 0.9 * across
    assert np.ptp(rows) < 0.1 * across
    assert mask.sum() / np.ptp(columns) == pytest.approx(width, rel=0.1)


@settings(max_examples=10)
@given(LABELS, st.floats(2, 20), SEEDS)
def test_a_smear_darkens_one_place_more_and_farther_the_farther_it_goes(which, drag, seed):
    photo, print_ = label(*which)
    from_ink = cv2.distanceTransform(255 - print_.ink, cv2.DIST_L2, 5)
    darker, farther = (
        (photo.astype(int) - seeded(which, "smear", size, seed).image)[print_.area] for size in (drag, 2 * drag)
    )
    assert darker.sum() > 0
    assert (darker[from_ink > 4] >= 0).all()
    assert from_ink[darker > 3].max() <= drag + 4
    assert farther.sum() > 1.2 * darker.sum()


@pytest.mark.parametrize("style", sorted(STYLES))
@pytest.mark.parametrize("share", [20, 60])
def test_a_faded_print_has_lost_this_share_of_its_darkness(style, share):
    photo, print_ = label(style, 0)
    ink, area = print_.ink > 0, print_.area
    before = (print_.bare.astype(float) - photo[area])[ink].mean()
    after = (print_.bare.astype(float) - seeded((style, 0), "fading", share, 1).image[area])[ink].mean()
    assert 1 - after / before == pytest.approx(share / 100, abs=0.05)


@settings(max_examples=10)
@given(LABELS, st.floats(3, 20), SEEDS)
def test_a_speck_is_on_the_part_beside_the_print_and_only_darkens(which, across, seed):
    photo, print_ = label(*which)
    found = seeded(which, "speck", across, seed)
    assert (found.image <= photo).all()
    left, top, wide, high = found.box
    row, column, off = top + high // 2, left + wide // 2, 2 + int(across / 8)  # a speck is not quite round
    assert print_.part[row - off : row + off + 1, column - off : column + off + 1].any()
    assert found.mask[print_.area][print_.ink > 0].sum() == 0


def test_a_dent_is_as_bright_on_one_side_as_dark_on_the_other():
    photo = np.full((400, 400), 120, np.uint8)
    found = put_in(Surface(photo), SmallFault("dent", 30), np.random.default_rng(1))
    left, top, wide, high = found.box
    assert abs(wide - 30) <= 3
    assert abs(high - 30) <= 3
    change = found.image.astype(float) - photo
    assert change.max() > 20
    assert change.min() < -20
    assert abs(change.sum()) < 0.1 * np.abs(change).sum()


def test_a_blurred_photo_keeps_its_noise_and_loses_its_edges():
    photo = np.full((200, 200), 120.0)
    photo[:, 100:] = 60
    photo = np.clip(photo + np.random.default_rng(0).normal(0, 4, photo.shape), 0, 255).astype(np.uint8)
    image = put_in(Surface(photo), SmallFault("blur", 3), np.random.default_rng(1)).image
    assert image[:, :80].std() == pytest.approx(4, rel=0.15)
    rise = image.mean(axis=0)
    assert 5 < np.count_nonzero((rise > 66) & (rise < 114)) < 12


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_colour_photo_changes_as_its_grey_one_does(kind):
    photo, print_ = label("training", 1)
    tint = np.array([0.6, 0.8, 1.0])
    coloured = np.clip(photo[:, :, None] * tint + 0.5, 0, 255).astype(np.uint8)
    size = np.sqrt(np.prod(sizes_for(print_, kind)))
    grey = put_in(print_, SmallFault(kind, size), np.random.default_rng(3))
    colour = put_in(find_print(coloured), SmallFault(kind, size), np.random.default_rng(3))
    assert colour.image.shape == coloured.shape
    expected = grey.image[:, :, None] * tint
    assert np.abs(colour.image - expected).mean() < (6 if kind == "blur" else 1.5)


@pytest.mark.parametrize("shape", [(480, 640), (60, 200, 3), (40, 40)])
def test_a_photo_without_print_gets_what_needs_none(shape):
    photo = np.random.default_rng(0).integers(100, 130, shape).astype(np.uint8)
    for kind, sizes in KINDS.items():
        if sizes.needs_print:
            with pytest.raises(ValueError, match=r"needs a print|no character"):
                put_in(Surface(photo), SmallFault(kind, sizes_for(Surface(photo), kind)[1]), np.random.default_rng(1))
            continue
        smallest, largest = sizes_for(Surface(photo), kind)
        assert 0 < smallest < largest
        found = put_in(Surface(photo), SmallFault(kind, largest), np.random.default_rng(1))
        assert found.image.shape == shape
        assert not np.array_equal(found.image, photo)
        unchanged = cv2.dilate(found.mask, np.ones((9, 9))) == 0
        np.testing.assert_array_equal(found.image[unchanged], photo[unchanged])
        assert unchanged.any() or kind == "blur"


def test_a_print_is_seen_on_labels_and_not_on_surfaces():
    labels = [label(style, number)[0] for style in STYLES for number in range(3)]
    rng = np.random.default_rng(0)
    noise = [rng.integers(100, 130, (480, 640)).astype(np.uint8) for _ in range(6)]
    stripes = [np.tile(rng.integers(20, 200, (1, 640)), (480, 1)).astype(np.uint8) for _ in range(6)]
    for photos, printed in ((labels, True), (noise, False), (stripes, False)):
        assert show_print([print_box(photo) for photo in photos], [(640, 480)] * len(photos)) is printed


@settings(max_examples=30)
@given(
    LABELS,
    st.sampled_from([kind for kind in KINDS if kind not in ("blur", "missing character", "dent")]),
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
    faint = 5 if kind == "smear" else 1  # a smear ends slowly
    assert (np.abs(first.image.astype(int) - photo)[~near] <= faint).all()
    if kind == "fading":  # nothing is drawn
        return
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
