"""The guard on rendered labels: what it finds, where, and what its file holds."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inspectd.guard import limits, model
from inspectd.guard.model import Guard
from inspectd.guard.placement import Box
from inspectd.guard.registration import NOWHERE
from inspectd.inference.surface_network import compiled
from inspectd.part import Image
from inspectd_tools.synthetic.render.label import Sample, render
from inspectd_tools.synthetic.small_faults.fault import SmallFault
from inspectd_tools.synthetic.small_faults.seeding import put_in
from inspectd_tools.synthetic.small_faults.subject import find_print

_FITTED = 30


def _good(seed: int) -> Sample:
    return render("no_fail", np.random.default_rng([4711, seed]))


@pytest.fixture(scope="module")
def goods() -> list[Sample]:
    return [_good(seed) for seed in range(_FITTED)]


@pytest.fixture(scope="module")
def guard(goods: list[Sample]) -> Guard:
    return model.fit([good.image for good in goods])


def _blot(image: Image, x: int, y: int, size: int) -> Image:
    spoilt = image.copy()
    spoilt[y : y + size, x : x + size] = 60
    return spoilt


def test_a_blot_on_bare_fabric_is_the_worst_place(guard: Guard, goods: list[Sample]) -> None:
    x, y = np.round(goods[0].polygon[3]).astype(int) + np.array([140, 12])  # just below the print
    judgement = guard.judge(_blot(goods[0].image, x, y, 8))
    left, top, width, height = judgement.findings[0].box
    assert judgement.scores[0] > 3 * guard.judge(goods[0].image).scores[0]
    assert left - 4 <= x + 4 <= left + width + 4
    assert top - 4 <= y + 4 <= top + height + 4


def test_a_blot_beside_the_print_is_seen_on_the_part(guard: Guard, goods: list[Sample]) -> None:
    x, y = np.round(goods[0].polygon[0]).astype(int) - (50, 50)
    judgement = guard.judge(_blot(goods[0].image, x, y, 24))
    left, top, width, height = judgement.findings[1].box
    assert judgement.scores[1] > 2 * guard.judge(goods[0].image).scores[1]
    assert left - 8 <= x + 12 <= left + width + 8
    assert top - 8 <= y + 12 <= top + height + 8


def test_measures_angle_and_offset(guard: Guard, goods: list[Sample]) -> None:
    truth = np.array([good.parameters["angle_deg"] for good in goods], float)
    measured = np.array([guard.judge(good.image).measured for good in goods], float)
    difference = measured[:, 0] - truth
    assert np.abs(difference - np.median(difference)).max() < 0.3
    assert np.abs(measured[:, 1:3]).max() < 10  # the renderer shifts by 7 px at most


@pytest.mark.parametrize("lost", [0.2, 0.5])
def test_measures_how_much_of_its_darkness_a_print_has_lost(guard: Guard, goods: list[Sample], lost: float) -> None:
    image = goods[0].image
    pale = put_in(find_print(image, NOWHERE), SmallFault("fading", 100 * lost), np.random.default_rng(1)).image
    before, after = (guard.judge(one).measured for one in (image, pale))
    assert before is not None
    assert after is not None
    assert 1 - (1 - after.fading) / (1 - before.fading) == pytest.approx(lost, abs=0.03)


def test_a_faded_print_is_beyond_the_limit(guard: Guard, goods: list[Sample]) -> None:
    image = goods[0].image
    pale = put_in(find_print(image, NOWHERE), SmallFault("fading", 60), np.random.default_rng(1)).image
    shares = dict(zip(guard.kinds, guard.judge(pale).scores, strict=True))
    chosen = dict(zip(guard.kinds, limits.fit([guard.judge(good.image) for good in goods], 0).largest, strict=True))
    assert shares["faded"] > chosen["faded"]


@pytest.mark.parametrize(
    "kind", ["blank_filter", "upside_down", "wrong_product", "no_filter", "lamp_off", "double_print"]
)
def test_what_is_no_good_label_is_far_from_good_ones(guard: Guard, kind: str) -> None:
    usual = [guard.judge(_good(seed).image) for seed in range(100, 110)]
    chosen = limits.fit(usual, 0)
    assert not chosen.accepts(guard.judge(render(kind, np.random.default_rng(5)).image))
    assert all(chosen.accepts(judgement) for judgement in usual)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_an_image_of_one_grey_is_rejected(guard: Guard, goods: list[Sample], grey: int) -> None:
    chosen = limits.fit([guard.judge(good.image) for good in goods], 0)
    assert not chosen.accepts(guard.judge(np.full((480, 640), grey, np.uint8)))


def test_its_file_holds_exactly_what_was_fitted(guard: Guard, goods: list[Sample], tmp_path: Path) -> None:
    guard.save(tmp_path / "guard.npz")
    loaded = model.load((tmp_path / "guard.npz").read_bytes(), compiled)
    one, other = guard.judge(goods[3].image), loaded.judge(goods[3].image)
    assert one.scores == other.scores
    assert one.measured == other.measured
    np.testing.assert_array_equal(one.maps[0], other.maps[0])


def test_a_guard_of_format_1_does_not_measure_fading(guard: Guard, goods: list[Sample], tmp_path: Path) -> None:
    guard.save(tmp_path / "guard.npz")
    with np.load(tmp_path / "guard.npz") as file:
        arrays = {key: file[key] for key in file if key != "fading"} | {"format": np.array(1)}
    old = io.BytesIO()
    np.savez(old, **arrays)
    loaded = model.load(old.getvalue(), compiled)
    assert loaded.kinds == ("print", "part", "turned", "shifted")
    assert loaded.judge(goods[0].image).scores == guard.judge(goods[0].image).scores[:4]


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no", b"\x00" * 100])
def test_refuses_another_file(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a guard's file"):
        model.load(data, compiled)


def test_refuses_a_newer_format() -> None:
    file = io.BytesIO()
    np.savez(file, format=np.array(model.FORMAT + 1))
    with pytest.raises(ValueError, match="this inspectd reads"):
        model.load(file.getvalue(), compiled)


@pytest.mark.parametrize("image", [np.zeros((480, 641), np.uint8), np.zeros((480, 640), np.float32)])
def test_refuses_another_size_or_type(guard: Guard, image: Image) -> None:
    with pytest.raises(ValueError, match="expected 480x640"):
        guard.judge(image)


@pytest.fixture(scope="module")
def bare() -> list[Image]:
    """Products without print."""
    return [render("blank_filter", np.random.default_rng(seed)).image for seed in range(30)]


def test_without_a_print_it_looks_at_the_part_alone(bare: list[Image], tmp_path: Path) -> None:
    fitted = model.fit(bare[:20])
    fitted.save(tmp_path / "guard.npz")
    guard = model.load((tmp_path / "guard.npz").read_bytes(), compiled)
    usual = [guard.judge(image) for image in bare[20:]]
    chosen = limits.fit(usual, 0)
    assert guard.kinds == ("part",)
    assert usual[0].measured is None
    assert usual[0].scores == fitted.judge(bare[20]).scores
    judgement = guard.judge(_blot(bare[20], 300, 240, 12))
    assert not chosen.accepts(judgement)
    left, top, width, height = judgement.findings[0].box
    assert left - 8 <= 306 <= left + width + 8
    assert top - 8 <= 246 <= top + height + 8


def test_a_pattern_all_over_the_image_is_no_print() -> None:
    rng = np.random.default_rng(2)
    pattern = np.full((240, 320), 210, np.float32)
    pattern[np.kron(rng.random((30, 40)) < 0.3, np.ones((8, 8))) > 0] = 60
    images = [np.clip(pattern + rng.normal(0, 3, pattern.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    guard = model.fit(images[:6])
    assert guard.kinds == ("part",)
    good = guard.judge(images[7]).scores[0]
    assert guard.judge(_blot(images[7], 100, 100, 16)).scores[0] > 3 * good


def test_the_region_of_the_print_can_be_given(goods: list[Sample]) -> None:
    region = Box(200, 160, 440, 320)
    guard = model.fit([good.image for good in goods[:8]], region)
    assert guard.judge(goods[0].image).findings[2].box == (200, 160, 240, 160)


def test_limits_reject_no_more_than_asked(guard: Guard) -> None:
    judgements = [guard.judge(_good(seed).image) for seed in range(200, 240)]
    for rejected in (0.0, 0.05, 0.2):
        chosen = limits.fit(judgements, rejected)
        assert sum(not chosen.accepts(judgement) for judgement in judgements) <= rejected * len(judgements)


def test_a_score_that_is_no_number_is_rejected(guard: Guard, goods: list[Sample]) -> None:
    judgement = guard.judge(goods[0].image)
    chosen = limits.fit([judgement, judgement], 0)
    *others, last = judgement.findings
    broken = replace(judgement, findings=(*others, replace(last, score=float("nan"))))
    assert chosen.accepts(judgement)
    assert not chosen.accepts(broken)
