"""What every camera must do, asked of every driver."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspectd.camera import Camera
from inspectd.errors import CameraError
from inspectd.part import Frame, Image
from tests.camera.pictures import create_camera, noise, place_of, pylon_config, write
from tests.camera.rtsp_peer import RtspPeer

pytestmark = pytest.mark.alone

PICTURES = 12
GREY, COLOUR = (48, 64), (48, 64, 3)


@dataclass
class Scene:
    camera: Camera
    images: list[Image]
    begins_at_first: bool = True
    sees_all: bool = True
    """Every picture becomes a frame, however slow the caller is."""
    fall_silent: Callable[[], None] = lambda: None
    """After this and one more frame there is nothing to grab."""


def _replay_folder(tmp_path: Path, rate_hz: float) -> Iterator[Scene]:
    images = noise(PICTURES, *GREY)
    folder = write(images, tmp_path / "images")
    yield Scene(create_camera(kind="replay", source=str(folder), rate_hz=rate_hz, forever=True), images)


def _replay_video(tmp_path: Path, rate_hz: float) -> Iterator[Scene]:
    images = noise(PICTURES, *COLOUR)
    video = tmp_path / "line.avi"
    _write_lossless(images, video)
    yield Scene(create_camera(kind="replay", source=str(video), rate_hz=rate_hz, forever=True), images)


def _pylon_software(tmp_path: Path, rate_hz: float) -> Iterator[Scene]:
    images = noise(PICTURES, *GREY)
    folder = write(images, tmp_path / "images")
    config = pylon_config(folder, trigger={"source": "software", "rate_hz": rate_hz}, pixel_format="Mono8")
    yield Scene(create_camera(**config), images)


def _pylon_free_run(tmp_path: Path, rate_hz: float) -> Iterator[Scene]:
    images = noise(PICTURES, *COLOUR)
    folder = write(images, tmp_path / "images", ".bmp")
    trigger = {"source": "free_run", "rate_hz": max(1, rate_hz)}
    camera = create_camera(**pylon_config(folder, trigger=trigger, pixel_format="BGR8Packed"))
    yield Scene(camera, images, sees_all=False, fall_silent=lambda: _wait_for_trigger_line(camera))


def _opencv_network(_: Path, __: float) -> Iterator[Scene]:
    images = noise(PICTURES, *COLOUR)
    peer = RtspPeer(images, 25)  # whatever rate is asked for: a stream runs free, and silent is `hang`
    try:
        yield Scene(
            create_camera(kind="opencv", device=peer.url),
            images,
            begins_at_first=False,
            sees_all=False,
            fall_silent=peer.hang,
        )
    finally:
        peer.close()


SCENES = [_replay_folder, _replay_video, _pylon_software, _pylon_free_run, _opencv_network]


@pytest.fixture(params=SCENES, ids=lambda make: make.__name__.strip("_"))
def make(request, tmp_path) -> Iterator[Callable[[float], Scene]]:
    """Makes the driver's scene at a rate, and tidies up."""
    made: list[Iterator[Scene]] = []
    scenes: list[Scene] = []

    def make_at(rate_hz: float) -> Scene:
        made.append(request.param(tmp_path, rate_hz))
        scenes.append(next(made[-1]))
        return scenes[-1]

    yield make_at
    for scene, generator in zip(scenes, made, strict=True):
        scene.camera.close()
        next(generator, None)


def frames(camera: Camera, count: int) -> list[Frame]:
    """The next `count`, all with an image."""
    taken: list[Frame] = []
    while len(taken) < count:
        frame = camera.grab(5000)
        assert frame is not None, f"nothing came after {len(taken)} frames"
        assert frame.image is not None, frame
        taken.append(frame)
    return taken


def test_each_shot_is_the_next_picture_pixel_for_pixel(make):
    scene = make(50)
    scene.camera.open()
    taken = frames(scene.camera, 2 * PICTURES)
    first = 0 if scene.begins_at_first and scene.sees_all else place_of(taken[0].image) - taken[0].number
    for frame in taken:
        expected = scene.images[(frame.number + first) % PICTURES]
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == expected.shape
        assert np.array_equal(frame.image, expected), f"frame {frame.number} shows picture {place_of(frame.image)}"
    if scene.begins_at_first:
        assert place_of(taken[0].image) == taken[0].number % PICTURES


def test_numbers_grow_one_by_one(make):
    scene = make(50)
    scene.camera.open()
    steps = [after.number - before.number for before, after in pairwise(frames(scene.camera, 20))]
    if scene.sees_all:
        assert steps == [1] * 19
    else:
        assert min(steps) == 1


def test_times_are_ours_and_in_order(make):
    scene = make(50)
    scene.camera.open()
    for _ in range(10):
        (frame,) = frames(scene.camera, 1)
        assert frame.t_trigger_ns <= frame.t_arrival_ns <= time.monotonic_ns()
    taken = frames(scene.camera, 10)
    assert all(before.t_trigger_ns < after.t_trigger_ns for before, after in pairwise(taken))
    assert all(before.t_arrival_ns < after.t_arrival_ns for before, after in pairwise(taken))
    assert taken[0].t_arrival_ns - taken[0].t_trigger_ns < 2e9


def test_an_image_stays_as_it_was_when_it_came(make):
    scene = make(50)
    scene.camera.open()
    kept = frames(scene.camera, 3)
    copies = [frame.image.copy() for frame in kept]
    frames(scene.camera, 2 * PICTURES)
    scene.camera.close()
    assert all(np.array_equal(frame.image, copy) for frame, copy in zip(kept, copies, strict=True))


def test_it_says_after_how_many_pictures_the_same_ones_come_again(make):
    scene = make(50)
    plays_files = not hasattr(scene.camera, "_reader")
    assert scene.camera._config.repeats_after() == (PICTURES if plays_files else None)


def test_grab_without_a_trigger_returns_none_soon(make):
    scene = make(0.05)
    scene.camera.open()
    scene.fall_silent()
    before_s = time.monotonic()
    answers = [scene.camera.grab(50) for _ in range(4)]
    assert None in answers
    assert answers[-1] is None
    assert time.monotonic() - before_s < 5


def test_closing_is_always_allowed(make):
    scene = make(50)
    scene.camera.close()
    scene.camera.open()
    frames(scene.camera, 1)
    scene.camera.close()
    scene.camera.close()
    with pytest.raises(CameraError, match="not open"):
        scene.camera.grab(50)


def test_opened_again_it_counts_anew(make):
    scene = make(50)
    scene.camera.open()
    last = frames(scene.camera, 20)[-1]
    scene.camera.close()
    scene.camera.open()
    first = frames(scene.camera, 1)[0]
    assert first.number < last.number
    if scene.sees_all:
        assert first.number == 0
        assert np.array_equal(first.image, scene.images[0])


def _wait_for_trigger_line(camera: Camera) -> None:
    camera.instant_camera.TriggerSource.Value = "Line1"
    camera.instant_camera.TriggerMode.Value = "On"


def _write_lossless(images: list[Image], video: Path) -> None:
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"PNG "), 25, (width, height))
    for image in images:
        writer.write(image)
    writer.release()
