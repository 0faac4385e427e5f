"""Faults are put into good photos, an engine judges them, and what is said of it is true: of real and of imagined engines."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspectd.camera.image_files import read_photo
from inspectd.decision import Policy
from inspectd.errors import ConfigError
from inspectd.inference.engine import Judged
from inspectd.learning.rates import Rate
from inspectd_tools.detectability import cli, report, trial
from inspectd_tools.detectability.photos import good_photos
from inspectd_tools.synthetic.render.label import render
from inspectd_tools.synthetic.small_faults.fault import KINDS, SmallFault

ENGINE = Path(__file__).parents[3] / "engines" / "filter-label"
POLICY = Policy(("bad", "good"), "good", 0.8)
PRINTLESS = ["scratch", "speck", "dent", "blur"]


class Eye:
    """An engine that rejects what differs from the good photos by more than `blind` grey levels anywhere."""

    def __init__(self, photos, blind, rejects=()):
        self.good = [read_photo(path).astype(int) for path in photos]
        self.blind, self.rejects = blind, rejects
        self.judged = 0

    def misfit(self, size):
        return None

    def judge(self, image):
        self.judged += 1
        differs = [np.abs(image - good).max() if image.shape == good.shape else 255 for good in self.good]
        nearest = int(np.argmin(differs))
        passes = differs[nearest] <= self.blind and nearest not in self.rejects
        return Judged(POLICY.judge([0.1, 0.9] if passes else [0.1, 0.3]), 0, 0, None)


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels") / "no_fail"
    folder.mkdir()
    for number in range(12):
        photo = render("no_fail", np.random.default_rng([55, number])).image
        cv2.imwrite(str(folder / f"{number:02}.png"), photo, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return folder


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory):
    """Colour photos of several sizes, without a print."""
    folder = tmp_path_factory.mktemp("surfaces")
    for number in range(40):
        rng = np.random.default_rng(number)
        photo = rng.normal((90, 120, 150), 3, (100 + number, 240, 3))
        cv2.imwrite(str(folder / f"{number:02}.png"), np.clip(photo, 0, 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def written(labels):
    """What the program writes for the shipped engine."""
    out = labels.parent / "pod"
    assert cli.main([str(ENGINE), "--data", str(labels.parent), "--out", str(out)]) == 0
    return out


def test_every_kind_is_tried_on_labels_and_all_files_are_written(written):
    assert sorted(path.name for path in written.iterdir()) == sorted(
        [report.PICTURE, report.TABLE, report.TRIES, report.SHEET]
    )
    with (written / report.TABLE).open() as file:
        table = list(csv.DictReader(file))
    with (written / report.TRIES).open() as file:
        tries = list(csv.DictReader(file))
    assert [row["kind"] for row in table] == list(KINDS)
    for row in table:
        own = [one for one in tries if one["kind"] == row["kind"]]
        assert len({one["photo"] for one in own}) == len(own) == int(row["tried"])
        assert sum(int(one["found"]) for one in own) == int(row["found"])
        for one in own:
            assert (one["found"] == "0") == one["verdict"].startswith("passes")
    sheet = read_photo(written / report.SHEET)
    assert sheet.shape[0] % len(KINDS) == 0


def test_what_an_engine_surely_sees_is_found_from_the_smallest_size_on(surfaces):
    photos = good_photos(surfaces, "good", 99)
    found = trial.run(Eye(photos, blind=0), photos, seed=1)
    assert list(found.tries) == PRINTLESS
    for kind in ("speck", "dent", "blur"):
        curve = found.curves[kind]
        assert curve.found.all()
        assert curve.surely_reached(0.9).size < 3 * curve.smallest
        assert "90 % are found from" in report.sentence(found, kind)
        assert "(with 95 % confidence)" in report.sentence(found, kind)


def test_a_blind_engine_finds_nothing_and_nothing_is_claimed(surfaces):
    photos = good_photos(surfaces, "good", 99)
    found = trial.run(Eye(photos, blind=255), photos, seed=1)
    for kind in PRINTLESS:
        assert not found.curves[kind].found.any()
        largest = f"{found.curves[kind].largest:.3g} {KINDS[kind].unit}"
        assert report.sentence(found, kind) == f"{kind}: 90 % are not reached up to {largest}, the largest size tried"
        assert all(f"not reached up to {largest}" in row[3:] for row in report.rows(found) if row[0] == kind)


def test_kinds_that_need_a_print_are_left_out_with_a_note(surfaces):
    photos = good_photos(surfaces, "good", 99)
    found = trial.run(Eye(photos, blind=0), photos, seed=1)
    note = report.notes(found)[1]
    assert note.startswith("Not tried, because no print was found on the photos: ")
    for kind in KINDS:
        assert (kind in note) == (kind not in PRINTLESS)


def test_photos_that_are_rejected_as_they_are_count_as_false_calls_and_not_as_found(surfaces):
    photos = good_photos(surfaces, "good", 99)
    found = trial.run(Eye(photos, blind=255, rejects=(3, 4)), photos, seed=1)
    assert (found.rejected.errors, found.rejected.n) == (2, 40)
    assert report.notes(found)[0].startswith("The engine rejects 2 of 40 (5.00%")
    for kind in PRINTLESS:
        assert not found.curves[kind].found.any()
        assert len(found.tries[kind]) == 38
        assert not {one.photo for one in found.tries[kind]} & set(photos[3:5])


def test_the_seed_decides_the_faults_and_each_photo_gets_each_kind_once(surfaces):
    photos = good_photos(surfaces, "good", 99)
    one, again, other = (trial.run(Eye(photos, blind=20), photos, seed=seed) for seed in (1, 1, 2))
    assert one.tries == again.tries != other.tries
    for tries in one.tries.values():
        assert len({attempt.photo for attempt in tries}) == len(tries) == 40
    attempt = one.tries["speck"][5]
    np.testing.assert_array_equal(one.seeded(attempt).image, again.seeded(attempt).image)
    assert one.seeded(attempt).fault == attempt.fault


def test_faults_of_a_given_size_are_put_into_every_photo(surfaces, tmp_path):
    photos = good_photos(surfaces, "good", 99)
    faults = [SmallFault("speck", 12), SmallFault("blur", 5)]
    seeing, blind = Eye(photos, blind=20), Eye(photos, blind=255)
    found = trial.found_of_size(seeing, trial.run(seeing, photos, seed=1), faults)
    assert found == {faults[0]: Rate(40, 40), faults[1]: Rate(0, 40)}  # a blur changes no pixel by so much
    missed = trial.found_of_size(blind, trial.run(blind, photos, seed=1), faults)
    assert [missed[fault].errors for fault in faults] == [0, 0]
    report.write_sizes(missed, tmp_path)
    with (tmp_path / report.SIZES).open() as file:
        rows = list(csv.DictReader(file))
    assert [rows[0][key] for key in ("kind", "size", "tried", "found")] == ["speck", "12", "40", "0"]
    assert float(rows[0]["at_most"]) == pytest.approx(0.0881, abs=1e-3)  # Clopper-Pearson


def test_a_size_of_a_kind_that_needs_a_print_is_refused_without_one(surfaces):
    photos = good_photos(surfaces, "good", 99)
    engine = Eye(photos, blind=255)
    with pytest.raises(ConfigError, match="lost ink can't be tried: no print was found"):
        trial.found_of_size(engine, trial.run(engine, photos, seed=1), [SmallFault("lost ink", 24)])


@pytest.mark.parametrize("size", ["lost paint=3", "speck", "speck=0", "speck=nan", "speck=inf", "speck=x"])
def test_a_size_that_makes_no_sense_is_a_usage_error(size, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([str(ENGINE), "--data", str(tmp_path), "--out", str(tmp_path / "pod"), "--size", size])
    assert "--size" in capsys.readouterr().err


def test_an_engine_that_rejects_good_photos_is_refused(surfaces):
    photos = good_photos(surfaces, "good", 99)
    with pytest.raises(ConfigError, match=r"passes 9 of these 40 photos .* at least 10 are needed"):
        trial.run(Eye(photos, blind=0, rejects=range(9, 40)), photos, seed=1)


def test_photos_of_a_size_that_the_engine_cannot_judge_are_named(surfaces, tmp_path, capsys):
    assert cli.main([str(ENGINE), "--data", str(surfaces), "--out", str(tmp_path / "pod")]) == 78
    error = capsys.readouterr().err
    assert "00.png: the guard of this engine was fitted to images of 640x480 px" in error
    assert not (tmp_path / "pod").exists()


def test_copies_count_once_and_a_group_of_a_manifest_gives_one_photo(labels, tmp_path):
    folder = tmp_path / "good"
    folder.mkdir()
    for number, path in enumerate([*sorted(labels.iterdir())[:3], sorted(labels.iterdir())[0]]):
        (folder / f"{number}.png").write_bytes(path.read_bytes())
    assert [path.name for path in good_photos(folder, "good", 99)] == ["0.png", "1.png", "2.png"]
    assert good_photos(tmp_path, "good", 2) == [folder / "0.png", folder / "1.png"]
    rows = [("0.png", "test", "a"), ("1.png", "test", "a"), ("2.png", "test", "b"), ("3.png", "train", "c")]
    lines = [f"good/{name},good,1,{split},{group},{number:064}" for number, (name, split, group) in enumerate(rows)]
    bad = f"good/9.png,bad,0,test,d,{9:064}"
    (tmp_path / "labels.csv").write_text("\n".join(["path,class,label,split,group,sha256", bad, *lines]))
    chosen = good_photos(tmp_path / "labels.csv", "good", 99)
    assert [path.name for path in chosen] == ["0.png", "2.png"]
    with pytest.raises(ConfigError, match="holds no photo of no_fail, the pass class, in split test"):
        good_photos(tmp_path / "labels.csv", "no_fail", 99)
