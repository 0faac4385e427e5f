"""Composed photos: what is found, lifted, filled and pasted, against the renderer's truth and against OpenCV."""

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.errors import ConfigError
from inspectd_tools.synthetic import cli as synthesize
from inspectd_tools.synthetic.compose.blend import Membrane, inpaint_seam
from inspectd_tools.synthetic.compose.config import GroundConfig, InkConfig, load_compose_config
from inspectd_tools.synthetic.compose.ink import grown, ink_mask, inpainted, textured, transmittance
from inspectd_tools.synthetic.compose.matching import Template, find
from inspectd_tools.synthetic.render.label import render
from inspectd_tools.synthetic.render.style import PLANT

CONFIG = Path(__file__).parents[3] / "config"
STYLE = replace(PLANT, fonts=("stroke",), good_angle_deg=0.4, pose_angle_deg=0.3)


def photo(kind, seed):
    return render(kind, np.random.default_rng(seed), STYLE)


def box_of(polygon):
    left, top = np.round(polygon.min(axis=0)).astype(int).tolist()
    right, bottom = np.round(polygon.max(axis=0)).astype(int).tolist()
    return [left, top, right - left, bottom - top]


@settings(max_examples=12, deadline=None)
@given(st.floats(-14, 14), st.floats(0.93, 1.07), st.tuples(st.integers(-40, 40), st.integers(-30, 30)))
def test_a_turned_scaled_and_shifted_label_is_found_where_it_is(angle_deg, scale, shift):
    image = photo("no_fail", 3).image
    matrix = cv2.getRotationMatrix2D((320, 240), -angle_deg, scale)
    matrix[:, 2] += shift
    moved = cv2.warpAffine(image, matrix, (640, 480), borderMode=cv2.BORDER_REFLECT)
    # other light: correlation must not care
    moved = np.clip(0.6 * moved + 30, 0, 255).astype(np.uint8)
    box = tuple(box_of(photo("no_fail", 3).polygon))
    found = find(moved, [Template("label", image, box, box)], (-15, 15), (0.92, 1.08))
    true = matrix @ [box[0] + box[2] / 2, box[1] + box[3] / 2, 1]
    assert found.score > 0.9
    assert np.linalg.norm(np.array(found.centre) - true) < 2
    assert abs(found.angle_deg - angle_deg) < 0.7
    assert abs(found.scale - scale) < 0.015


def test_a_label_is_not_looked_for_further_away_than_it_can_be():
    sample = photo("no_fail", 3)
    box = tuple(box_of(sample.polygon))
    moved = np.roll(sample.image, 60, axis=1)
    template = Template("label", sample.image, box, box)
    assert find(moved, [template], (0, 0), (1, 1)).centre[0] == pytest.approx(box[0] + box[2] / 2 + 60, abs=1)
    near = find(moved, [template], (0, 0), (1, 1), within_px=24)
    assert near.score < 0.5
    assert abs(near.centre[0] - (box[0] + box[2] / 2)) < 50


def test_an_even_photo_holds_nothing():
    sample = photo("no_fail", 3)
    box = tuple(box_of(sample.polygon))
    assert (
        find(np.full((480, 640), 90, np.uint8), [Template("label", sample.image, box, box)], (-3, 3), (1, 1)).score <= 0
    )


@pytest.mark.parametrize("method", ["navier_stokes", "telea"])
def test_ink_is_taken_off_and_the_surface_goes_on(method):
    sample, bare = photo("no_fail", 8), photo("blank_filter", 8).image.astype(float)
    mask = grown(ink_mask(sample.image, InkConfig()), 3)
    config = GroundConfig(classes=("no_fail",), inpaint=method)
    inside = cv2.erode(np.uint8(bare > 100) * 255, np.ones((41, 41), np.uint8))
    smooth = inpainted(sample.image, mask & inside, config)
    filled = textured(sample.image, mask & inside, inside, config)
    ink = sample.ink > 127
    contrast = np.median((bare - sample.image)[ink])
    assert (bare - filled > 0.25 * contrast)[ink].mean() < 0.02
    beside = (inside > 0) & (mask == 0)

    def grain(image):
        return (image - cv2.GaussianBlur(image, (0, 0), 3)).astype(float)

    truth = grain(bare)[ink].std()
    assert grain(filled.astype(float))[ink].std() == pytest.approx(truth, rel=0.3)
    assert grain(smooth.astype(float))[ink].std() < 0.6 * truth
    assert (filled == sample.image)[beside].all()


def test_lifted_ink_put_back_gives_the_photo_again():
    sample = photo("no_fail", 8)
    mask = grown(ink_mask(sample.image, InkConfig()), 3)
    bare = inpainted(sample.image, mask, GroundConfig(classes=("no_fail",)))
    again = cv2.multiply(bare, transmittance(sample.image, bare, mask), scale=1 / 255).astype(int)
    off = again - sample.image
    assert np.abs(off[mask == 0]).max() == 0
    # ink only darkens: what was brighter than the inpainted surface can't come back
    darker = (mask > 0) & (sample.image <= bare)
    assert np.abs(off[darker]).max() <= 1


def smooth_picture(seed, shape=(160, 200)):
    coarse = np.random.default_rng(seed).integers(60, 190, (4, 5)).astype(np.uint8)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)


def test_blending_is_that_of_opencvs_seamless_clone():
    """On a rectangle: of any other region OpenCV blends the box around it."""
    target, source = smooth_picture(1), smooth_picture(2)
    mask = np.zeros((160, 200), np.uint8)
    mask[35:125, 40:160] = 255
    region = cv2.erode(mask, None, iterations=3)  # OpenCV does so first
    coarse, fine = (Membrane(region, cells, 1).blend(target, source) for cells in (20, 80))
    left, top, width, height = cv2.boundingRect(mask)
    colour = [cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) for image in (source, target)]
    theirs = cv2.seamlessClone(*colour, mask.copy(), (left + width // 2, top + height // 2), cv2.NORMAL_CLONE)[:, :, 0]
    inside = region > 0
    pasted = np.where(inside, source, target)
    off = [np.abs(image.astype(int) - theirs)[inside].mean() for image in (fine, coarse, pasted)]
    assert off[0] < 2
    assert off == sorted(off)
    assert off[2] > 12
    assert (fine == target)[~inside].all()


@settings(max_examples=15, deadline=None)
@given(st.integers(-40, 40), st.integers(0, 200), st.integers(20, 120))
def test_a_difference_in_light_leaves_no_seam(offset, left, width):
    """Also where the region reaches the edge of the picture."""
    target = np.full((120, 240), 120, np.uint8) + np.arange(240, dtype=np.uint8)[None] // 8
    mask = np.zeros_like(target)
    mask[30:90, left : left + width] = 255
    blended = Membrane(mask, 30, 4).blend(target, (target.astype(int) + offset).astype(np.uint8))
    assert np.abs(blended.astype(int) - target).max() <= 2


def test_the_inpainted_seam_is_a_strip_along_the_edge():
    target = smooth_picture(1)
    mask = np.zeros_like(target)
    mask[40:120, 50:150] = 255
    pasted = target.copy()
    pasted[mask > 0] = 255 - pasted[mask > 0]
    done = inpaint_seam(pasted, mask, 8, 5)
    changed = done != pasted
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert rows.min() >= 36
    assert columns.max() <= 153
    assert not changed[46:114, 56:144].any()


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """Few photos of a product as a user has them, one that can't be read and one without a label; and a config."""
    root = tmp_path_factory.mktemp("plant")
    kinds = ("no_fail", "fail_label_half_printed", "no_filter")
    polygons = {}
    for kind in kinds:
        (root / kind).mkdir()
        for seed in range(4):
            sample = photo(kind, seed)
            cv2.imwrite(str(root / kind / f"{seed}.png"), sample.image)
            polygons[kind, seed] = sample.polygon
    cv2.imwrite(str(root / "no_fail" / "blank.png"), photo("blank_filter", 9).image)
    (root / "no_fail" / "broken.png").write_bytes(b"no image")
    left, top, width, height = box_of(polygons["no_fail", 0])
    end = [left + 242, top + 71, 146, 136]
    body = cv2.boundingRect(np.uint8(cv2.GaussianBlur(photo("blank_filter", 0).image, (0, 0), 3) > 110))
    config = {
        "photos": ".",
        "templates": {
            "label": {"photo": "no_fail/0.png", "box": [left, top, width, height]},
            "end": {"photo": "no_fail/0.png", "box": end, "label": [left, top, width, height]},
            "body": {
                "photo": "no_fail/0.png",
                "box": [body[0] - 20, body[1] - 20, body[2] + 40, body[3] + 40],
                "label": list(body),
            },
        },
        "classes": {
            "no_fail": {
                "find": {"templates": ["label"], "min_score": 0.35, "within_px": 40, "ink_px": [4000, 40000]},
                "place": {"where": "anywhere", "margin_px": 15, "turn_deg": [-1, 1]},
            },
            "fail_label_half_printed": {
                "find": {"templates": ["end"], "min_score": 0.3, "ink_px": [2000, 40000]},
                "place": {"where": "left_edge"},
            },
        },
        "ground": {"classes": ["no_fail"]},
        "part": {"backgrounds": "no_filter", "body": {"templates": ["body"]}, "margin_px": 30},
    }
    (root / "compose.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return root


def compose(plant, out, *options):
    return synthesize.main(["compose", str(plant / "compose.yaml"), str(out), "--count-per-class", "3", *options])


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fingerprints(folder):
    files = (path for path in folder.rglob("*") if path.suffix in (".png", ".csv") and path.name != "review.png")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_composed_photos_say_what_they_are_made_of_and_so_do_discards(plant, tmp_path):
    assert compose(plant, tmp_path / "one", "--workers", "1", "--seed", "4") == 0
    assert compose(plant, tmp_path / "two", "--workers", "2", "--seed", "4") == 0
    assert fingerprints(tmp_path / "one") == fingerprints(tmp_path / "two")
    made = rows(tmp_path / "one" / "provenance.csv")
    assert [row["class"] for row in made] == ["no_fail"] * 3 + ["fail_label_half_printed"] * 3
    for row in made:
        for key in ("photo", "ground", "background", "file", "mask"):
            assert (tmp_path / "one" / row[key]).is_file()
        assert Path(row["photo"]).parent.name == row["class"]
        image, mask = (cv2.imread(str(tmp_path / "one" / row[key]), cv2.IMREAD_GRAYSCALE) for key in ("file", "mask"))
        assert image.shape == mask.shape == (480, 640)
        around = grown(mask, 12) & ~grown(mask, 5)
        assert image[mask > 0].mean() < 0.7 * image[around > 0].mean()
        body_left = json.loads(row["parameters"])["left"]
        assert cv2.boundingRect(mask)[0] == pytest.approx(body_left, abs=4)
    reasons = {Path(row["photo"]).name: row["discarded"] for row in rows(tmp_path / "one" / "sources.csv")}
    assert "is not an image that can be read" in reasons["broken.png"]
    assert reasons["blank.png"].startswith("label: ")
    assert sum(bool(reason) for reason in reasons.values()) == 2
    assert cv2.imread(str(tmp_path / "one" / "review.png")).shape[1] > 800


def test_a_seam_can_be_inpainted_as_the_thesis_did(plant, tmp_path):
    options = ["--set", "seam={method: inpaint, part_radius_px: 3}", "--set", "format=bmp", "--workers", "1"]
    assert compose(plant, tmp_path / "out", *options) == 0
    assert len(list((tmp_path / "out").rglob("*.bmp"))) == 6


@pytest.fixture
def tiles(tmp_path):
    """Good tiles, and one bad one with a bright scratch; the mask says where."""
    for name, count in (("free", 3), ("scratch", 2)):
        (tmp_path / name).mkdir()
        for number in range(count):
            image = np.random.default_rng(number).normal(90 + 20 * number, 3, (90, 120)).astype(np.uint8)
            mask = np.zeros_like(image)
            if name == "scratch":
                cv2.line(image, (30, 40), (60, 50), 200, 3)
                cv2.line(mask, (30, 40), (60, 50), 255, 5)
                (tmp_path / "masks" / name).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(tmp_path / "masks" / name / f"{number}.png"), mask)
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), image)
    (tmp_path / "scratch" / "2.png").write_bytes((tmp_path / "scratch" / "1.png").read_bytes())
    (tmp_path / "compose.yaml").write_text(
        "photos: .\nmasks: masks\nclasses: {scratch: {place: {where: anywhere, margin_px: 5, flip: 0.5}}}\n"
        "ground: {classes: [free]}\n"
    )
    return tmp_path


def test_a_fault_cut_by_its_mask_lies_on_a_good_photo_and_changes_nothing_else(tiles):
    out = tiles / "out"
    assert compose(tiles, out, "--workers", "1") == 0
    for row in rows(out / "provenance.csv"):
        ground = cv2.imread(str(out / row["ground"]), cv2.IMREAD_GRAYSCALE)
        image, mask = (cv2.imread(str(out / row[key]), cv2.IMREAD_GRAYSCALE) for key in ("file", "mask"))
        assert Path(row["ground"]).parent.name == "free"
        assert (image == ground)[mask == 0].all()
        assert (image.astype(int) - ground)[cv2.erode(mask, np.ones((3, 3))) > 0].mean() > 40
    reasons = {
        Path(row["photo"]).name: row["discarded"] for row in rows(out / "sources.csv") if row["class"] == "scratch"
    }
    assert "masks/scratch/2.png: can't be read" in reasons["2.png"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tempaltes": {}}, "tempaltes: unknown key; did you mean 'templates'"),
        ({"seam": {"method": "glue"}}, "seam.method: 'glue' is not allowed"),
        ({"photos": None}, "photos: None is not allowed"),
        ({"ink": {"grey": [200, 100]}}, r"ink.grey: \[200, 100\] is not allowed: must be \[lowest, highest\]"),
        ({"classes": {"no_fail": {}}}, "classes.no_fail: give `masks`, the folder"),
        ({"templates": {}}, "classes.no_fail.find.templates: 'label' is not among the templates: none"),
        ({"ground": {"classes": ["other"]}, "x": 1}, "x: unknown key"),
    ],
)
def test_a_wrong_config_is_explained(plant, tmp_path, change, message):
    values = yaml.safe_load((plant / "compose.yaml").read_text()) | change
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    with pytest.raises(ConfigError, match=rf"(?s)bad.yaml.*{message}"):
        load_compose_config(tmp_path / "bad.yaml")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "templates.label.box=[600, 10, 100, 50]",
            "templates.label.box: [600, 10, 100, 50] (left, top, width, height)",
        ),
        ("templates.label.photo=none.png", "none.png: can't be read"),
        ("classes.no_fail.find.min_score=0.99", "below min_score 0.99"),
        ("photos=nowhere", "nowhere/no_fail: no such class folder"),
        ("seam", "must be key=value"),
    ],
)
def test_photos_that_cant_be_composed_are_explained(plant, tmp_path, capsys, setting, message):
    # every label is its own template's but one: the score of that is 1
    options = ["--set", setting, "--workers", "1"]
    if "min_score" in setting:
        options += ["--set", "templates.label.photo=fail_label_half_printed/0.png"]
    assert compose(plant, tmp_path / "out", *options) == 78
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_template_is_picked_by_its_coordinates(plant, capsys):
    picture = str(plant / "no_fail" / "0.png")
    arguments = ["compose", "pick", picture, "--name", "print"]
    assert synthesize.main([*arguments, "--box", "10,20,300,40"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {"print": {"photo": picture, "box": [10, 20, 300, 40]}}
    assert synthesize.main([*arguments, "--box", "10,20,900,40"]) == 78
    assert "reaches out of the photo, which is 640 wide and 480 high" in capsys.readouterr().err


def test_without_a_window_pick_asks_for_coordinates(plant, capsys, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert synthesize.main(["compose", "pick", str(plant / "no_fail" / "0.png")]) == 78
    assert "give --box" in capsys.readouterr().err


TILES = ["photos=tiles.csv", "masks=masks"]  # which the config leaves to its user


@pytest.mark.parametrize(("name", "own"), [("compose-filter-label", []), ("compose-magnetic-tile", TILES)])
def test_the_example_configs_can_be_read(name, own):
    assert load_compose_config(CONFIG / f"{name}.yaml", own).classes


@pytest.mark.parametrize(("own", "message"), [(TILES[1:], "photos: missing"), (TILES[:1], "give `masks`, the folder")])
def test_what_the_tile_config_leaves_to_its_user_is_asked_for_by_name(own, message):
    with pytest.raises(ConfigError, match=rf"(?s)compose-magnetic-tile.yaml.*{message}"):
        load_compose_config(CONFIG / "compose-magnetic-tile.yaml", own)


def test_the_plants_style_is_another_world_with_the_same_truth(tmp_path):
    arguments = ["render", str(tmp_path / "plant"), "--style", "plant", "--count-per-class", "1", "--workers", "1"]
    assert synthesize.main(arguments) == 0
    drawn = cv2.imread(str(tmp_path / "plant" / "no_fail" / "00000.png"), cv2.IMREAD_GRAYSCALE)
    truth = {row["file"]: row for row in rows(tmp_path / "plant" / "truth.csv")}["no_fail/00000.png"]
    again = render("no_fail", np.random.default_rng(json.loads(truth["seed"])), PLANT)
    assert (drawn == again.image).all()
    assert (drawn != render("no_fail", np.random.default_rng(json.loads(truth["seed"]))).image).any()
    assert json.loads(truth["parameters"])["font"] in PLANT.fonts
