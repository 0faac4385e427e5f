"""Real and synthetic photos in one manifest: the ratio is kept, nothing real leaks, the test stays real."""

import csv
import hashlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.errors import ConfigError
from inspectd_tools.data.manifest import DataManifest, Photo, read_manifest, write_manifest
from inspectd_tools.synthetic import cli as synthesize
from inspectd_tools.synthetic.mix.mix import Share, mix

COUNTS = {"train": 40, "val": 6, "test": 8}


def write_photo(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (8, 8), np.uint8))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def real(tmp_path):
    """good, torn: 40 / 6 / 8 photos each, two to a group; and one unknown to test with."""
    photos = []
    for label, name in enumerate(("good", "torn")):
        for place, side in enumerate(side for side, count in COUNTS.items() for _ in range(count)):
            path = tmp_path / "photos" / name / f"{place}.png"
            digest = write_photo(path, 1000 * label + place)
            photos.append(Photo(path, label, side, f"{name} {place // 2}", digest))
    path = tmp_path / "photos" / "unknown_cup" / "0.png"
    photos.append(Photo(path, 2, "test", "cup", write_photo(path, 9999)))
    write_manifest(DataManifest(("good", "torn", "unknown_cup"), tuple(photos)), tmp_path / "real.csv")
    return tmp_path / "real.csv"


def composed(real, folder, source, count=50, copy=False):
    """As `compose` writes it: all made of the photo `source` of each class ("train" etc.: the first of that split)."""
    manifest = read_manifest(real)
    made, used = [], []
    for label, name in enumerate(manifest.classes):
        origin = next(photo for photo in manifest.photos if photo.label == label and photo.split == source)
        path = origin.path
        if copy:
            path = folder / "elsewhere" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(origin.path.read_bytes())
        used.append((path, origin.sha256))
        for number in range(count):
            write_photo(folder / name / f"{number:05d}.png", 10_000 * sum(folder.name.encode()) + 1000 * label + number)
            made.append((f"{name}/{number:05d}.png", path))
    with (folder / "provenance.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "class", "photo", "ground", "background"))
        writer.writerows((file_, file_.split("/")[0], path, path, "") for file_, path in made)
    with (folder / "sources.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("photo", "sha256"))
        writer.writerows(used)
    return folder


def run(real, *options):
    out = real.with_name("mixed.csv")
    code = synthesize.main(["mix", str(real), str(out), *map(str, options)])
    return read_manifest(out) if code == 0 else code


def counts(manifest, side):
    """(real, synthetic) of each class."""
    result = {}
    for label, name in enumerate(manifest.classes):
        of_class = [photo for photo in manifest.of(side) if photo.label == label]
        synthetic = sum("photos" not in photo.path.parts for photo in of_class)
        result[name] = (len(of_class) - synthetic, synthetic)
    return result


@pytest.mark.parametrize(
    ("n", "ratio", "expected"),
    [(12, 0.25, (36, 12)), (24, 0.5, (24, 24)), (36, 0.75, (12, 36)), (48, 1, (0, 48)), (30, 0, (30, 0))],
)
def test_the_ratio_is_synthetic_of_all(real, tmp_path, n, ratio, expected):
    before = {path: path.read_bytes() for path in (tmp_path / "photos").rglob("*.png")}
    manifest = run(real, "--synthetic", composed(real, tmp_path / "made", "train"), "--train", n, ratio)
    assert counts(manifest, "train") == {"good": expected, "torn": expected}
    assert counts(manifest, "val") == {"good": (6, 0), "torn": (6, 0)}
    assert counts(manifest, "test") == {"good": (8, 0), "torn": (8, 0)}
    assert len(manifest.unknown("test")["unknown_cup"]) == 1
    assert all(hashlib.sha256(photo.path.read_bytes()).hexdigest() == photo.sha256 for photo in manifest.photos)
    assert before == {path: path.read_bytes() for path in (tmp_path / "photos").rglob("*.png")}


def test_the_same_real_photos_are_taken_with_and_without_synthetic_ones(real, tmp_path):
    made = composed(real, tmp_path / "made", "train")
    with_synthetic = run(real, "--synthetic", made, "--train", 30, 0.75, "--seed", 3)
    alone = run(real, "--train", 10, 0, "--seed", 3)
    other = run(real, "--train", 10, 0, "--seed", 4)
    taken = [
        {photo.path for photo in manifest.of("train") if "photos" in photo.path.parts}
        for manifest in (with_synthetic, alone, other)
    ]
    assert taken[0] == taken[1] != taken[2]


@pytest.mark.parametrize("copy", [False, True], ids=["itself", "a copy of it elsewhere"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_an_image_made_of_a_photo_that_judges_is_refused_and_both_are_named(real, tmp_path, capsys, split, copy):
    made = composed(real, tmp_path / "made", split, copy=copy)
    assert run(real, "--synthetic", made, "--train", 12, 0.5) == 78
    error = capsys.readouterr().err
    origin = next(photo for photo in read_manifest(real).photos if photo.split == split and photo.label == 0)
    assert str(origin.path) in error
    assert f"which is in {split}" in error
    assert str(made / "good") in error
    assert not real.with_name("mixed.csv").exists()


def test_validation_can_be_synthetic_if_it_is_made_of_validation_photos(real, tmp_path, capsys):
    for_train = composed(real, tmp_path / "a", "train")
    for_val = composed(real, tmp_path / "b", "val")
    both = ["--synthetic", for_train, "--synthetic", for_val]
    manifest = run(real, *both, "--train", 12, 0.25, "--val", 20, 1)
    assert counts(manifest, "val") == {"good": (0, 20), "torn": (0, 20)}
    assert {photo.path.parents[1].name for photo in manifest.of("val")} == {"b"}
    assert run(real, "--synthetic", for_train, "--val", 20, 1) == 78
    assert "goes to val, but is made of" in capsys.readouterr().err


def test_one_photo_can_not_be_behind_both_training_and_validation(real, tmp_path, capsys):
    """Also if the manifest does not know it, such as a background."""
    folders = []
    for name in ("a", "b"):
        folder = composed(real, tmp_path / name, "train" if name == "a" else "val")
        text = (
            (folder / "provenance.csv")
            .read_text()
            .replace(",\n", f",{tmp_path / 'belt.png'}\n")
            .replace(",\r\n", f",{tmp_path / 'belt.png'}\r\n")
        )
        (folder / "provenance.csv").write_text(text)
        folders += ["--synthetic", folder]
    assert run(real, *folders, "--train", 12, 0.25, "--val", 20, 1) == 78
    assert "belt.png too" in capsys.readouterr().err


def test_drawn_images_have_no_photos_behind_them(real, tmp_path):
    for label, name in enumerate(("good", "torn")):
        for number in range(20):
            write_photo(tmp_path / "drawn" / name / f"{number}.png", 70_000 + 100 * label + number)
    (tmp_path / "drawn" / "truth.csv").write_text("file\n")
    manifest = run(real, "--synthetic", tmp_path / "drawn", "--val", 10, 1)
    assert counts(manifest, "val") == {"good": (0, 10), "torn": (0, 10)}


def test_no_drawn_image_is_trained_on_and_validated_with(real, tmp_path, capsys):
    folder = tmp_path / "drawn"
    for name in ("good", "torn"):
        for number in range(25):
            write_photo(folder / name / f"{number}.png", 70_000 + 100 * len(set(name)) + number)
    (folder / "truth.csv").write_text("file,class\n")
    options = ["--synthetic", str(folder), "--train", "15", "1", "--val"]
    manifest = run(real, *options, "10", "1")
    assert len({photo.path for photo in manifest.photos if "drawn" in photo.path.parts}) == 50
    assert synthesize.main(["mix", str(real), str(tmp_path / "x.csv"), *options, "11", "1"]) == 78
    assert "there are 10" in capsys.readouterr().err


def test_what_is_not_taken_joins_the_test_unless_its_group_is_taken(real):
    manifest = run(real, "--train", 11, 0, "--rest-to-test", "--keep", "good")
    assert counts(manifest, "train") == {"good": (40, 0), "torn": (11, 0)}
    # 29 are left; one of them is of the group that the 11th was taken from
    assert counts(manifest, "test") == {"good": (8, 0), "torn": (8 + 28, 0)}
    sides = Counter((photo.group, photo.split) for photo in manifest.photos)
    assert len({group for group, _ in sides}) == len(sides)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train", 12, 0.1], "--train: class good: 108 real photos are needed, there are 40"),
        (["--train", 60, 1], "class good: 60 synthetic images are needed: there are 50"),
        (["--train", 10, 0.3], "need 23.33 real photos per class; choose N and RATIO"),
        (["--train", 12, 1.5], "ratio 1.5; must be from 0 (all real) to 1 (all synthetic)"),
        (["--val", 0, 1], "--val: 0 photos per class; must be 1 or more"),
        (["--train", 12, 0.5, "--keep", "gud"], "--keep: 'gud' is not a class; the classes are good, torn"),
        (["--train", 12, "nan"], "ratio nan"),
    ],
)
def test_limits(real, tmp_path, capsys, options, message):
    assert run(real, "--synthetic", composed(real, tmp_path / "made", "train"), *options) == 78
    assert message in capsys.readouterr().err


def test_a_class_that_has_no_synthetic_images_can_be_kept(real, tmp_path, capsys):
    made = composed(real, tmp_path / "made", "train")
    for path in (made / "good").iterdir():
        path.unlink()
    (made / "good").rmdir()
    assert run(real, "--synthetic", made, "--train", 12, 0.5) == 78
    assert "--keep good keeps its real photos instead" in capsys.readouterr().err
    manifest = run(real, "--synthetic", made, "--train", 12, 0.5, "--keep", "good")
    assert counts(manifest, "train") == {"good": (40, 0), "torn": (12, 12)}


def test_images_of_unknown_origin_are_refused(real, tmp_path, capsys):
    made = composed(real, tmp_path / "made", "train")
    (made / "sources.csv").unlink()
    assert run(real, "--synthetic", made, "--train", 12, 0.5) == 78
    assert "sources.csv: no such file" in capsys.readouterr().err


def test_behind_images_that_were_learnt_is_every_photo_of_the_training(real, tmp_path, capsys):
    made = composed(real, tmp_path / "made", "train")
    (made / "provenance.csv").unlink()
    assert counts(run(real, "--synthetic", made, "--train", 12, 0.5), "train")["torn"] == (12, 12)
    judging = next(photo for photo in read_manifest(real).photos if photo.split == "test")
    with (made / "sources.csv").open("a", newline="") as file:
        csv.writer(file).writerow((judging.path, judging.sha256))
    assert run(real, "--synthetic", made, "--train", 12, 0.5) == 78
    assert str(judging.path) in capsys.readouterr().err


def test_an_image_that_provenance_does_not_list_is_refused(real, tmp_path, capsys):
    made = composed(real, tmp_path / "made", "train")
    write_photo(made / "torn" / "smuggled.png", 1)
    assert run(real, "--synthetic", made, "--train", 12, 0.5) == 78
    assert "smuggled.png: provenance.csv does not list this image" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["real.csv", "out.csv"], ["real.csv", "real.csv", "--train", "1", "0"], ["a.csv", "b.csv", "--train", "x", "1"]],
)
def test_wrong_usage(arguments):
    with pytest.raises(SystemExit) as ended:
        synthesize.main(["mix", *arguments])
    assert ended.value.code == 2


@given(st.integers(1, 500), st.integers(1, 500))
def test_shares_are_exact_where_they_are_allowed(synthetic, real_count):
    share = Share(synthetic, synthetic / (synthetic + real_count))
    share.check("--train")
    assert share.real == real_count


@given(st.integers(1, 30), st.integers(0, 2**16), st.booleans())
def test_no_group_straddles(n, seed, rest):
    photos = tuple(
        Photo(real_path, label, side, f"{label} {side} {place // 3}", "0" * 64)
        for label in (0, 1)
        for side in ("train", "val", "test")
        for place in range(30)
        if (real_path := Path(f"{label}-{side}-{place}.png"))
    )
    mixed = mix(DataManifest(("a", "b"), photos), [], {"train": Share(n, 0)}, rest_to_test=rest, seed=seed)
    assert [mixed.count(label, "train") for label in (0, 1)] == [n, n]
    assert len({photo.path for photo in mixed.photos}) == len(mixed.photos)
    assert len({(photo.group, photo.split) for photo in mixed.photos}) == len({photo.group for photo in mixed.photos})


def test_a_manifest_of_one_ratio_can_not_break_a_rule_unseen():
    with pytest.raises(ConfigError, match=r"ratio -0\.5"):
        mix(DataManifest(("a", "b"), ()), [], {"train": Share(3, -0.5)})
