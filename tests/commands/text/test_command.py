"""`inspectd text teach` from photos to the section, with the shipped engine."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspectd.cli import main
from inspectd.files.yaml_file import dump_yaml, parse_yaml, read_yaml
from inspectd.shipped import shipped
from inspectd_tools.synthetic.render.label import render


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A line that verifies no text yet."""
    values = read_yaml(shipped("config/demo.yaml"), "")
    values.pop("text", None)
    values["engine"] = str(shipped("engines/filter-label"))
    path = tmp_path / "line.yaml"
    path.write_text(dump_yaml(values))
    return path


def photos(folder: Path, *kinds: str) -> Path:
    folder.mkdir()
    for number, kind in enumerate(kinds):
        cv2.imwrite(str(folder / f"{number}.png"), render(kind, np.random.default_rng(number)).image)
    return folder


def test_photos_of_good_labels_become_a_section_a_picture_and_crops(config, tmp_path, capsys):
    good = photos(tmp_path / "good", *["no_fail"] * 7, "fail_label_crooked_print")
    out, picture, crops = (tmp_path / name for name in ("text.yaml", "text.png", "crops"))
    command = [
        "text",
        "teach",
        str(config),
        str(good),
        "--out",
        str(out),
        "--picture",
        str(picture),
        "--crops",
        str(crops),
    ]
    assert main(command) == 0
    fields = parse_yaml(out.read_text())["text"]["fields"]
    assert [field["kind"] for field in fields.values()] == ["text"] * 4 + ["code"]
    assert fields["code"]["symbology"] == "data_matrix"
    assert cv2.imread(str(picture)) is not None
    with (crops / "lines.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 7
    assert all(cv2.imread(str(crops / row["file"])) is not None for row in rows)
    said = capsys.readouterr()
    assert "on 7 photos" in said.err
    assert said.out == ""
    assert main(command) == 78
    assert "--crops" in capsys.readouterr().err


def test_too_few_good_photos_are_refused(config, tmp_path, capsys):
    bad = photos(tmp_path / "bad", "no_fail", "fail_label_crooked_print", "lamp_off")
    assert main(["text", "teach", str(config), str(bad), "--picture", str(tmp_path / "text.png")]) == 78
    said = capsys.readouterr()
    assert "lets 1 of 3 photos pass; at least 5 photos of good labels are needed" in said.err
    assert not (tmp_path / "text.png").exists()
