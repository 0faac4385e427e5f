import numpy as np
import pytest

from inspectd.errors import EngineError
from inspectd.text.judging import Judge
from inspectd_tools.text.calibration import USUAL_ALPHA, Scored, calibrated, lines_needed, score
from inspectd_tools.text.lines import Line
from inspectd_tools.text.texts import ALPHABET

HALF = float(np.log(0.5))
CROP = np.zeros((32, 96), np.uint8)


def scored(right: list[float], near_miss: list[float]) -> Scored:
    lines = [Line(CROP, "748", None)] * len(right)
    return Scored(lines, np.array(right), np.array(near_miss), ["749"] * len(right))


def test_two_badly_printed_lines_do_not_choose_the_threshold() -> None:
    count = lines_needed(USUAL_ALPHA)
    font = calibrated("jet", "0123", scored([-0.01] * count, [-9.0] * (count - 2) + [-0.1] * 2), "jet.ttf", USUAL_ALPHA)
    assert count == 3147
    assert (font.threshold, font.near_misses_accepted) == (pytest.approx(HALF), 2)
    assert font.false_accept_bound <= USUAL_ALPHA


def test_a_text_must_be_more_probable_than_not() -> None:
    font = calibrated("jet", "0123", scored([-0.01] * 3000, [-9.0] * 3000), "jet.ttf", 0.001)
    assert font.threshold == pytest.approx(HALF)
    assert (font.right_rejected, font.near_misses_accepted, font.characters) == (0, 0, "0123")
    assert font.false_accept_bound <= 0.001


def test_near_misses_raise_the_threshold() -> None:
    font = calibrated("jet", "0123", scored([-0.01] * 3000, [-9.0] * 2999 + [-0.2]), "jet.ttf", 0.001)
    assert -0.2 < font.threshold < -0.1999
    assert font.near_misses_accepted == 0


def test_more_lines_allow_for_a_few_near_misses() -> None:
    font = calibrated("jet", "0123", scored([-0.01] * 10_000, [-9.0] * 9997 + [-0.2] * 3), "jet.ttf", 0.001)
    assert (font.threshold, font.near_misses_accepted) == (pytest.approx(HALF), 3)
    assert font.false_accept_bound <= 0.001


def test_few_lines_claim_only_what_they_show() -> None:
    font = calibrated("jet", "0123", scored([-0.01] * 100, [-9.0] * 100), "crops", 0.001)
    assert font.alpha == font.false_accept_bound == pytest.approx(0.0295, abs=0.0005)


def test_a_font_that_is_not_learned_is_refused() -> None:
    with pytest.raises(EngineError, match="the font jet is not learned: of 1000 right lines 20 are rejected"):
        calibrated("jet", "0123", scored([-0.01] * 980 + [-3.0] * 20, [-9.0] * 1000), "jet.ttf", 0.001)
    with pytest.raises(EngineError, match="not learned"):
        calibrated("jet", "0123", scored([-0.01] * 1000, [0.0] * 1000), "jet.ttf", 0.001)


def test_each_line_counts_with_the_near_miss_that_fits_best() -> None:
    def log_probs(_: np.ndarray) -> np.ndarray:
        """A clear 7 4 8, of which the 8 looks a little like a 3."""
        probs = np.full((24, 2 + len(ALPHABET)), 1e-5)
        probs[:, 0] = 1
        for column, character in ((4, "7"), (10, "4"), (18, "8")):
            probs[column, [0, 2 + ALPHABET.index(character)]] = 1e-5, 1
        probs[18, 2 + ALPHABET.index("3")] = 0.1
        return np.log(probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)

    found = score("jet", ALPHABET, [Line(CROP, "748", None)], log_probs, Judge(ALPHABET), np.random.default_rng(0))
    assert found.near_miss_texts == ["743"]
    assert found.right[0] == pytest.approx(np.log(1 / 1.1), abs=0.05)
    assert found.near_miss[0] == pytest.approx(np.log(0.1 / 1.1), abs=0.05)
    digits = score("jet", "0124589", [Line(CROP, "748", None)], log_probs, Judge(ALPHABET), np.random.default_rng(0))
    assert digits.near_miss[0] < -5
