"""What a surface finds on the map of its network: spots and lines."""

import numpy as np
import pytest

from inspectd.guard import limits
from inspectd.guard.model import Guard
from inspectd.guard.surface import CELL_PX, KINDS, Surface

ROWS, COLUMNS = 30, 40


def noise(seed):
    return np.random.default_rng([47, seed]).normal(-4, 0.5, (ROWS, COLUMNS)).astype(np.float32)


def judged(logits):
    surface = Surface(b"", lambda image: logits[None, None])
    return Guard(None, surface).judge(np.zeros((ROWS * CELL_PX, COLUMNS * CELL_PX), np.uint8))


LIMITS = limits.fit([judged(noise(seed)) for seed in range(60)], 0.02)
UP, ACROSS, DOWN_RIGHT, UP_RIGHT = (1, 0), (0, 1), (1, 1), (-1, 1)


@pytest.mark.parametrize("step", [UP, ACROSS, DOWN_RIGHT, UP_RIGHT])
@pytest.mark.parametrize("edge", [False, True])
def test_a_faint_line_is_found_where_it_is(step, edge):
    logits = noise(100)
    rows, columns = (
        start + np.arange(9) * one for start, one in zip((14 - 4 * step[0], 2 if edge else 16), step, strict=True)
    )
    logits[rows, columns] += 1.6
    judgement = judged(logits)
    assert not LIMITS.accepts(judgement)
    scores = np.array(judgement.scores) / LIMITS.largest
    assert scores.argmax() >= 2  # not a spot
    left, top, width, height = judgement.findings[int(scores.argmax())].box
    middle_x, middle_y = (CELL_PX * (one[4] + 0.5) for one in (columns, rows))
    assert left < middle_x < left + width
    assert top < middle_y < top + height


def test_a_spot_is_not_a_line():
    logits = noise(101)
    logits[15:17, 20:22] += 12
    scores = np.array(judged(logits).scores) / LIMITS.largest
    assert scores[0] > 1
    assert scores[0] == scores.max()


def test_a_level_that_differs_from_photo_to_photo_is_not_a_line():
    lines = [judged(noise(102) + level).scores[2:] for level in (-2, 0, 1)]
    np.testing.assert_allclose(lines, [lines[0]] * 3, rtol=0.1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_numbers_never_pass(value):
    logits = noise(103)
    logits[3, 5] = value
    assert not LIMITS.accepts(judged(logits))


def test_the_smallest_image_has_all_findings():
    surface = Surface(b"", lambda image: np.zeros((1, 1, 8, 8), np.float32))
    findings, _ = surface.look(np.zeros((64, 64), np.uint8))
    assert tuple(finding.kind for finding in findings) == KINDS
