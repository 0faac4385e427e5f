"""The trial of wrong texts, on a line that verifies only the code of its labels."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from inspectd.errors import ConfigError
from inspectd.files.yaml_file import dump_yaml, read_yaml
from inspectd.shipped import shipped
from inspectd_tools.benchmarks.wrong_text import Counts, measure

CODE = {"kind": "code", "symbology": "data_matrix", "box": [271, 88, 153, 153], "expect": {"from": "given"}}
IN_THE_CODE = ("yesterday", "other_lot", "other_product", "code_disagrees")


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def line(tmp_path: Path, text: dict[str, object] | None) -> Path:
    values = read_yaml(shipped("config/demo.yaml"), "")
    values["engine"] = str(shipped("engines/filter-label"))
    values["text"] = text
    path = tmp_path / "line.yaml"
    path.write_text(dump_yaml(values))
    return path


def test_what_the_code_says_wrong_is_rejected_and_what_only_the_text_says_is_not(tmp_path: Path) -> None:
    tables, figures = measure(line(tmp_path, {"fields": {"code": CODE}}), Counts(2, 7, 2, 6), seed=5)
    kinds = figures["kinds"]
    assert {kind: result["labels"] for kind, result in kinds.items() if result["labels"] != 1} == {
        "no_fail": 2,
        "code_disagrees": 2,
    }
    for kind, result in kinds.items():
        text = sum(result["by_text"].values())
        assert result["labels"] == result["passed"] + text + result["before"]
        assert text == result["names_place"]
        assert result["text_alone"] == (result["labels"] if kind in IN_THE_CODE else 0)
        assert not (kind in IN_THE_CODE and result["passed"])
    assert kinds["code_disagrees"]["by_text"] == {"code code_wrong": 2}
    assert figures["codes"]["within the error correction"] == {"right": 3}
    assert figures["codes"]["beyond it"].keys() <= {"right", "not read"}
    assert [table.row_count for table in tables] == [len(kinds), 2]


def test_a_line_that_verifies_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this benchmark needs a line that verifies texts"):
        measure(line(tmp_path, None), Counts(1, 0, 0, 0), seed=5)
