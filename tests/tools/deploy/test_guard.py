"""An engine gets a guard: from good photos alone, nothing lost of the old bundle, limits from the photos meant for them."""

import csv
import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from inspectd.camera.image_files import read_photo
from inspectd.guard import model
from inspectd.inference import load_bundle
from inspectd.inference.surface_network import compiled
from inspectd.learning.rates import Rate
from inspectd.learning.renewed import next_minor, with_section
from inspectd_tools.deploy.guard import cli, detection
from inspectd_tools.deploy.guard.fitting import fit_guard
from inspectd_tools.deploy.guard.photos import LEAST, Good, GoodPhotos, good_photos
from inspectd_tools.synthetic.render.label import render
from inspectd_tools.synthetic.small_faults.fault import KINDS, SmallFault
from inspectd_tools.synthetic.small_faults.seeding import put_in
from inspectd_tools.synthetic.small_faults.subject import find_print
from tests.factories import without_guard

SHIPPED = Path(__file__).parents[3] / "engines" / "filter-label"
COUNT = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with the folder of the pass class: rendered good labels."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "no_fail").mkdir()
    for number in range(COUNT):
        cv2.imwrite(str(folder / "no_fail" / f"{number:03d}.png"), good(number), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return folder


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The network of the shipped engine."""
    return without_guard(SHIPPED, tmp_path_factory.mktemp("engines") / "network")


@pytest.fixture(scope="module")
def guarded(engine, photos):
    out = photos.parent / "guarded"
    assert cli.main([str(engine), "--data", str(photos), "--out", str(out)]) == 0
    return out


def good(number):
    return render("no_fail", np.random.default_rng([77, number])).image


def test_the_new_bundle_has_everything_of_the_old_one_and_the_guard(engine, guarded, photos):
    old, new = load_bundle(engine).manifest, load_bundle(guarded).manifest
    assert new.version == next_minor(old.version)
    changed = {"format", "version", "created", "git_commit", "guard", "training"}
    assert new.model_dump(exclude=changed) == old.model_dump(exclude=changed)
    assert new.training.items() >= {**old.training, "guard": new.training["guard"]}.items()
    for path in (path for path in engine.rglob("*") if path.is_file()):
        if path.name not in ("engine.yaml", "card.md", "card.html", "guard.npz", "pod.png"):
            assert (guarded / path.relative_to(engine)).read_bytes() == path.read_bytes()
    data = (guarded / new.guard.path).read_bytes()
    assert hashlib.sha256(data).hexdigest() == new.guard.sha256
    assert (new.guard.width, new.guard.height) == (640, 480)
    assert (new.guard.fitted_to, new.guard.n_good, new.guard.rejected_good) == (30, 15, 0)


def test_the_recorded_golden_scores_are_those_of_the_guard_in_the_file(guarded):
    manifest = load_bundle(guarded).manifest
    guard = model.load((guarded / manifest.guard.path).read_bytes(), compiled)
    for golden, recorded in zip(manifest.golden, manifest.guard.golden_scores, strict=True):
        assert guard.judge(read_photo(guarded / golden.path)).scores == pytest.approx(recorded, rel=1e-3)


def test_other_good_labels_pass_and_a_spatter_on_them_is_seen(guarded):
    manifest = load_bundle(guarded).manifest
    guard = model.load((guarded / manifest.guard.path).read_bytes(), compiled)

    def is_beyond(image):
        return any(np.array(guard.judge(image).scores) > manifest.guard.limits)

    fresh = [good(1000 + number) for number in range(12)]
    assert sum(map(is_beyond, fresh)) <= 6  # so few photos choose limits that vary much
    spatter = [
        put_in(find_print(photo), SmallFault("spatter", 32), np.random.default_rng(number)).image
        for number, photo in enumerate(fresh)
    ]
    assert sum(map(is_beyond, spatter)) >= 11


def test_the_card_keeps_its_text_and_gets_the_section(engine, guarded):
    old, new = ((folder / "card.md").read_text() for folder in (engine, guarded))
    headings = [line for line in old.splitlines() if line.startswith("## ")]
    assert [line for line in new.splitlines() if line.startswith("## ") and line in headings] == headings
    assert new.count("\n## Small faults\n") == 1
    section = new.partition("## Small faults\n")[2].partition("\n## ")[0]
    assert "Fitted to 30 good photos" in section
    assert "must have 640x480 px" in section
    assert "with 15 other good photos" in section
    assert "On 15 test photos that were used for no choice" in section
    passing = int(section.partition("Faults of many sizes were put into ")[2].partition(" ")[0])
    assert f"The engine rejects {15 - passing} of 15" in section
    assert all(f"\n| {kind} | " in section for kind in KINDS)
    assert "](pod.png)" in section
    assert (guarded / "pod.png").is_file()
    html = (guarded / "card.html").read_text()
    assert "<h2>Small faults</h2>" in html
    assert "<h2>Guarantee</h2>" in html
    assert "data:image/png;base64" in html


def test_a_second_guard_replaces_the_first(guarded, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(detection, "MOST_TRIED", 1)
    assert cli.main([str(guarded), "--data", str(photos), "--seed", "5", "--out", str(tmp_path / "again")]) == 0
    first, second = load_bundle(guarded).manifest, load_bundle(tmp_path / "again").manifest
    assert second.version == next_minor(first.version)
    assert second.guard.sha256 != first.guard.sha256
    assert (tmp_path / "again" / "card.md").read_text().count("## Small faults") == 1
    assert len(list((tmp_path / "again").glob("*.npz"))) == 1
    assert "Small faults were not tried: " in (tmp_path / "again" / "card.md").read_text()  # with one photo


def test_an_existing_folder_is_not_touched(engine, photos, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([str(engine), "--data", str(photos), "--out", str(tmp_path)])
    assert f"{tmp_path}: exists" in capsys.readouterr().err


def _too_few(folder):
    for path in sorted((folder / "no_fail").iterdir())[sum(LEAST.values()) - 1 :]:
        path.unlink()
    return ["photos of no_fail in", "too few", "different photos are needed"]


def _copies_only(folder):
    for path in (folder / "no_fail").iterdir():
        shutil.copyfile(folder / "no_fail" / "000.png", path) if path.name != "000.png" else None
    return ["1 photos of no_fail", "different photos are needed"]


def _two_sizes(folder):
    cv2.imwrite(str(folder / "no_fail" / "030.png"), good(30)[:400])
    return ["is 640x400 px, but", "all photos must have the size"]


def _other_size_than_golden(folder):
    for path in (folder / "no_fail").iterdir():
        cv2.imwrite(str(path), read_photo(path)[:-16])
    return ["is 640x480 px, but the good photos are 640x464 px", "golden"]


def _broken_photo(folder):
    (folder / "no_fail" / "030.png").write_bytes(b"no photo")
    return ["030.png", "is not an image"]


def _no_folder(folder):
    shutil.rmtree(folder / "no_fail")
    return ["no_fail", "no such class folder"]


@pytest.mark.parametrize(
    "spoil", [_too_few, _copies_only, _two_sizes, _other_size_than_golden, _broken_photo, _no_folder]
)
def test_what_cannot_be_used_is_named_and_nothing_is_written(spoil, engine, photos, tmp_path, capsys):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    words = spoil(folder)
    assert cli.main([str(engine), "--data", str(folder), "--out", str(tmp_path / "new")]) == 78
    error = capsys.readouterr().err
    for word in (str(folder), *words):
        assert word in error or word == str(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_a_failure_while_writing_leaves_nothing(engine, photos, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "card.html")

    monkeypatch.setattr(detection, "MOST_TRIED", 1)
    monkeypatch.setattr("inspectd.learning.renewed.write_page", full)
    assert cli.main([str(engine), "--data", str(photos), "--out", str(tmp_path / "new")]) == 1
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_product_without_print_gets_a_guard_for_the_part(engine, photos, tmp_path, capsys):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    for number, path in enumerate((folder / "no_fail").iterdir()):
        cv2.imwrite(str(path), np.random.default_rng(number).integers(150, 156, (480, 640)).astype(np.uint8))
    assert cli.main([str(engine), "--data", str(folder), "--out", str(tmp_path / "new")]) == 0
    manifest = load_bundle(tmp_path / "new").manifest
    assert manifest.guard.kinds == ("part",)
    assert len(manifest.guard.limits) == 1


def test_limits_are_chosen_from_val_alone(photos):
    files = [good_ for side in ("train", "val", "test") for good_ in getattr(good_photos(photos, "no_fail", 0), side)]
    train, val, test = tuple(files[:12]), tuple(files[12:20]), tuple(files[20:28])
    others = tuple(files[28:36])
    one = fit_guard(GoodPhotos(train, val, test), 0)
    with_other_test = fit_guard(GoodPhotos(train, val, others), 0)
    with_other_val = fit_guard(GoodPhotos(train, others, test), 0)
    assert one.limits == with_other_test.limits != with_other_val.limits
    assert one.data == with_other_test.data == with_other_val.data
    assert one.chosen == Rate(0, len(val))
    assert one.tested.n == len(test)
    strict = fit_guard(GoodPhotos(train, val, test), 0.2)
    assert strict.chosen == Rate(1, len(val))


def test_a_manifest_says_which_photo_is_for_what(photos, tmp_path):
    rows = manifest(photos, tmp_path / "labels.csv", {"train": 20, "val": 12, "test": 12})
    found = good_photos(tmp_path / "labels.csv", "no_fail", 0)
    for side in ("train", "val", "test"):
        expected = {row["sha256"] for row in rows if row["split"] == side}
        assert {photo.sha256 for photo in getattr(found, side)} == expected
    assert all(isinstance(photo, Good) for photo in found.train)


def test_a_manifest_with_too_few_good_photos_is_refused(engine, photos, tmp_path, capsys):
    manifest(photos, tmp_path / "labels.csv", {"train": 10, "val": 4, "test": 5})
    arguments = ["--data", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "new")]
    assert cli.main([str(engine), *arguments]) == 78
    error = capsys.readouterr().err
    assert f"{tmp_path / 'labels.csv'}: 4 photos of no_fail in val are too few for a guard" in error
    assert "give the folder of the photos" in error


def test_a_photo_that_changed_since_its_manifest_is_refused(engine, photos, tmp_path, capsys):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    manifest(folder, tmp_path / "labels.csv", {"train": 20, "val": 12, "test": 12})
    cv2.imwrite(str(folder / "no_fail" / "003.png"), good(999))
    arguments = ["--data", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "new")]
    assert cli.main([str(engine), *arguments]) == 78
    assert "003.png: has changed since the manifest was written" in capsys.readouterr().err


def test_a_section_takes_the_place_of_its_predecessor():
    card = "# a 1.0.0\n\n## Guarantee\n\nx\n\n## How it was made\n\n- y\n"
    once = with_section(card, "## Small faults\n\none \\1\n")
    assert once == "# a 1.0.0\n\n## Guarantee\n\nx\n\n## Small faults\n\none \\1\n\n## How it was made\n\n- y\n"
    assert with_section(once, "## Small faults\n\none \\1\n") == once
    assert with_section(once, "## Small faults\n\ntwo\n") == once.replace("one \\1", "two")
    assert with_section("# a 1.0.0", "## Small faults\n\none\n") == "# a 1.0.0\n\n## Small faults\n\none\n\n"


def manifest(photos, path, counts):
    sides = [side for side, count in counts.items() for _ in range(count)]
    rows = [
        {
            "path": str(file),
            "class": "no_fail",
            "label": 1,
            "split": side,
            "group": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file, side in zip(sorted((photos / "no_fail").iterdir())[: len(sides)], sides, strict=True)
    ]
    bad = {"path": "bad.png", "class": "fail", "label": 0, "split": "train", "group": "bad", "sha256": "0" * 64}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, bad)
        writer.writeheader()
        writer.writerows([bad, *rows])
    return rows
