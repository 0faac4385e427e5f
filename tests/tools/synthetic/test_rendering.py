"""Rendered labels: their truth is true, their difficulty graded, their bytes a matter of the seed alone."""

import configparser
import csv
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd_tools.synthetic import cli as synthesize
from inspectd_tools.synthetic.render import printing
from inspectd_tools.synthetic.render.label import CLASSES, UNKNOWNS, class_of, kinds, render
from inspectd_tools.synthetic.render.label_text import GTINS, random_text, texts_of_jobs
from inspectd_tools.synthetic.render.severity import SEVERITIES, SIZES
from inspectd_tools.synthetic.render.style import STYLES
from inspectd_tools.synthetic.render.wrong_text import WRONG_TEXTS, wrong_fields

SEEDS = st.integers(0, 2**32 - 1)


def sample(kind: str, seed: int, severity="all", style="training"):
    return render(kind, np.random.default_rng(seed), STYLES[style], severity)


@settings(max_examples=40)
@given(st.sampled_from(SEVERITIES), st.data(), SEEDS)
def test_every_sample_is_a_camera_image_with_its_whole_truth(severity, data, seed):
    kind = data.draw(st.sampled_from(kinds(severity)))
    drawn = sample(kind, seed, severity)
    assert drawn.image.shape == drawn.fault_mask.shape == (480, 640)
    assert drawn.image.dtype == drawn.fault_mask.dtype == np.uint8
    assert drawn.label_class == class_of(kind)
    assert (drawn.kind == kind) == (drawn.label_class == "unknown") == (kind in UNKNOWNS)
    assert set(np.unique(drawn.fault_mask)) <= {0, 255}
    assert 0 <= drawn.fault.severity <= 1
    assert (drawn.fault.kind == "") == (kind == "no_fail")
    json.dumps(drawn.parameters)


@settings(max_examples=40)
@given(st.sampled_from(sorted(SIZES)), SEEDS)
def test_a_fault_is_as_large_as_asked(kind, seed):
    sizes = SIZES[kind]
    small, gross, any_size = (sample(kind, seed, severity).fault for severity in ("small", "gross", "all"))
    assert sizes.smallest <= small.size <= sizes.gross <= gross.size <= sizes.largest
    assert sizes.smallest <= any_size.size <= sizes.largest
    assert small.severity <= any_size.severity <= gross.severity or small.severity < gross.severity


@settings(max_examples=30)
@given(
    st.sampled_from(("half_printed", "not_fully_printed", "smear", "spatter", "scratch", "oil_spot", "specks")), SEEDS
)
def test_the_box_frames_what_a_small_fault_changes(kind, seed):
    kind = kind if kind in UNKNOWNS else f"fail_label_{kind}"
    drawn = sample(kind, seed, "small")
    left, top, width, height = drawn.box
    mask = drawn.fault_mask > 0
    assert mask[top : top + height, left : left + width].sum() == mask.sum() > 0


def test_only_kinds_that_have_small_faults_are_drawn_small():
    assert {"no_fail", "scratch", "fail_label_not_fully_printed"} <= set(kinds("small"))
    with pytest.raises(ValueError, match="'lamp_off' is not a kind of label"):
        sample("lamp_off", 1, "small")


@settings(max_examples=30)
@given(SEEDS)
def test_the_angles_are_those_of_the_product(seed):
    assert 2.5 <= abs(sample("fail_label_crooked_print", seed).parameters["angle_deg"]) <= 15
    assert 3 <= abs(sample("fail_label_crooked_print", seed, "gross").parameters["angle_deg"]) <= 15
    assert abs(sample("no_fail", seed).parameters["angle_deg"]) <= 1.5


@pytest.mark.parametrize("style", sorted(STYLES))
def test_the_data_matrix_of_a_good_label_says_the_same_as_its_text(style):
    for seed in range(12):
        drawn = sample("no_fail", seed, style=style)
        (code,) = zxingcpp.read_barcodes(drawn.image)
        text = drawn.text
        assert code.content_type == zxingcpp.ContentType.GS1
        day = text["date"].replace("-", "")[2:]
        assert (
            code.text
            == text["code"]
            == f"(01){GTINS[text['part_number']]}(11){day}(10){text['lot'].removeprefix('LOT ')}"
        )


WRONG_FIELDS = {
    "yesterday": {"date", "code"},
    "swapped_date": {"date"},
    "other_lot": {"lot", "code"},
    "other_product": {"part_number", "code"},
    "code_disagrees": {"code"},
}


@pytest.mark.parametrize("kind", WRONG_TEXTS)
def test_a_wrong_text_differs_from_the_right_one_where_its_kind_says(kind):
    for seed in range(600):
        rng = np.random.default_rng(seed)
        right = random_text(rng)
        check_wrong(kind, right.fields, wrong_fields(kind, right, rng))


def check_wrong(kind: str, right: dict[str, str], wrong: dict[str, str]) -> None:
    assert list(wrong) == list(right)
    differ = {field for field, text in right.items() if wrong[field] != text}
    if kind in WRONG_FIELDS:
        assert differ == WRONG_FIELDS[kind]
        return
    (field,) = differ
    assert field in ("part_number", "lot", "date")
    before, after = right[field], wrong[field]
    match kind:
        case "wrong_character":
            assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
        case "lost_character":
            assert after in without_one_character(before)
        case "extra_character":
            assert before in without_one_character(after)


def test_yesterday_and_the_swapped_date_are_what_they_say():
    right, rng = replace(random_text(np.random.default_rng(1)), made=date(2026, 3, 1)), np.random.default_rng(2)
    assert wrong_fields("yesterday", right, rng)["date"] == "2026-02-28"
    assert wrong_fields("swapped_date", right, rng)["date"] == "2026-01-03"
    assert wrong_fields("swapped_date", replace(right, made=date(2026, 3, 3)), rng)["date"] == "03-03-2026"


@pytest.mark.parametrize("font", sorted({font for style in STYLES.values() for font in style.fonts}))
def test_no_font_prints_a_wrong_text_like_the_right_one(font):
    """`dots` has one form for O and Q."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        right = random_text(rng)
        wrong = wrong_fields("wrong_character", right, rng)
        *lines, code = wrong.values()
        inks = [printing.draw_print(lines, code, font).ink, printing.draw_print(right.lines, right.code, font).ink]
        assert np.abs(inks[0] - inks[1]).sum() > 10


def without_one_character(text: str) -> set[str]:
    return {text[:index] + text[index + 1 :] for index in range(len(text))}


@pytest.mark.parametrize("kind", WRONG_TEXTS)
def test_a_wrong_text_is_printed_as_well_as_a_right_one_and_framed(kind):
    for seed in range(4):
        drawn = sample(kind, seed)
        (code,) = zxingcpp.read_barcodes(drawn.image)
        assert code.text == drawn.text["code"]
        assert (drawn.text["code"] != drawn.expected["code"]) == ("code" in WRONG_FIELDS.get(kind, ()))
        assert (drawn.label_class, drawn.fault.kind) == ("fail_label_date", kind)
        assert drawn.box is not None


def test_a_good_label_says_what_it_should_say_and_the_job_decides_what():
    text = random_text(np.random.default_rng(5))
    drawn = render("no_fail", np.random.default_rng(1), expected=text)
    assert drawn.text == drawn.expected == text.fields
    wrong = render("yesterday", np.random.default_rng(1), expected=text)
    assert wrong.expected == text.fields != wrong.text


def test_jobs_follow_each_other_on_one_day():
    texts = texts_of_jobs(100, 3, np.random.default_rng(2))
    jobs = [(text.part_number, text.lot) for text in texts]
    assert [jobs.count(job) for job in dict.fromkeys(jobs)] == [34, 33, 33]
    assert jobs == sorted(jobs, key=jobs.index)
    assert len({(text.made, text.station) for text in texts}) == 1
    assert [text.at for text in texts] == sorted(text.at for text in texts)


def test_part_numbers_have_valid_gtins_of_their_own():
    """GS1 General Specifications: weights 3 and 1 from the left make a multiple of 10."""
    assert len(set(GTINS.values())) == len(GTINS)
    for gtin in GTINS.values():
        assert len(gtin) == 14
        assert sum(int(digit) * (1 if place % 2 else 3) for place, digit in enumerate(gtin)) % 10 == 0


@pytest.mark.parametrize("font", sorted({font for style in STYLES.values() for font in style.fonts}))
def test_the_places_of_characters_hold_all_ink_of_letters_and_digits(font):
    text = random_text(np.random.default_rng(3))
    label = printing.draw_print(text.lines, text.code, font)
    characters = label.characters()
    assert "".join(character for character, _ in characters) == re.sub(r"[^A-Z0-9]", "", "".join(text.lines))
    rest = label.ink.copy()
    for _, area in characters:
        assert label.ink[area.slices].sum() > 30
        rest[area.slices] = 0
    rest[:60, :54] = rest[84:, 264:] = 0  # mark and Data Matrix
    assert rest.sum() < 0.08 * label.ink.sum()  # colon and hyphens


def test_a_small_loss_is_at_most_a_tenth_of_the_ink_and_a_gross_one_at_least():
    kind = "fail_label_not_fully_printed"
    small = [sample(kind, seed, "small").fault for seed in range(40)]
    assert {fault.kind for fault in small} == {"character", "dots", "dead_nozzle", "hole"}
    assert all(0 < fault.severity <= 0.1 and fault.size < 60 for fault in small)
    assert all(sample(kind, seed, "gross").fault.severity >= 0.1 for seed in range(15))


@settings(max_examples=20)
@given(st.sampled_from(("spatter", "scratch")), SEEDS)
def test_spatter_adds_ink_and_a_scratch_takes_it_off(kind, seed):
    before, after = (sample(one, seed).ink.astype(int) for one in ("no_fail", kind))
    drawn = sample(kind, seed)
    inside = drawn.ink[drawn.fault_mask > 0].mean()
    assert inside > 150 if kind == "spatter" else inside < 100
    assert before.shape == after.shape


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


def test_a_half_print_loses_from_15_px_to_60_percent():
    lost = [sample("fail_label_half_printed", seed).fault.size for seed in range(60)]
    assert 15 <= min(lost) < 20
    assert 180 < max(lost) <= 0.6 * printing.WIDTH_PX


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
    assert len(one) == 2 * (3 * len(CLASSES) + len(UNKNOWNS)) + 1
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
    assert all((row["class"] == "no_fail") == (not row["fault"]) for row in rows)
    assert all(bool(row["size"]) == bool(row["unit"]) for row in rows)
    assert {"part_number", "lot", "date", "code"} <= set(json.loads(rows[0]["text"]))
    small = next(row for row in rows if row["fault"] == "character")
    assert len(json.loads(small["box"])) == 4


def test_a_flat_folder_can_follow_jobs_of_one_printer_with_wrong_texts_among_its_labels(tmp_path):
    arguments = [
        "render",
        str(tmp_path / "line"),
        "--flat",
        "--count",
        "60",
        "--jobs",
        "2",
        "--wrong-text-share",
        "0.3",
    ]
    assert synthesize.main(arguments) == 0
    with (tmp_path / "line" / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({json.loads(row["expected"])["lot"] for row in rows}) == 2
    assert len({json.loads(row["parameters"])["font"] for row in rows}) == 1
    wrong = [row for row in rows if row["class"] == "fail_label_date"]
    assert 2 < len(wrong) < 14
    for row in rows:
        assert (row["text"] not in ("{}", row["expected"])) == (row in wrong)


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
