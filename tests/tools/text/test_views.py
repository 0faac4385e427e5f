"""Conditions that a reader was not trained for."""

import numpy as np
import pytest

from inspectd_tools.text.fonts import font
from inspectd_tools.text.lines import UNSEEN, render
from inspectd_tools.text.views import VIEWS


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_changes_a_line_but_leaves_its_text_in_place(name):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        line = render("LOT 7481-83", font("sans=printer:sans").face, 0, rng, UNSEEN, fit=True)
        seen = VIEWS[name](line.crop, np.random.default_rng(seed))
        assert seen.shape == line.crop.shape
        assert seen.dtype == np.uint8
        assert 2 < np.abs(seen.astype(float) - line.crop).mean() < 60
        columns, before = (-crop.astype(float).min(axis=0) for crop in (seen, line.crop))
        assert np.corrcoef(columns, before)[0, 1] > 0.4
