import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from inspectd.errors import EngineError, InferenceError
from inspectd.inference import InferenceConfig
from inspectd.inference.sealed import seal
from inspectd.part import Image
from inspectd.shipped import shipped
from inspectd.text.bundle import load_reader_bundle
from inspectd.text.crop import line_crop
from inspectd.text.judging import Line
from inspectd.text.reader import Reader, load_reader

SHIPPED = shipped("engines/filter-label-reader")
CONFIG = InferenceConfig()


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader(SHIPPED, CONFIG)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "reader"))


def changed(folder: Path, **values: object) -> None:
    """Change the manifest and seal it again."""
    path = folder / "reader.yaml"
    whole = yaml.safe_load(path.read_bytes()) | values
    path.write_bytes(seal(yaml.safe_dump(whole).encode()))


def on_a_photo(crop: Image, angle_deg: float = 7) -> tuple[Image, np.ndarray, tuple[int, int, int, int]]:
    """A crop somewhere on a photo, turned: the photo, the matrix from the straightened print, the box there."""
    height, width = crop.shape
    radians = np.deg2rad(angle_deg)
    cos, sin = np.cos(radians), np.sin(radians)
    to_image = np.array([[cos, -sin, 60], [sin, cos, 40], [0, 0, 1]])
    place = to_image @ np.array([[1, 0, 15], [0, 1, 20], [0, 0, 1]])
    photo = cv2.warpAffine(crop, place[:2], (640, 480), borderMode=cv2.BORDER_REPLICATE)
    return photo, to_image, (15, 20, width, height)


def test_it_reads_its_golden_lines_wherever_they_are_on_the_photo(reader: Reader) -> None:
    bundle = load_reader_bundle(SHIPPED)
    for golden in bundle.manifest.golden:
        photo, to_image, box = on_a_photo(bundle.crop(golden))
        for image in (photo, cv2.cvtColor(photo, cv2.COLOR_GRAY2BGR)):
            right, wrong = reader.verify(
                image, to_image, [Line(box, golden.font, (golden.text,)), Line(box, golden.font, (golden.near_miss,))]
            )
            assert (right.verdict, right.text) == ("right", golden.text)
            assert wrong.verdict != "right"


def test_a_blank_place_is_missing(reader: Reader) -> None:
    blank = np.full((480, 640), 200, np.uint8)
    (reading,) = reader.verify(blank, np.eye(3), [Line((100, 100, 240, 40), "dots", ("LOT 7481-83",))])
    assert reading.verdict == "missing"


def test_a_font_that_is_not_commissioned_is_an_error(reader: Reader) -> None:
    with pytest.raises(InferenceError, match="not commissioned for the font 'jet'"):
        reader.verify(np.zeros((480, 640), np.uint8), np.eye(3), [Line((0, 0, 80, 40), "jet", ("1",))])


def test_a_text_with_a_character_that_the_font_was_not_calibrated_with_is_not_accepted(copy: Path) -> None:
    bundle = load_reader_bundle(copy)
    golden = bundle.manifest.golden[0]
    fonts = yaml.safe_load((copy / "reader.yaml").read_bytes())["fonts"]
    fonts[golden.font]["characters"] = fonts[golden.font]["characters"].replace(golden.text[0], "")
    changed(copy, fonts=fonts)
    photo, to_image, box = on_a_photo(bundle.crop(golden))
    (reading,) = load_reader(copy, CONFIG).verify(photo, to_image, [Line(box, golden.font, (golden.text,))])
    assert reading.verdict == "unreadable"


def test_a_box_that_is_too_long_is_an_error(reader: Reader) -> None:
    with pytest.raises(
        InferenceError, match=r"can't be cut out of the image: the box is 640x4 px; it may be at most 32"
    ):
        reader.verify(np.zeros((480, 640), np.uint8), np.eye(3), [Line((0, 0, 640, 4), "dots", ("1",))])


def test_characters_that_a_font_does_not_have_are_named(reader: Reader) -> None:
    assert reader.unknown_characters("LOT Q7", "dots") == ["Q"]
    assert reader.unknown_characters("LOT Q7", "sans") == []


def test_it_says_how_fast_it_is(reader: Reader) -> None:
    assert 0 < reader.median_ms <= reader.service_ms
    reader.warm([(0, 0, 240, 40), (0, 0, 300, 50)])


def test_a_crop_is_straightened_at_full_resolution() -> None:
    stripes = (np.indices((32, 96)).sum(axis=0) % 16 * 12 + 20).astype(np.uint8)
    photo, to_image, box = on_a_photo(stripes, angle_deg=0)
    assert np.array_equal(line_crop(photo, to_image, box), stripes)
    photo, to_image, box = on_a_photo(cv2.GaussianBlur(stripes, (0, 0), 2), angle_deg=12)
    difference = line_crop(photo, to_image, box).astype(int) - cv2.GaussianBlur(stripes, (0, 0), 2)
    assert np.abs(difference)[4:-4, 4:-4].mean() < 3


@pytest.mark.parametrize("name", ["model.onnx", "golden/dots-1.png"])
def test_a_changed_file_is_refused(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(EngineError, match=f"{name}: is not the file that reader.yaml lists"):
        load_reader(copy, CONFIG)


def test_a_manifest_that_was_changed_by_hand_is_refused(copy: Path) -> None:
    path = copy / "reader.yaml"
    path.write_bytes(path.read_bytes().replace(b"threshold", b"thresholt", 1))
    with pytest.raises(EngineError, match=r"reader\.yaml: is damaged, cut short or changed by hand"):
        load_reader(copy, CONFIG)


def test_a_reader_whose_golden_lines_have_other_likelihoods_is_refused(copy: Path) -> None:
    golden = yaml.safe_load((copy / "reader.yaml").read_bytes())["golden"]
    golden[0]["near_miss_log_likelihood"] -= 1
    changed(copy, golden=golden)
    with pytest.raises(EngineError, match=r"the network gives .* the log-likelihood .* was recorded"):
        load_reader(copy, CONFIG)


def test_a_reader_with_another_order_of_characters_is_refused(copy: Path) -> None:
    alphabet = yaml.safe_load((copy / "reader.yaml").read_bytes())["alphabet"]
    changed(copy, alphabet=alphabet[1] + alphabet[0] + alphabet[2:])
    with pytest.raises(EngineError):
        load_reader(copy, CONFIG)


def test_a_golden_line_that_would_be_accepted_as_its_near_miss_is_refused(copy: Path) -> None:
    fonts = yaml.safe_load((copy / "reader.yaml").read_bytes())["fonts"]
    fonts["dots"]["threshold"] = -1000.0
    changed(copy, fonts=fonts)
    with pytest.raises(EngineError, match="must be accepted as"):
        load_reader(copy, CONFIG)


def test_a_newer_format_is_refused(copy: Path) -> None:
    changed(copy, format=99)
    with pytest.raises(EngineError, match="has format 99, but this inspectd reads formats up to 1: update inspectd"):
        load_reader(copy, CONFIG)


def test_only_a_signed_reader_is_loaded_where_a_signature_is_demanded(copy: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from inspectd.inference.signature import sign, write_keys

    write_keys(tmp_path / "private.pem", tmp_path / "public.pem")
    config = InferenceConfig(signed_by=tmp_path / "public.pem")
    with pytest.raises(EngineError, match="is not signed"):
        load_reader(copy, config)
    sign(load_reader_bundle(copy), tmp_path / "private.pem")
    assert load_reader(copy, config).name == "filter-label-reader"
