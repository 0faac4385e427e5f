"""The section `text` at the start of a line, at a reload, and in `inspectd check`."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from structlog.testing import capture_logs

from inspectd.cli import main
from inspectd.config import load_config
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd.line.judges import Judges
from inspectd.service.operator import Operator
from inspectd.service.reload import Reload
from inspectd.text.config import TextConfig
from inspectd.text.verification import load_verification
from tests.factories import make_coded_bundle, make_toy_bundle

RULES = {
    "lot": {"from": "given"},
    "date": {"from": "date", "format": "%y%m%d", "grace_s": 5},
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_coded_bundle(tmp_path_factory.mktemp("coded") / "toy")


def text() -> dict[str, Any]:
    """The lot is in a code; the date is read from the same one."""
    fields = {
        name: {"kind": "code", "symbology": "data_matrix", "box": [96, 24, 40, 40], "expect": dict(expect)}
        for name, expect in RULES.items()
    }
    return {"time_zone": "UTC", "clock": "set_by_hand", "fields": fields}


@pytest.fixture(scope="module")
def running(bundle: Path) -> Judges:
    engine = load_engine(load_bundle(bundle), InferenceConfig())
    return Judges(engine, load_verification(TextConfig.model_validate(text()), InferenceConfig(), engine))


@pytest.fixture
def line(tmp_path: Path, bundle: Path) -> dict[str, Any]:
    (tmp_path / "images").mkdir()
    return {
        "engine": str(bundle),
        "camera": {"kind": "replay", "source": "images", "max_age_ms": 80},
        "gate": {
            "wiring": "pulse_to_reject",
            "delay_ms": 100,
            "width_ms": 1,
            "output": {"kind": "simulated", "record": str(tmp_path / "output.jsonl")},
        },
        "journal": {"path": str(tmp_path / "journal.sqlite")},
        "text": text(),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "line.yaml"


def write(path: Path, line: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(line))
    return path


def reloaded(path: Path, running: Judges) -> tuple[Judges | None, list[str]]:
    with capture_logs() as logs:
        reload = Reload(path, load_config(path), None, running.texts)
        while not reload.done:
            time.sleep(0.01)
    return reload.judges, [str(log.get("error", log["event"])) for log in logs]


def test_a_reload_keeps_what_was_told_while_the_rules_stay(path: Path, line: dict[str, Any], running: Judges) -> None:
    assert running.texts is not None
    line["text"]["fields"]["lot"]["box"] = [95, 24, 40, 40]
    judges, _ = reloaded(write(path, line), running)
    assert judges is not None
    assert judges.texts is not None
    assert judges.texts.expectations is running.texts.expectations
    assert judges.texts.config.fields["lot"].box == (95, 24, 40, 40)


def test_with_other_rules_the_line_must_be_told_again(path: Path, line: dict[str, Any], running: Judges) -> None:
    line["text"]["fields"]["date"]["expect"] = {"from": "constant", "value": "261127"}
    judges, said = reloaded(write(path, line), running)
    assert judges is not None
    assert judges.texts is not None
    assert running.texts is not None
    assert judges.texts.expectations is not running.texts.expectations
    assert "the rules of the text fields have changed: tell the line again what it must expect" in said


class OneLine:
    """What the operator needs of a line."""

    image_size = None

    def __init__(self, judges: Judges) -> None:
        self.judges = judges

    def swap(self, judges: Judges) -> None:
        self.judges = judges

    def acknowledge(self, by: object) -> None:
        pass


def test_what_is_told_right_after_a_reload_is_told_to_the_new_texts(
    path: Path, line: dict[str, Any], running: Judges
) -> None:
    config, one_line = load_config(write(path, line)), OneLine(running)
    control: Any = SimpleNamespace(expect=None, take=lambda: None)
    notifier: Any = SimpleNamespace(reloading=lambda: None, ready=lambda: None)
    signals: Any = SimpleNamespace(acknowledge=False, reload=True)
    operator = Operator(path, config, cast(Any, one_line), signals, control, notifier, cast(Any, None))
    line["text"]["fields"]["date"]["expect"] = {"from": "constant", "value": "261127"}
    write(path, line)
    while one_line.judges is running:
        operator.beat(cast(Any, None))
        time.sleep(0.01)
    assert one_line.judges.texts is not None
    assert control.expect == one_line.judges.texts.expectations.give


@pytest.mark.parametrize(
    ("change", "is_other"),
    [
        (lambda text: text["fields"]["date"]["expect"].update(grace_s=6), True),
        (lambda text: text["fields"]["lot"].update(pattern="[0-9]{6}"), True),
        (lambda text: text["fields"].pop("date"), True),
        (lambda text: text.update(time_zone="Europe/Berlin"), True),
        (lambda text: text.update(clock="synchronised"), True),
        (lambda text: text["fields"]["lot"].update(box=[0, 0, 40, 40]), False),
        (lambda text: text.update(reader="another"), False),
    ],
)
def test_rules_are_what_decides_which_texts_are_right(line: dict[str, Any], change: Any, is_other: bool) -> None:
    before = TextConfig.model_validate(line["text"]).rules
    change(line["text"])
    assert (TextConfig.model_validate(line["text"]).rules != before) == is_other


def test_without_a_guard_that_finds_the_print_no_line_starts(
    path: Path, line: dict[str, Any], running: Judges, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line["engine"] = str(make_toy_bundle(tmp_path / "alone"))
    refused, (reason,) = reloaded(write(path, line), running)
    assert refused is None
    assert "the engine has no guard that finds the print" in reason
    assert main(["run", "--config", str(path)]) == 78
    assert "the engine has no guard that finds the print" in capfd.readouterr().err


def test_check_says_what_a_label_must_say_now(
    path: Path, line: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check", "--config", str(write(path, line))])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "all fields are inside the print" in said
    assert f"must say {time.strftime('%y%m%d', time.gmtime())} now" in said
    assert "this command does not know what it must say" in said


def test_check_says_which_field_is_beyond_the_print(
    path: Path, line: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    line["text"]["fields"]["lot"]["box"] = [960, 24, 40, 40]
    assert main(["check", "--config", str(write(path, line))]) == 1
    assert "text.fields.lot.box" in "".join(capsys.readouterr().out.replace("│", " ").split())
