"""From a folder of photos to a manifest whose test photos are new to the model."""

import json
import os
import re
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from inspectd import cli
from inspectd.errors import ConfigError
from inspectd_tools.data import prepare as prepare_data
from inspectd_tools.data.images import Images
from inspectd_tools.data.images import split as split_in_two
from inspectd_tools.data.manifest import SPLITS, UNKNOWN, DataManifest, Photo, read_manifest, write_manifest
from inspectd_tools.data.report import report_page
from inspectd_tools.data.scan import look_at
from inspectd_tools.data.split import SHARES, closest_across, group, split
from inspectd_tools.synthetic import cli as synthesize

CONFIG = Path(__file__).parents[3] / "config"
TILES = Path(os.environ.get("INSPECTD_DATASETS", "../shared/datasets")) / "magnetic_tile" / "images"


def picture(seed, size=(60, 80)):
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 16), np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for place, name in enumerate(("good", "torn")):
        (root / name).mkdir(parents=True)
        for number in range(20):
            cv2.imwrite(str(root / name / f"p{number}.png"), picture(100 * place + number))
    return root


def prepare(root, *options):
    out = root.parent / "data.csv"
    out.unlink(missing_ok=True)
    assert prepare_data.main([str(root), "--out", str(out), *options]) == 0
    return read_manifest(out)


def test_every_class_is_split_80_10_10_and_nothing_is_copied(photos):
    before = sorted(photos.rglob("*"))
    manifest = prepare(photos)
    assert manifest.classes == ("good", "torn")
    assert [[manifest.count(label, side) for side in SPLITS] for label in (0, 1)] == [[16, 2, 2]] * 2
    assert all(photo.path.is_file() for photo in manifest.photos)
    assert sorted(photos.rglob("*")) == before


def test_the_order_of_the_classes_is_the_users(photos):
    manifest = prepare(photos, "--classes", "torn,good")
    assert manifest.classes == ("torn", "good")
    assert {photo.path.parent.name for photo in manifest.photos if photo.label == 0} == {"torn"}


def test_the_seed_decides(photos):
    assert prepare(photos) == prepare(photos)
    assert prepare(photos) != prepare(photos, "--seed", "1")


def test_at_most_n_a_class(photos):
    assert Counter(photo.label for photo in prepare(photos, "--per-class", "7").photos) == {0: 7, 1: 7}


def test_darker_copies_stay_with_their_original(photos):
    for path in list((photos / "good").iterdir()):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path.with_name(f"dark-{path.stem}.jpg")), (image * 0.7).astype(np.uint8))
    sides = {photo.path.stem.removeprefix("dark-"): set() for photo in prepare(photos).photos if photo.label == 0}
    for photo in prepare(photos).photos:
        if photo.label == 0:
            sides[photo.path.stem.removeprefix("dark-")].add(photo.split)
    assert all(len(found) == 1 for found in sides.values())
    apart = prepare(photos, "--near", "-1")
    assert len({photo.group for photo in apart.photos}) == 60


def test_photos_of_one_source_stay_together(photos):
    for number in range(20):
        cv2.imwrite(str(photos / "torn" / f"p{number}_cut2.png"), picture(1000 + number))
    manifest = prepare(photos, "--suffix", r"(_cut\d)+")
    sides = defaultdict(set)
    for photo in manifest.photos:
        sides[photo.path.stem.split("_")[0]].add(photo.split)
    assert all(len(found) == 1 for found in sides.values())


def test_broken_and_foreign_files_are_left_out_and_broken_ones_named(photos, capsys):
    (photos / "good" / "broken.png").write_bytes(b"no image")
    (photos / "good" / "empty.bmp").touch()
    (photos / "good" / "camera.ivp").write_text("settings")
    assert len(prepare(photos).photos) == 40
    errors = capsys.readouterr().err
    assert "broken.png: is not an image" in errors
    assert "empty.bmp: is not an image" in errors
    assert "camera.ivp" not in errors


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: shutil.copy(root / "good" / "p0.png", root / "torn" / "x.png"), "is the same file as"),
        (lambda root: (root / "empty").mkdir(), "empty: holds no photo"),
        (lambda root: shutil.rmtree(root / "good"), "holds 1 folder"),
        (lambda root: [path.unlink() for path in (root / "good").glob("p[1-9]*")], "at least 3 groups are needed"),
    ],
)
def test_photos_that_cant_be_used_are_explained(photos, spoil, message, capsys):
    spoil(photos)
    out = photos.parent / "data.csv"
    assert prepare_data.main([str(photos), "--out", str(out)]) == 78
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_manifest_is_not_overwritten(photos, capsys):
    prepare(photos)
    out = photos.parent / "data.csv"
    before = out.read_bytes()
    with pytest.raises(SystemExit):
        prepare_data.main([str(photos), "--out", str(out)])
    assert f"--out {out}: exists" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_the_folder_above_the_class_folders_is_found_out(photos, capsys):
    root = photos.parent / "above"
    root.mkdir()
    shutil.copytree(photos, root / "labels")
    shutil.copytree(photos / "good", root / "other")
    arguments = [str(root), "--out", str(photos.parent / "above.csv"), "--near", "-1"]
    prepare_data.main(arguments)
    assert f"{root / 'labels'}: is taken for one class" in capsys.readouterr().err
    shutil.copytree(photos / "good", root / "labels" / "unknown_empty")
    (photos.parent / "above.csv").unlink(missing_ok=True)
    assert prepare_data.main(arguments) == 78
    assert "holds the folder unknown_empty" in capsys.readouterr().err


@pytest.fixture
def published(photos):
    """train/ and test/ of a published set, with the same file names and other photos."""
    root = photos.parent / "published"
    shutil.copytree(photos, root / "train")
    shutil.copytree(photos, root / "test")
    for path in (root / "test").rglob("*.png"):
        cv2.imwrite(str(path), picture(5000 + 100 * (path.parent.name == "torn") + int(path.stem[1:])))
    return root


def test_a_published_test_set_stays_as_it_is(published):
    manifest = prepare(published, "--fixed-test")
    assert [manifest.count(0, side) for side in SPLITS] == [16, 4, 20]
    assert all((photo.split == "test") == ("test" in photo.path.parts) for photo in manifest.photos)


def test_photos_of_what_a_published_test_shows_are_not_trained_with(published, capsys):
    """An equal file, a darker copy, and a photo of the same source; and two photos of one thing are both in train or in val."""
    good, test = published / "train" / "good", published / "test" / "good"
    for path in list((published / "test").rglob("p*.png")):
        path.rename(path.with_name(f"t{path.name}"))
    shutil.copy(test / "tp3.png", good / "same.png")
    image = cv2.imread(str(test / "tp4.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(good / "dark.png"), (image * 0.7).astype(np.uint8))
    (test / "tp5.png").rename(test / "source_cut1.png")
    (good / "p0.png").rename(good / "source_cut2.png")
    for path in list(good.glob("p*.png")):
        shutil.copy(path, path.with_name(f"twin-{path.name}"))
    manifest = prepare(published, "--fixed-test", "--suffix", r"_cut\d")
    used = {photo.path.name: photo.split for photo in manifest.photos if "train" in photo.path.parts}
    assert used.keys() & {"same.png", "dark.png", "source_cut2.png", "twin-source_cut2.png"} == set()
    assert all(used[f"twin-p{number}.png"] == used[f"p{number}.png"] for number in range(1, 20))
    assert manifest.count(0, "test") == 20
    errors = capsys.readouterr().err
    for name, tested in (("same", "tp3"), ("dark", "tp4"), ("source_cut2", "source_cut1")):
        assert f"{name}.png: shows the same thing as the test photo {test / tested}.png; left out" in errors


def test_a_published_set_that_tests_what_it_trains_is_refused(photos, capsys):
    root = photos.parent / "published"
    shutil.copytree(photos, root / "train")
    shutil.copytree(photos, root / "test")
    assert prepare_data.main([str(root), "--fixed-test", "--out", str(photos.parent / "data.csv")]) == 78
    errors = capsys.readouterr().err
    assert "40 photos show the same thing as a test photo; all are left out" in errors
    assert "class good: has 0 photo(s) in 0 group(s), too few for train, val" in errors


def test_unknowns_of_a_published_set_stay_where_they_are_and_are_never_trained_on(photos, published):
    root = published
    for place, side in enumerate(("train", "test")):
        for name in ("odd", f"unknown_of_{side}", "unknown_of_both"):
            (root / side / name).mkdir()
            for number in range(5):
                cv2.imwrite(
                    str(root / side / name / f"{number}.png"), picture(1000 * place + sum(name.encode()) * 50 + number)
                )
    manifest = prepare(root, "--fixed-test", "--held-out", "odd")
    found = {name: [manifest.count(label, side) for side in SPLITS] for label, name in enumerate(manifest.names)}
    assert found == {
        "good": [16, 4, 20],
        "torn": [16, 4, 20],
        "unknown_odd": [0, 5, 5],
        "unknown_of_both": [0, 5, 5],
        "unknown_of_test": [0, 0, 5],
        "unknown_of_train": [0, 5, 0],
    }


def test_a_class_of_one_side_of_a_published_set_is_refused(photos, capsys):
    root = photos.parent / "published"
    for side in ("train", "test"):
        shutil.copytree(photos, root / side)
    shutil.copytree(photos / "torn", root / "test" / "scratched")
    assert prepare_data.main([str(root), "--fixed-test", "--out", str(photos.parent / "data.csv")]) == 78
    assert "train/scratched: no such class folder" in capsys.readouterr().err


def test_the_report_is_a_picture(photos):
    report = photos.parent / "report.png"
    prepare(photos, "--report", str(report))
    assert cv2.imread(str(report)).shape[1] > 1000


def test_the_report_shows_which_test_photos_are_most_like_training_photos(photos):
    """Also where the manifest leaves photos out."""
    for path in (photos / "torn").glob("*.png"):
        path.rename(path.with_name(f"torn-{path.name}"))
    manifest = prepare(photos, "--few", "5")
    looked_at, _ = look_at([(path, path.parent.name == "torn") for path in sorted(photos.rglob("*.png"))])
    looks = {seen.path.name: seen.looks for seen in looked_at}
    on = {photo.path.name: photo.split for photo in manifest.photos}
    assert len(on) < len(looks)
    titles = [axes.get_title() for axes in report_page(manifest, looked_at, []).findobj(Axes)]
    shown = [re.fullmatch("(test|train): (.+), ([0-9]+) bits", title) for title in titles]
    found = [match.groups() for match in shown if match]
    assert len(found) == 8
    for (side, photo, bits), (other_side, other, same_bits) in zip(found[::2], found[1::2], strict=True):
        assert (side, other_side) == (on[photo], on[other]) == ("test", "train")
        distances = {name: np.bitwise_count(looks[photo] ^ looks[name]).sum() for name in on if on[name] == "train"}
        assert distances[other] == min(distances.values()) == int(bits) == int(same_bits)


@pytest.mark.skipif(not TILES.is_dir(), reason=f"{TILES}: real photos are not here (INSPECTD_DATASETS)")
def test_one_real_tile_under_six_lights_is_one_group(tmp_path):
    seen, broken = look_at([(path, 0) for path in sorted((TILES / "free").glob("*.jpg"))])
    assert not broken
    sizes = Counter(group(seen, None, 10))
    assert sum(size > 1 for size in sizes.values()) > 50
    assert max(sizes.values()) <= 12


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), max_size=200),
    st.integers(0, 2**32 - 1),
)
def test_no_group_straddles_and_no_split_is_empty(photos, seed):
    photos = photos + [(label, f"{label} alone {number}") for label in range(3) for number in range(3)]
    labels, groups = [label for label, _ in photos], [name for _, name in photos]
    sides = split(labels, groups, ("a", "b", "c"), seed)
    where = defaultdict(set)
    for name, side in zip(groups, sides, strict=True):
        where[name].add(side)
    assert all(len(found) == 1 for found in where.values())
    assert set(zip(labels, sides, strict=True)) == {(label, side) for label in range(3) for side in SPLITS}


def test_classes_that_only_occur_together_cant_be_split():
    with pytest.raises(ConfigError, match=r"class [ab]: each of its groups holds other classes"):
        split([0, 1] * 4 + [0] * 90, [0, 0, 1, 1, 2, 2, 3, 3, *range(4, 94)], ("a", "b"), 0)


@given(st.lists(st.integers(10, 300), min_size=2, max_size=6), st.integers(0, 2**32 - 1))
def test_single_photos_are_split_to_within_one(counts, seed):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    found = Counter(zip(labels, split(labels, range(len(labels)), [str(c) for c in counts], seed), strict=True))
    for label, count in enumerate(counts):
        assert all(abs(found[label, side] - share * count) <= 1 for side, share in SHARES.items())


NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12)


@given(
    st.lists(NAMES.filter(lambda name: not name.startswith(UNKNOWN)), min_size=2, max_size=5, unique=True),
    st.lists(
        st.tuples(st.sampled_from(SPLITS), NAMES.filter(lambda text: "/" not in text and text not in "..")), max_size=20
    ),
)
def test_a_manifest_is_read_as_it_was_written(tmp_path_factory, classes, entries):
    folder = tmp_path_factory.mktemp("manifest")
    photos = [
        Photo(folder / name, place % len(classes), side, f"{place}", f"{place:064}")
        for place, (side, name) in enumerate([("train", "x")] * len(classes) + entries)
    ]
    manifest = DataManifest(tuple(classes), tuple(photos))
    write_manifest(manifest, folder / "data.csv")
    assert read_manifest(folder / "data.csv") == manifest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("val", "valid", "split: 'valid' must be one of train, val, test"),
        (",0,", ",zero,", "label: 'zero' must be a whole number"),
        (",good,", ",bad,", "label 0 is bad, not good"),
        ("sha256", "md5", "must have the columns path, class"),
        ("good,0", "good,7", "labels must count"),
    ],
)
def test_a_spoilt_manifest_is_explained(photos, old, new, message):
    prepare(photos)
    path = photos.parent / "data.csv"
    path.write_text(path.read_text().replace(old, new, 1 if old == ",good," else -1))
    with pytest.raises(ConfigError, match=message):
        read_manifest(path)


def test_a_group_in_two_splits_is_refused(photos):
    prepare(photos)
    path = photos.parent / "data.csv"
    path.write_text(re.sub(r"(good|torn)/p\d+\.png,([0-9a-f]{64})", r"one,\2", path.read_text()))
    with pytest.raises(ConfigError, match="group one is in two splits"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("label", "side", "message"),
    [
        ("torn", "train", "is the same file as .*a.png of another class; one is wrong"),
        ("good", "test", r"line 3: .*b.png is in test, but the same file is in train as .*a.png"),
    ],
)
def test_a_file_in_two_classes_or_splits_of_a_manifest_is_refused(tmp_path, label, side, message):
    path = tmp_path / "data.csv"
    photos = [("a.png", 0, "train", "1"), ("b.png", int(label == "torn"), side, "1"), ("c.png", 1, "train", "2")]
    write_manifest(
        DataManifest(
            ("good", "torn"),
            tuple(Photo(tmp_path / name, place, split, name, digest * 64) for name, place, split, digest in photos),
        ),
        path,
    )
    with pytest.raises(ConfigError, match=message):
        read_manifest(path)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), max_size=40), st.integers(0, 2**32 - 1))
def test_equal_files_of_a_folder_are_in_one_part(more, seed):
    """The split of a training without a manifest."""
    files = [(label, number) for label in (0, 1) for number in range(3)] + more
    images = Images(
        tuple(Path(f"{place}.png") for place in range(len(files))),
        np.zeros((len(files), 1, 1, 1), np.uint8),
        np.array([label for label, _ in files]),
        tuple(f"{label} {number}" for label, number in files),
    )
    parts = split_in_two(images, 0.3, seed)
    assert sum(len(part.files) for part in parts) == len(files)
    assert not set(parts[0].digests) & set(parts[1].digests)
    assert all(set(part.labels) == {0, 1} for part in parts)


def test_equal_files_of_two_classes_can_not_be_trained_with():
    images = Images(
        tuple(map(Path, ("good/1.png", "good/2.png", "torn/1.png", "torn/2.png"))),
        np.zeros((4, 1, 1, 1), np.uint8),
        np.array([0, 0, 1, 1]),
        ("a", "b", "c", "a"),
    )
    with pytest.raises(ConfigError, match=r"torn/2.png: is the same file as good/1.png of another class"):
        split_in_two(images, 0.5, 0)


def test_shares_give_so_many_photos_to_each_split(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            pixels = rng.integers(0, 256, (24, 24), np.uint8)
            cv2.imwrite(str(tmp_path / "photos" / name / f"{number}.png"), pixels)
    out = tmp_path / "data.csv"
    arguments = [str(tmp_path / "photos"), "--out", str(out), "--per-class", "24"]
    assert prepare_data.main([*arguments, "--shares", "500,50,50"]) == 0
    manifest = read_manifest(out)
    assert [[manifest.count(label, side) for side in ("train", "val", "test")] for label in (0, 1)] == [[20, 2, 2]] * 2
    for bad in ("80,20", "1,0,1", "many"):
        with pytest.raises(SystemExit):
            prepare_data.main([*arguments, "--shares", bad])
    assert "must be three positive numbers" in capsys.readouterr().err


def test_a_stream_is_what_the_demo_runs_on(tmp_path):
    """From photos to the real daemon: every test photo is inspected once and compared with its folder."""
    labels, stream, out = tmp_path / "labels", tmp_path / "stream", tmp_path / "out"
    assert synthesize.main(["render", str(labels), "--count-per-class", "15", "--unknowns-per-kind", "2"]) == 0
    manifest = prepare(labels, "--near", "-1", "--stream", str(stream))
    line = yaml.safe_load((CONFIG / "photos.yaml").read_text())
    line["engine"] = str(CONFIG.parent / "engines" / "filter-label")
    (tmp_path / "line.yaml").write_text(yaml.safe_dump(line))
    assert cli.main(["demo", str(stream), "--config", str(tmp_path / "line.yaml"), "--out", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text())
    tested = [photo for photo in manifest.photos if photo.split == "test"]
    assert (summary["parts"], summary["missed"]) == (len(tested), 0)
    assert summary["good"] == manifest.count(3, "test") == summary["by_truth"]["no_fail"].get("pass", 0)
    assert summary["unknown"] == sum(len(photos) for photos in manifest.unknown("test").values()) == 16
    assert (out / "rejects.png").is_file()


def test_photos_of_two_folders_that_number_alike_are_no_burst(photos):
    """Each part was photographed twice. All folders begin at 0, also the subfolders of one class."""
    for name, size in (("good", 20), ("torn", 10)):
        for path in list((photos / name).iterdir()):
            folder, number = divmod(int(path.stem[1:]), size)
            (photos / name / f"day{folder}").mkdir(exist_ok=True)
            frame = number // 2 * 10 + number % 2
            path.rename(photos / name / f"day{folder}" / f"{'ab'[number % 2]}_{frame:04}.png")
    found = prepare(photos, "--burst", "8").photos
    assert {photo.path.name for photo in found if photo.label == 1} < {photo.path.name for photo in found}
    assert set(Counter(photo.group for photo in found).values()) == {2}


def test_a_burst_of_a_whole_class_is_explained(photos, capsys):
    assert prepare_data.main([str(photos), "--out", str(photos.parent / "x.csv"), "--burst", "1"]) == 78
    assert (
        "class good: has 20 photo(s) in 1 group(s), too few for train, val, test; at least 3 groups are needed; "
        "--near, --burst and --suffix decide which photos make a group"
    ) in capsys.readouterr().err


def test_the_table_says_how_many_parts_the_photos_of_a_class_show(photos, capsys):
    prepare(photos, "--near", "-1", "--suffix", "[02468]")
    rows = {
        cells[0]: cells[-1]
        for cells in (re.findall(r"\w+", line) for line in capsys.readouterr().out.splitlines())
        if cells
    }
    for label, name in enumerate(("good", "torn")):
        found = read_manifest(photos.parent / "data.csv").photos
        assert rows[name] == str(len({photo.group for photo in found if photo.label == label}))


def test_every_photo_in_two_classes_is_named(photos, capsys):
    for number in range(12):
        shutil.copy(photos / "good" / f"p{number}.png", photos / "torn" / f"x{number}.png")
    assert prepare_data.main([str(photos), "--out", str(photos.parent / "x.csv")]) == 78
    errors = capsys.readouterr().err
    assert errors.count("is the same file as") == 10
    assert "torn/x0.png: is the same file as" in errors
    assert "2 more photos are in two classes" in errors


def test_frames_of_a_burst_stay_together(photos):
    for place, path in enumerate(sorted((photos / "torn").iterdir())):
        path.rename(path.with_name(f"frame_{100 * (place // 4) + 3 * (place % 4):05}.png"))
    for path in (photos / "good").iterdir():
        path.rename(path.with_name(f"good-{path.stem[1:]}-x.png"))
    found = prepare(photos, "--burst", "3").photos
    assert sorted(Counter(photo.group for photo in found if photo.label == 1).values()) == [4] * 5
    assert len({photo.group for photo in found if photo.label == 0}) == 20
    assert len({photo.group for photo in prepare(photos, "--burst", "2").photos}) == 40


def test_the_test_photo_most_like_one_to_train_with_is_found(photos):
    twin = cv2.imread(str(photos / "good" / "p3.png"), cv2.IMREAD_GRAYSCALE)
    twin[10:20, 10:20] = 255
    cv2.imwrite(str(photos / "torn" / "twin.png"), twin)
    seen, _ = look_at([(path, 0) for path in sorted(photos.rglob("*.png"))])
    names = [photo.path.name for photo in seen]
    sides = ["test" if name in ("twin.png", "p7.png") else "train" for name in names]
    found = closest_across(seen, sides, 9)
    assert names[found[0][0]] == "twin.png"
    assert names[found[0][1]] == "p3.png"
    bits = [
        bin(int(a) ^ int(b)).count("1") for a, b in zip(*(seen[place].looks for place in found[0][:2]), strict=True)
    ]
    assert found[0][2] == sum(bits) < found[1][2]


def test_few_photos_to_learn_from_leave_the_test_whole(photos):
    whole, few = prepare(photos, "--shares", "60,20,20"), prepare(photos, "--shares", "60,20,20", "--few", "8")
    assert [[few.count(label, side) for side in SPLITS] for label in (0, 1)] == [[6, 2, 4]] * 2
    assert few.of("test") == whole.of("test")
    assert set(few.photos) < set(whole.photos)


def test_a_class_held_out_plays_the_unknown(photos, capsys):
    shutil.copytree(photos / "torn", photos / "wet")
    for path in (photos / "wet").iterdir():
        cv2.imwrite(str(path), picture(500 + int(path.stem[1:])))
    manifest = prepare(photos, "--held-out", "torn", "--few", "10")
    assert manifest.names == ("good", "wet", "unknown_torn")
    assert manifest.count(2, "train") == 0
    assert {photo.path.parent.name for photo in manifest.unknown("test")["unknown_torn"]} == {"torn"}
    assert prepare_data.main([str(photos), "--out", str(photos.parent / "x.csv"), "--held-out", "worn"]) == 78
    assert "--held-out worn: is not one of the classes good, torn, wet" in capsys.readouterr().err


def test_a_manifest_that_cannot_be_written_is_said(photos, capsys):
    assert prepare_data.main([str(photos), "--out", str(photos)]) == 1
    assert "prepare_data: [Errno 21] Is a directory" in capsys.readouterr().err
