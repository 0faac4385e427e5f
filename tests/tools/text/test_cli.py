import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from inspectd.errors import ConfigError
from inspectd.shipped import shipped
from inspectd.text.bundle import load_reader_bundle
from inspectd_tools.text import trial
from inspectd_tools.text.cli import main
from inspectd_tools.text.crops import read_crops
from inspectd_tools.text.fonts import font
from inspectd_tools.text.lines import render
from inspectd_tools.text.texts import random_text

READER = shipped("engines/filter-label-reader")


def crops(folder: Path, count: int) -> Path:
    """Crops of lines in the font `sans`, with `lines.csv`."""
    folder.mkdir()
    rng = np.random.default_rng(4)
    face = font("sans=printer:sans").face  # type: ignore[attr-defined]
    with (folder / "lines.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "text"])
        for number in range(count):
            line = render(random_text(rng, 9, "0123456789"), face, 0, rng, fit=True)
            cv2.imwrite(str(folder / f"{number}.png"), line.crop)
            table.writerow([f"{number}.png", line.text])
    return folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jet", "'jet' is not a font: write NAME=FILE.ttf"),
        ("Jet=a.ttf", "'Jet=a.ttf' is not a font"),
        (
            "jet=printer:laser",
            "printer:laser: is not a font of rendered labels; they are dots, sans, stroke, small_dots",
        ),
        ("jet=no.ttf", "no.ttf: can't be read as a TTF or OTF font"),
    ],
)
def test_a_font_that_can_not_be_used_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        font(text)
    assert message in str(error.value)


def test_crops_are_for_training_or_for_calibration(tmp_path: Path) -> None:
    found = read_crops("jet", crops(tmp_path / "crops", 60))
    assert (len(found.learned), len(found.kept)) == (36, 24)
    assert found.characters == "0123456789"
    rng = np.random.default_rng(0)
    assert found.line(128, rng).crop.shape == (32, 128)
    assert [line.text for line in found.for_calibration(3000, rng)] == [crop.text for crop in found.kept]


def test_too_few_crops_and_unknown_characters_are_refused(tmp_path: Path) -> None:
    folder = crops(tmp_path / "crops", 10)
    with pytest.raises(ConfigError, match="has 10 crops; at least 50 are needed"):
        read_crops("jet", folder)
    (folder / "lines.csv").write_text("file,text\n0.png,lot 7\n")
    with pytest.raises(ConfigError, match=r"the text 'lot 7' of 0\.png must have characters of 0123"):
        read_crops("jet", folder)


def test_a_reader_is_commissioned_for_other_fonts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "reader"
    arguments = ["--font", "plate=printer:sans", "--steps", "1", "--alpha", "0.05", "--out", str(out), "--name", "mine"]
    assert main(["commission", str(READER), *arguments]) == 0
    manifest = load_reader_bundle(out).manifest
    assert set(manifest.fonts) == {"plate"}
    assert manifest.fonts["plate"].near_misses == 124
    assert manifest.training["reader_hash"] == load_reader_bundle(READER).hash
    assert "plate" in capsys.readouterr().out


def test_a_font_that_is_not_learned_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--steps", "0", "--alpha", "0.05", "--out", str(tmp_path / "reader"), "--name", "mine"]
    assert main(["train", *arguments]) == 78
    assert "is not learned" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "reader").iterdir()} == {"model.onnx", "golden"}
    more = ["--weights", str(tmp_path / "reader/model.onnx"), "--out", str(tmp_path / "again")]
    assert main(["train", *arguments, *more]) == 78


def test_the_shipped_reader_accepts_no_wrong_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(READER), "--lines", "120", "--out", str(tmp_path / "trial")]) == 0
    assert (tmp_path / "trial" / "trial.json").is_file()
    assert "wrong lines" in capsys.readouterr().out


def test_a_font_that_is_not_commissioned_is_not_tried() -> None:
    with pytest.raises(ConfigError, match="the font jet is not commissioned; it has dots"):
        trial.run(READER, [font("jet=printer:sans")], 10, 1)
