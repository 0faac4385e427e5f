"""`inspectd check`, `engines`, `demo` and `schema`, as a user calls them."""

import argparse
import inspect
import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import yaml

from inspectd.cli import main, parser
from inspectd.commands.demo.ground_truth import Row, Truth, compare, read_truth
from inspectd.commands.report import cli as report
from inspectd.errors import LineFault
from tests.factories import GREY_OF_CLASS, UNKNOWN_GREY, make_toy_bundle, toy_image

INSPECTD = (sys.executable, "-m", "inspectd")


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


@pytest.mark.alone
def test_check_of_a_line_that_has_everything(line, capsys):
    assert main(["check", "--config", write(line)]) == 0
    out = capsys.readouterr().out
    assert "FAIL" not in out
    for what in ("config", "engine", "camera", "output", "real time", "journal", "clock"):
        assert what in out


@pytest.mark.alone
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


@pytest.mark.alone
def test_demo_compares_with_the_truth(line, labels, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["demo", str(labels), "--config", write(line), "--out", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text())
    expected = {"parts": 40, "faulty": 24, "faulty_passed": 0, "unknown": 8, "unknown_passed": 0, "good": 8}
    assert {key: summary[key] for key in expected} == expected
    assert cv2.imread(str(out / "rejects.png")) is not None
    assert "false accepts" in capsys.readouterr().out


def truth_of(labels) -> list[str]:
    return (labels / "truth.csv").read_text().splitlines()


def rewrite(labels, lines: list[str]) -> None:
    (labels / "truth.csv").write_text("\n".join(lines) + "\n")


def in_a_subfolder(labels) -> None:
    """As `synthesize.py render` writes them without --flat."""
    header, *lines = truth_of(labels)
    for line in lines:
        place = labels / line.split(",")[1]
        place.mkdir(exist_ok=True)
        (labels / line.split(",")[0]).rename(place / line.split(",")[0])
    rewrite(labels, [header, *(f"{line.split(',')[1]}/{line}" for line in lines)])


@pytest.mark.alone
@pytest.mark.parametrize(
    ("camera", "change"),
    [
        ("replay", lambda labels: (labels / "._000.png").write_bytes(b"\x00\x05\x16\x07")),
        ("replay", lambda labels: rewrite(labels, [truth_of(labels)[0], *reversed(truth_of(labels)[1:])])),
        ("replay", lambda labels: (labels / "truth.csv").write_text("\ufeff" + (labels / "truth.csv").read_text())),
        ("replay", in_a_subfolder),
        ("emulated", lambda labels: cv2.imwrite(str(labels / "000-preview.png"), toy_image("no_fail"))),
    ],
    ids=["AppleDouble", "rows in another order", "byte order mark", "subfolders", "preview"],
)
def test_demo_compares_by_name(line, labels, tmp_path, change, camera):
    config, values = line
    if camera == "replay":
        values["camera"] = {"kind": "replay", "source": "images", "rate_hz": 40, "max_age_ms": 90}
    change(labels)
    out = tmp_path / "out"
    assert main(["demo", str(labels), "--config", write(line), "--out", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text())
    right = {**GREY_OF_CLASS, "unknown_grey": 0}
    assert {name: sum(counts.values()) for name, counts in summary["by_truth"].items()} == dict.fromkeys(right, 8)
    assert (summary["faulty_passed"], summary["unknown_passed"]) == (0, 0)
    assert summary["good_rejected"] <= summary["missed"]  # on a busy machine


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda labels: (labels / "003.png").unlink(), "lists images that do not exist: 003.png"),
        (lambda labels: rewrite(labels, [*truth_of(labels), truth_of(labels)[5]]), "lists images twice: 004.png"),
        (lambda labels: rewrite(labels, [*truth_of(labels), "003.png"]), "line 42: has 1 cells"),
        (lambda labels: rewrite(labels, [*truth_of(labels)[:-1], "039.png,no_fial,"]), "line 41: class: 'no_fial'"),
        (
            lambda labels: rewrite(labels, [*truth_of(labels), "truth.csv,no_fail,"]),
            "line 42: file: 'truth.csv' must be a",
        ),
        (lambda labels: rewrite(labels, [*truth_of(labels), f"{'x' * 999}.png,no_fail,"]), "do not exist"),
        (lambda labels: rewrite(labels, ["file;kind"]), "must have the columns file, class; class missing"),
        (lambda labels: rewrite(labels, truth_of(labels)[:1]), "lists no image"),
        (lambda labels: (labels / "truth.csv").write_bytes(b"file,class\n\xff,no_fail\n"), "line 2 is not UTF-8 text"),
    ],
)
def test_demo_refuses_a_truth_that_it_can_not_compare_with(line, labels, tmp_path, capsys, change, said):
    change(labels)
    assert main(["demo", str(labels), "--config", write(line), "--out", str(tmp_path / "out")]) == 78
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_demo_leaves_other_peoples_files_alone(line, labels, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "images" / "mine.png"), toy_image("no_fail"))
    assert main(["demo", str(labels), "--config", write(line), "--out", str(tmp_path)]) == 78
    assert "images: contains files that are not from the demo" in capsys.readouterr().err
    assert (tmp_path / "images" / "mine.png").is_file()


def row_of(number: int, reason: str | None = None) -> Row:
    return Row(number + 100, number, "pass", reason, "no_fail", 0.9, (0.9,), "passed", 1, None, None)


def test_a_part_showed_the_image_that_its_frame_number_says():
    """A camera that is opened again begins anew; frames beyond the last image are of the next round."""
    truth = [Truth(f"{number}.png", "no_fail", str(number)) for number in range(4)]
    judged = compare([row_of(number) for number in (0, 1, 0, 1, 2, 3, 4)], truth, "no_fail").judged
    assert [(row.frame_number, entry.kind) for row, entry in judged] == [(n, str(n)) for n in (0, 1, 0, 1, 2, 3)]


def test_an_image_that_no_part_showed_is_named():
    truth = [Truth(f"{number}.png", "no_fail", "") for number in range(4)]
    with pytest.raises(LineFault, match=r"1 of 4 images have no part in the journal, for example 2\.png"):
        compare([row_of(number) for number in (0, 1, 3)], truth, "no_fail")


@pytest.mark.alone
def test_demo_fails_where_a_faulty_label_passes(line, labels, tmp_path):
    """The truth is turned round: good labels are called crooked."""
    truth = labels / "truth.csv"
    truth.write_text(truth.read_text().replace("no_fail", "fail_label_crooked_print"))
    assert main(["demo", str(labels), "--config", write(line), "--out", str(tmp_path / "out")]) == 1


def test_the_truth_names_a_fault_with_its_size(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").touch()
    (tmp_path / "truth.csv").write_text(
        "file,class,kind,fault,size,unit\na.png,bad,,character,14.2,px\nb.png,unknown,lamp,lamp,,\n"
    )
    named, sizeless = read_truth(tmp_path, ["bad"])
    assert (named.name, named.fault) == ("bad", "character 14.2 px")
    assert (sizeless.name, sizeless.fault) == ("unknown_lamp", "lamp")


def test_demo_without_truth_says_how_to_get_some(line, labels, tmp_path, capsys):
    (labels / "truth.csv").unlink()
    assert main(["demo", str(labels), "--config", write(line), "--out", str(tmp_path / "out")]) == 78
    assert "synthesize.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "title"),
    [([], "Config"), (["--page"], "WebConfig"), (["--metrics"], "MetricsConfig"), (["--mqtt"], "MqttConfig")],
)
def test_schema_is_json(capsys, option, title):
    assert main(["schema", *option]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == title


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


def test_an_output_that_can_not_be_written_is_a_sentence_and_no_finding():
    """1 would mean, of a report, that the books don't balance."""
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*INSPECTD, "schema"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.stderr == "inspectd: standard output: No space left on device\n"
    assert ended.returncode == os.EX_IOERR


def test_nobody_has_to_read_to_the_end():
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([*INSPECTD, "schema"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("verb", "code"), [("schema", 0), ("run --config /nowhere/line.yaml", 78)])
def test_closed_standard_streams_change_no_exit_code(closed, verb, code):
    command = f"{shlex.join(INSPECTD)} {verb} {closed}"
    assert subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=False).returncode == code


@pytest.mark.alone
def test_no_answer_to_a_question_is_no(line, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert main(["check", "--config", write(line)]) == 0
    assert "not tried" in capsys.readouterr().out


def test_an_interrupted_command_ends_without_a_traceback(monkeypatch):
    def interrupt(**_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("inspectd.cli._schema", interrupt)
    assert main(["schema"]) == 130


def verbs_of(parser: argparse.ArgumentParser, name: str = "inspectd"):
    """Every verb without verbs of its own, as (its name, its parser)."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield name, parser
    for action in below:
        for verb, verb_parser in action.choices.items():
            yield from verbs_of(verb_parser, f"{name} {verb}")


@pytest.mark.parametrize(("name", "verb"), verbs_of(parser()), ids=lambda value: str(value)[:30])
def test_each_verb_takes_what_its_parser_gives(name, verb):
    given = {action.dest for action in verb._actions} - {"help"}
    function = verb.get_default("verb")
    taken = inspect.signature(function).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values()):
        taken = inspect.signature(report.Options).parameters
    assert given == set(taken)
    assert all(action.help for action in verb._actions if action.option_strings)


def test_no_verb_waits_for_the_runtimes_of_another():
    loads = "import sys, inspectd.cli; inspectd.cli.parser(); print([name for name in ('cv2', 'openvino', 'pypylon', 'tuf') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True).stdout == "[]\n"
