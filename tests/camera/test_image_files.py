"""One reader and one rule: what the line sees of a file is what training saw, and what is not a photo is refused by both."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from inspectd.camera import Camera
from inspectd.camera.base import EndOfImages
from inspectd.camera.image_files import decode_photo, list_photos, read_photo
from inspectd.cli import main
from inspectd.errors import ConfigError
from inspectd.inference.preprocess import InputSpec, Region, preprocess
from inspectd.part import Frame, Image, MissedReason
from inspectd_tools.data.images import load_images
from inspectd_tools.data.scan import class_folders, look_at, photos_of
from tests.camera.photo_kinds import NO_PHOTOS, PHOTOS, WHOLE, scene
from tests.camera.pictures import create_camera, pylon_config
from tests.factories import make_toy_bundle, toy_image

GREY = InputSpec(width=40, height=24, channels=1, mean=(0.5,), std=(0.2,), region=Region(left=0.1, bottom=0.9))
COLOUR = InputSpec(width=40, height=24, channels=3, mean=(0.5,) * 3, std=(0.2,) * 3)


def played(folder: Path) -> list[Frame]:
    """All that a line would see of a folder."""
    return frames_of(create_camera(kind="replay", source=str(folder), rate_hz=1000))


def frames_of(camera: Camera, count: int = 1000) -> list[Frame]:
    frames: list[Frame] = []
    camera.open()
    try:
        while len(frames) < count:
            if (frame := camera.grab(1000)) is not None:
                frames.append(frame)
    except EndOfImages:
        pass
    finally:
        camera.close()
    return frames


@pytest.mark.parametrize("kind", PHOTOS)
def test_training_sees_what_the_line_sees(kind: str, tmp_path: Path) -> None:
    suffix, make = PHOTOS[kind]
    files = [tmp_path / f"{seed}{suffix}" for seed in range(3)]
    for seed, path in enumerate(files):
        path.write_bytes(make(scene(seed)))
    for spec in (GREY, COLOUR):
        trained = load_images([(path, 0) for path in files], spec).pixels
        for pixels, frame in zip(trained, played(tmp_path), strict=True):
            assert frame.image is not None
            np.testing.assert_array_equal(pixels, preprocess(frame.image, spec)[0])


@pytest.mark.parametrize("kind", [kind for kind in PHOTOS if "turned" in kind])
def test_photos_are_turned_upright(kind: str, tmp_path: Path) -> None:
    suffix, make = PHOTOS[kind]
    image = scene(1)
    path = tmp_path / f"0{suffix}"
    path.write_bytes(make(image))
    upright = {
        "2": cv2.flip(image, 1),
        "6": cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
        "8": cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
    }[kind[-1]]
    seen = read_photo(path)
    assert seen.shape == upright.shape
    assert np.abs(seen.astype(int) - upright).mean() < 8


@pytest.mark.parametrize("kind", NO_PHOTOS)
def test_what_is_no_photo_is_refused_by_line_and_training(kind: str, tmp_path: Path) -> None:
    suffix, make, reason = NO_PHOTOS[kind]
    path = tmp_path / f"0{suffix}"
    path.write_bytes(make(scene(2)))
    assert_refused(path, reason)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_short_is_refused_by_line_and_training(
    tmp_path_factory: pytest.TempPathFactory, kind: str, share: float
) -> None:
    suffix, make = WHOLE[kind]
    data = make(scene(3))
    path = tmp_path_factory.mktemp("cut") / f"0{suffix}"
    path.write_bytes(data[: int(share * len(data))])
    assert_refused(path, "not an image that can be read")


def assert_refused(path: Path, reason: str) -> None:
    with capture_logs() as logs:
        (frame,) = played(path.parent)
    assert (frame.image, frame.missed) == (None, MissedReason.BAD_FRAME)
    with pytest.raises(ConfigError) as refused:
        load_images([(path, 0)], GREY)
    assert str(path) in str(refused.value)
    assert reason in str(refused.value)
    assert [log["error"] for log in logs] == [str(refused.value)]
    assert look_at([(path, 0)]) == ([], {path: str(refused.value)})


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_are_an_image_or_a_sentence(data: st.DataObject) -> None:
    _, make = PHOTOS[data.draw(st.sampled_from(sorted(PHOTOS)))]
    damaged = bytearray(make(scene(4, 24, 16)))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = decode_photo(bytes(damaged), Path("x.png"))
    except ConfigError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 2 or image.shape[2] == 3


STRANGERS = [
    "@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg",
    ".ipynb_checkpoints/0-checkpoint.png",
    "__MACOSX/._0.png",
    ".thumbnails/large/0.png",
    "#recycle/0.png",
    ".@__thumb/default0.png",
    "lost+found/0.png",
    "$RECYCLE.BIN/0.png",
    "._0.png",
    ".0.png",
    "sub/.DS_Store.png",
    "sub/@eaDir/1.png",
    "phone.heic",
    "web.WEBP",
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos per class, one of them in a subfolder."""
    for name in ("no_fail", "fail_label_half_printed"):
        for place in ("1.png", "sub/0.PNG"):
            save(tmp_path / "photos" / name / place, toy_image(name, seed=len(place)))
    return tmp_path / "photos"


def save(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(cv2.imencode(".png", image)[1]))


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_programs_leave_beside_photos_is_passed_over_and_said(
    photos: Path, stranger: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos / "no_fail"
    engine = str(make_toy_bundle(tmp_path / "toy", backends=["onnxruntime"]))
    compare = ["engines", "compare", engine, engine, "--data", str(photos), "--json"]
    assert main(compare) == 0
    counted, shown = json.loads(capsys.readouterr().out), [frame.image for frame in played(folder)]
    expected = photos_of(folder)
    assert [path.relative_to(folder).as_posix() for path in expected] == ["1.png", "sub/0.PNG"]
    save(folder / stranger, toy_image(0))
    named = str(
        folder
        / next(part for part in (*reversed(Path(stranger).parents), Path(stranger)) if part.name not in ("", "sub"))
    )
    assert main(compare) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == counted
    assert named in said.err
    assert photos_of(folder) == expected
    assert named in capsys.readouterr().err
    with capture_logs() as logs:
        np.testing.assert_array_equal([frame.image for frame in played(folder)], shown)
    assert named in logs[0]["event"]
    assert logs[0]["log_level"] == "warning"


@pytest.mark.parametrize("stranger", ["@eaDir", ".ipynb_checkpoints", "__MACOSX", "#recycle", "lost+found"])
def test_such_a_folder_is_no_class(photos: Path, stranger: str, capsys: pytest.CaptureFixture[str]) -> None:
    save(photos / stranger / "0.png", toy_image(0))
    assert class_folders(photos) == ("fail_label_half_printed", "no_fail")
    assert stranger in capsys.readouterr().err


def test_links_that_lead_nowhere_and_linked_subfolders_are_said(photos: Path) -> None:
    folder = photos / "no_fail"
    (folder / "gone.png").symlink_to("/nowhere.png")
    (folder / "loop").symlink_to(folder)
    assert list_photos(folder).passed_over == [folder / "gone.png", folder / "loop"]


def test_other_files_are_no_matter(photos: Path) -> None:
    (photos / "no_fail" / "camera.ivp").write_text("settings")
    (photos / "no_fail" / "Thumbs.db").write_bytes(b"\xd0\xcf")
    assert list_photos(photos / "no_fail").passed_over == []


@pytest.mark.parametrize("hidden", [".cache", "@data"])
def test_the_folder_itself_may_be_hidden(tmp_path: Path, hidden: str) -> None:
    save(tmp_path / hidden / "0.png", toy_image(0))
    assert len(photos_of(tmp_path / hidden)) == len(played(tmp_path / hidden)) == 1


def test_an_image_smaller_than_its_region_is_named(tmp_path: Path) -> None:
    save(tmp_path / "dot.png", np.full((1, 1), 200, np.uint8))
    spec = GREY.model_copy(update={"region": Region(left=0.3, top=0.3, right=0.4, bottom=0.4)})
    with pytest.raises(ConfigError, match=r"dot\.png: the region of interest is empty in an image of 1x1 px"):
        load_images([(tmp_path / "dot.png", 0)], spec)


@pytest.mark.parametrize("kind", ["colour png", "PNG turned 6", "palette png", "JPEG turned 8"])
def test_the_emulated_camera_shows_what_replay_shows(kind: str, tmp_path: Path) -> None:
    suffix, make = PHOTOS[kind]
    for place, seed in (("b", 1), ("a/9", 0), ("B", 2), ("10", 3)):
        path = tmp_path / "photos" / f"{place}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make(scene(seed)))
    save(tmp_path / "photos" / "._b.png", toy_image(0))
    expected = [frame.image for frame in played(tmp_path / "photos")]
    camera = create_camera(**pylon_config(tmp_path / "photos", pixel_format="BGR8Packed"))
    seen = [frame.image for frame in frames_of(camera, 5)]
    np.testing.assert_array_equal(seen, [*expected, expected[0]])


@pytest.mark.parametrize("kind", ["12 bits in a png", "empty file", "cmyk jpg", "transparent png", "cut short"])
def test_what_is_no_photo_is_a_bad_frame_of_the_emulated_camera_too(kind: str, tmp_path: Path) -> None:
    suffix, make, _ = NO_PHOTOS.get(kind, (".jpg", lambda image: PHOTOS["colour jpg"][1](image)[:700], ""))
    image = scene(0)
    save(tmp_path / "0.png", image)
    (tmp_path / f"1{suffix}").write_bytes(make(scene(1)))
    assert [frame.missed for frame in played(tmp_path)] == [None, MissedReason.BAD_FRAME]
    camera = create_camera(**pylon_config(tmp_path, pixel_format="BGR8Packed"))
    whole, bad, again = frames_of(camera, 3)
    np.testing.assert_array_equal(whole.image, image)
    np.testing.assert_array_equal(again.image, image)
    assert (bad.image, bad.missed) == (None, MissedReason.BAD_FRAME)
