"""`inspectd check`, `engines`, `demo` and `schema`, as a user calls them."""

import json

import cv2
import pytest
import yaml

from inspectd.cli import main
from tests.factories import GREY_OF_CLASS, UNKNOWN_GREY, make_toy_bundle, toy_image


@pytest.fixture
def line(tmp_path):
    """A line config on the emulated camera, with a toy engine; returns (config file, its values)."""
    make_toy_bundle(tmp_path / "engines" / "toy")
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "0.png"), toy_image("no_fail"))
    values = {
        "engine": "engines/toy",
        "camera": {
            "kind": "pylon",
            "emulated": {"images": "images"},
            "trigger": {"source": "software", "rate_hz": 40},
            "max_age_ms": 90,
        },
        "gate": {
            "wiring": "pulse_to_reject",
            "delay_ms": 120,
            "width_ms": 20,
            "max_lateness_ms": 200,  # of an ordinary thread on any machine
            "realtime_priority": 0,
            "output": {"kind": "simulated", "record": "output.jsonl"},
        },
        "journal": {"path": "journal.sqlite"},
    }
    return tmp_path / "line.yaml", values


def write(line) -> str:
    path, values = line
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_check_of_a_line_that_has_everything(line, capsys):
    assert main(["check", "--config", write(line)]) == 0
    out = capsys.readouterr().out
    assert "FAIL" not in out
    for what in ("config", "engine", "camera", "output", "real time", "journal", "clock"):
        assert what in out


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("camera", {"emulated": {"images": "nowhere"}}, "camera"),
        ("camera", {"exposure_us": 9_000_000}, "camera"),
        ("engine", "engines/none", "engine"),
        ("gate", {"output": {"kind": "modbus", "host": "127.0.0.1", "port": 1, "actuator_coil": 0}}, "output"),
    ],
)
def test_check_names_what_fails(line, capsys, key, value, what):
    _, values = line
    values[key] = {**values[key], **value} if isinstance(value, dict) else value
    assert main(["check", "--config", write(line)]) == 1
    (failed,) = [row for row in capsys.readouterr().out.splitlines() if "FAIL" in row]
    assert what in failed


def test_engines_lists_good_and_damaged_bundles(tmp_path, capsys):
    make_toy_bundle(tmp_path / "good")
    make_toy_bundle(tmp_path / "damaged")
    with (tmp_path / "damaged" / "model.onnx").open("r+b") as file:
        file.write(b"x")
    assert main(["engines", "list", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "good" in out
    assert "damaged" in out
    main(["engines", "list", str(tmp_path), "--json"])
    listed = {entry["engine"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert listed.keys() == {"good", "damaged"}
    assert "model.onnx" in listed["damaged"]["refused"]


def test_engines_lists_where_links_lead(tmp_path, capsys):
    make_toy_bundle(tmp_path / "toy-1.0.0")
    (tmp_path / "toy").symlink_to("toy-1.0.0")
    assert main(["engines", "list", str(tmp_path)]) == 0
    assert "toy ->" in capsys.readouterr().out
    assert main(["engines", "list", str(tmp_path), "--json"]) == 0
    listed = {entry["engine"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert listed["toy"]["link_to"] == "toy-1.0.0"
    assert "link_to" not in listed["toy-1.0.0"]
    assert listed["toy"]["hash"] == listed["toy-1.0.0"]["hash"]


@pytest.fixture
def labels(tmp_path):
    """A folder of 40 labels with their truth."""
    folder = tmp_path / "labels"
    folder.mkdir()
    names = [*GREY_OF_CLASS, "unknown"]
    lines = ["file,class,kind"]
    for number in range(40):
        name = names[number % len(names)]
        content = UNKNOWN_GREY if name == "unknown" else name
        cv2.imwrite(str(folder / f"{number:03d}.png"), toy_image(content, seed=number))
        lines.append(f"{number:03d}.png,{name},{'grey' if name == 'unknown' else ''}")
    (folder / "truth.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_demo_compares_with_the_truth(line, labels, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["demo", str(labels), "--config", write(line), "--out", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text())
    expected = {"parts": 40, "faulty": 24, "faulty_passed": 0, "unknown": 8, "unknown_passed": 0, "good": 8}
    assert {key: summary[key] for key in expected} == expected
    assert cv2.imread(str(out / "rejects.png")) is not None
    assert "false accepts" in capsys.readouterr().out


def test_demo_fails_where_a_faulty_label_passes(line, labels, tmp_path):
    """The truth is turned round: good labels are called crooked."""
    truth = labels / "truth.csv"
    truth.write_text(truth.read_text().replace("no_fail", "fail_label_crooked_print"))
    assert main(["demo", str(labels), "--config", write(line), "--out", str(tmp_path / "out")]) == 1


def test_demo_without_truth_says_how_to_get_some(line, labels, tmp_path, capsys):
    (labels / "truth.csv").unlink()
    assert main(["demo", str(labels), "--config", write(line), "--out", str(tmp_path / "out")]) == 78
    assert "synthesize.py" in capsys.readouterr().err


def test_schema_is_json(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Config"


@pytest.mark.parametrize("verb", ["run", "check", "demo", "engines", "report", "schema"])
def test_each_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert verb in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["list", "compare", "activate", "rollback", "keygen", "sign", "verify"])
def test_each_verb_of_engines_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["engines", verb, "--help"])
    assert ended.value.code == 0
    assert f"inspectd engines {verb}" in capsys.readouterr().out
