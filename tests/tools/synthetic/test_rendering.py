"""Rendered labels: their truth is true, their difficulty graded, their bytes a matter of the seed alone."""

import configparser
import csv
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd_tools.synthetic import cli as synthesize
from inspectd_tools.synthetic.render.label import CLASSES, UNKNOWNS, render

SEEDS = st.integers(0, 2**32 - 1)


def sample(kind: str, seed: int):
    return render(kind, np.random.default_rng(seed))


@settings(max_examples=30)
@given(st.sampled_from(CLASSES + UNKNOWNS), SEEDS)
def test_every_sample_is_a_camera_image_with_its_whole_truth(kind, seed):
    drawn = sample(kind, seed)
    assert drawn.image.shape == drawn.fault_mask.shape == (480, 640)
    assert drawn.image.dtype == drawn.fault_mask.dtype == np.uint8
    assert drawn.label_class == (kind if kind in CLASSES else "unknown")
    assert set(np.unique(drawn.fault_mask)) <= {0, 255}
    assert 0 <= drawn.severity <= 1
    json.dumps(drawn.parameters)


@settings(max_examples=40)
@given(SEEDS)
def test_the_angles_are_those_of_the_product(seed):
    assert 3 <= abs(sample("fail_label_crooked_print", seed).parameters["angle_deg"]) <= 15
    assert abs(sample("no_fail", seed).parameters["angle_deg"]) <= 1.5


@settings(max_examples=20)
@given(SEEDS)
def test_only_a_faulty_print_has_a_fault_region_and_it_lies_on_the_label(seed):
    assert not sample("no_fail", seed).fault_mask.any()
    half = sample("fail_label_half_printed", seed)
    label = np.zeros_like(half.fault_mask)
    cv2.fillPoly(label, [np.array(half.polygon, np.float32).round().astype(np.int32)], 255)
    inside = (half.fault_mask > 0) & (cv2.dilate(label, np.ones((9, 9), np.uint8)) > 0)
    assert half.fault_mask.any()
    assert inside.sum() >= 0.95 * (half.fault_mask > 0).sum()


def test_a_half_print_misses_between_15_and_60_percent():
    lost = [sample("fail_label_half_printed", seed).parameters["missing_share"] for seed in range(60)]
    assert 0.15 <= min(lost) < 0.25
    assert 0.5 < max(lost) <= 0.6


def test_unknowns_differ_from_good_labels_as_they_should():
    assert sample("lamp_off", 1).image.mean() < 30
    assert (sample("lamp_overexposed", 1).image > 250).mean() > 0.2
    smoothed = (cv2.GaussianBlur(sample(kind, 1).image, (0, 0), 2) for kind in ("no_fail", "strong_defocus"))
    sharp, soft = (cv2.Laplacian(image, cv2.CV_64F).var() for image in smoothed)
    assert soft < sharp / 3


def fingerprints(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_same_seed_same_bytes_whatever_the_number_of_workers(tmp_path):
    for name, workers, seed in (("one", "1", "5"), ("two", "2", "5"), ("other", "2", "6")):
        arguments = ["render", str(tmp_path / name), "--count-per-class", "3", "--unknowns-per-kind", "1", "--masks"]
        assert synthesize.main([*arguments, "--workers", workers, "--seed", seed]) == 0
    one = fingerprints(tmp_path / "one")
    assert len(one) == 2 * (3 * 4 + 12) + 1
    assert one == fingerprints(tmp_path / "two")
    assert one != fingerprints(tmp_path / "other")


def test_a_flat_folder_is_a_line_in_random_order(tmp_path):
    arguments = ["render", str(tmp_path / "line"), "--flat", "--count", "60", "--unknown-share", "0.5"]
    assert synthesize.main(arguments) == 0
    with (tmp_path / "line" / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"{number:06d}.png" for number in range(60)]
    assert 15 < sum(row["class"] == "unknown" for row in rows) < 45
    assert all((row["class"] == "unknown") == bool(row["kind"]) for row in rows)


def test_nothing_is_mixed_into_a_folder_that_holds_something(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SystemExit) as ended:
        synthesize.main(["render", str(tmp_path)])
    assert ended.value.code == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("arguments", [["--unknown-share", "1.5"], ["--count", "-1"], ["--count-per-class", "0"]])
def test_counts_that_make_no_sense(tmp_path, arguments):
    with pytest.raises(SystemExit) as ended:
        synthesize.main(["render", str(tmp_path / "new"), *arguments])
    assert ended.value.code == 2


def test_rendering_needs_nothing_of_the_train_extra(tmp_path):
    """`make run` renders with what the daemon needs alone."""
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[3] / "setup.cfg")
    train = setup["options.extras_require"]["train"].split()
    barred = [re.split("[>=]", requirement)[0] for requirement in train]
    assert {"matplotlib", "torch"} <= set(barred)
    rendered = ["render", str(tmp_path / "labels"), "--count-per-class", "1", "--workers", "1"]
    code = f"import sys; sys.modules.update(dict.fromkeys({barred!r})); from inspectd_tools.synthetic import cli; "
    subprocess.run([sys.executable, "-c", code + f"sys.exit(cli.main({rendered!r}))"], check=True)
    assert len(list((tmp_path / "labels").glob("*/*.png"))) == len(CLASSES)
