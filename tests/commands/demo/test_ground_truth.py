"""Labels that the guard stopped: from the journal to the demo's figures and its page of rejects."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspectd.commands.demo.ground_truth import Comparison, Truth, compare, read_rows
from inspectd.commands.demo.run import _show
from inspectd.gate.outcome import Outcome
from tests.records.test_journal import (
    FAULT,
    NOT_EXPECTED,
    PASS,
    RIGHT_LOT,
    STAGES,
    STOPPED,
    UNKNOWN_LOT,
    WRONG,
    WRONG_DATE,
    open_journal,
    part,
)

TRUTH = [
    Truth("good.png", "good", ""),
    Truth("bad.png", "bad", ""),
    Truth("ink.png", "unknown", "ink"),
    Truth("good.png", "good", ""),
]


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    for number, verdict in enumerate((STOPPED, STOPPED, STOPPED, PASS, FAULT)):
        journal.append(part(number), verdict, STAGES)
        journal.amend_outcome(number, Outcome.PASSED if verdict is PASS else Outcome.REJECTED, 0)
    journal.close()
    return compare(read_rows(path), TRUTH, "good")


def test_what_the_guard_stopped_is_counted_by_what_it_was(comparison):
    assert [row.anomaly for row, _ in comparison.judged] == [STOPPED.anomaly] * 3 + [None]
    assert (comparison.good_rejected, comparison.good) == (1, 2)
    assert (comparison.faulty_passed, comparison.faulty) == (0, 1)
    assert (comparison.unknown_passed, comparison.unknown) == (0, 1)
    assert comparison.table() == {
        "bad": {"anomaly": 1},
        "good": {"anomaly": 1, "pass": 1},
        "unknown_ink": {"anomaly": 1},
    }


def test_the_page_of_rejects_frames_what_the_guard_found(comparison, tmp_path, capsys):
    for entry in TRUTH:
        cv2.imwrite(str(tmp_path / entry.file), np.full((480, 640), 90, np.uint8))
    _show(comparison, tmp_path, tmp_path)
    page = cv2.imread(str(tmp_path / "rejects.png"))
    yellow = (page == (66, 228, 240)).all(axis=2)
    left, top, width, height = (side // 2 for side in STOPPED.anomaly.box)  # a tile shows the label at half its size
    for number in range(3):
        tile = yellow[:240, 320 * number : 320 * (number + 1)]
        assert not tile[top : top + height, left : left + width].any()
        assert tile[top - 7 : top + height + 7, left - 7 : left + width + 7].sum() == tile.sum() > 100
    assert not yellow[:, 3 * 320 :].any()
    assert json.loads((tmp_path / "summary.json").read_text())["by_truth"]["unknown_ink"] == {"anomaly": 1}
    assert "anomaly" in capsys.readouterr().out


def test_the_page_of_rejects_frames_the_wrong_character(tmp_path, capsys):
    path = tmp_path / "journal.sqlite"
    journal = open_journal(path)
    journal.append(part(0), WRONG, STAGES, [RIGHT_LOT, WRONG_DATE])
    journal.append(part(1), NOT_EXPECTED, STAGES, [UNKNOWN_LOT])
    journal.append(part(2), PASS, STAGES, [RIGHT_LOT])
    journal.close()
    rows = read_rows(path)
    assert [row.said for row in rows] == ["text_wrong date 24.11.2026", "text_not_expected lot", "pass"]
    assert [row.place for row in rows] == [WRONG_DATE.box, UNKNOWN_LOT.box, None]
    truth = [Truth("date.png", "bad", "yesterday"), Truth("lot.png", "good", ""), Truth("good.png", "good", "")]
    for entry in truth:
        cv2.imwrite(str(tmp_path / entry.file), np.full((480, 640), 90, np.uint8))
    comparison = compare(rows, truth, "good")
    assert (comparison.faulty_passed, comparison.good_rejected) == (0, 1)
    _show(comparison, tmp_path, tmp_path)
    yellow = (cv2.imread(str(tmp_path / "rejects.png")) == (66, 228, 240)).all(axis=2)
    for number, check in enumerate((WRONG_DATE, UNKNOWN_LOT)):
        left, top, width, height = (side // 2 for side in check.box)
        tile = yellow[:240, 320 * number : 320 * (number + 1)]
        assert tile[max(top - 9, 0) : top + height + 9, max(left - 9, 0) : left + width + 9].sum() == tile.sum() > 40
    assert "text" in capsys.readouterr().out
