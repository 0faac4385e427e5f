"""The shipped engine and the shipped reader on rendered labels, through a line to the coil: only the right text passes."""

from dataclasses import replace
from datetime import date, time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspectd.errors import ConfigError
from inspectd.inference import Engine, InferenceConfig, load_bundle, load_engine
from inspectd.part import Frame
from inspectd.shipped import shipped
from inspectd.text.config import TextConfig
from inspectd.text.verification import load_verification
from inspectd_tools.synthetic.render.label import render
from inspectd_tools.synthetic.render.label_text import LabelText
from inspectd_tools.synthetic.render.style import TRAINING
from tests.line.test_line import Camera
from tests.line.test_texts import finish, verifying

pytestmark = pytest.mark.alone

RIGHT = LabelText("09G 325 429 A", "7481-83", date(2026, 11, 25), time(12, 34), "S1")
FIELDS: dict[str, Any] = {
    "part_number": {"box": [84, 23, 324, 56]},
    "lot": {"box": [22, 87, 254, 42], "pattern": "LOT [0-9]{4}-[0-9]{2}"},
    "date": {"box": [22, 135, 254, 42], "pattern": "[0-9]{4}-[0-9]{2}-[0-9]{2}"},
    "time": {"box": [22, 183, 206, 42]},
}
KINDS = (
    "no_fail",
    "yesterday",
    "other_lot",
    "no_fail",
    "other_product",
    "lost_character",
    "code_disagrees",
    "swapped_date",
)


class Rendered(Camera):
    """One label of each kind, again and again; noise makes each image another one."""

    def __init__(self) -> None:
        super().__init__()
        style = replace(TRAINING, fonts=("dots",))
        self._labels = [render(kind, np.random.default_rng(n), style, expected=RIGHT) for n, kind in enumerate(KINDS)]

    def grab(self, timeout_ms: float) -> Frame | None:
        frame = super().grab(timeout_ms)
        assert frame is not None
        label = self._labels[frame.number % len(KINDS)].image
        noise = np.random.default_rng(frame.number).integers(0, 2, label.shape, np.uint8)
        return replace(frame, image=np.clip(label, 0, 254) + noise)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine(load_bundle(shipped("engines/filter-label")), InferenceConfig())


def section(**changes: Any) -> TextConfig:
    fields: dict[str, Any] = {
        name: {
            "kind": "text",
            "font": "dots",
            "expect": {"from": "constant", "value": RIGHT.fields[name]},
            **FIELDS[name],
        }
        for name in FIELDS
    }
    value = {"from": "constant", "value": RIGHT.code}
    fields["code"] = {"kind": "code", "symbology": "data_matrix", "box": [293, 108, 108, 108], "expect": value}
    for name, change in changes.items():
        fields[name] |= change
    reader = str(shipped("engines/filter-label-reader"))
    return TextConfig.model_validate({"reader": reader, "time_zone": "Europe/Berlin", "fields": fields})


def test_only_labels_with_the_right_text_pass(tmp_path: Path, engine: Engine) -> None:
    texts = load_verification(section(), InferenceConfig(), engine)
    with verifying(tmp_path, engine, Rendered(), texts) as run:
        run.until(
            lambda: run.line.books.tally().passed >= 4 and run.line.books.tally().faults.get("text_wrong", 0) >= 6
        )
        rows = finish(run, tmp_path)
        found = {(row["part"], row["field"]): row for row in run.rows("SELECT * FROM texts")}
    for row in rows:
        kind = KINDS[row["frame_number"] % len(KINDS)]
        assert row["verdict"] != "pass" or kind == "no_fail"
        if row["verdict"] == "fault":
            assert kind != "no_fail"
            assert row["reason"] in ("text_wrong", "text_unreadable", "code_wrong")
            assert (row["reason"] == "code_wrong") == (kind == "code_disagrees")
            if kind == "yesterday":
                date_found = found[row["id"], "date"]
                assert (date_found["verdict"], date_found["found"]) == ("text_wrong", "2026-11-24")
                wrong = [date_found[f"character{part}"] for part in ("", "_expected", "_found")]
                assert wrong == [9, "5", "4"]
    assert {KINDS[row["frame_number"] % len(KINDS)] for row in rows if row["verdict"] == "fault"} >= {
        "yesterday",
        "other_lot",
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"font": "comic"}, r"text\.fields\.time\.font: the reader .* is not calibrated for 'comic'; it knows dots, "),
        ({"expect": {"from": "constant", "value": "12:34 ß"}}, r"text\.fields\.time: .* is not calibrated for 'ß'"),
        ({"expect": {"from": "given", "printed": "Los {}"}}, r"text\.fields\.time: .* for 'o', 's'"),
        ({"expect": {"from": "date", "format": "%d %b"}}, r"text\.fields\.time: .* for 'a', 'b', 'c'"),
        ({"pattern": "[0-9]{2}:[0-9]{2}Ä", "expect": {"from": "pattern"}}, r"text\.fields\.time: .* for 'Ä'"),
        ({"box": [0, 0, 432, 4]}, r"text\.fields\.time\.box: the box is 432x4 px"),
    ],
)
def test_a_field_that_the_reader_can_not_read_is_refused(engine: Engine, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_verification(section(time=change), InferenceConfig(), engine)
