"""Basler cameras that somebody has set otherwise, on the SDK's emulator: all nodes and the grab engine are real."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from pypylon import pylon

from inspectd.camera.pylon.camera import PylonCamera
from inspectd.camera.pylon.emulator import ENABLED_BY
from inspectd.camera.pylon.nodes import Nodes
from inspectd.camera.pylon.one_image import DEMANDS, Demand, demand_one_image_per_trigger
from inspectd.errors import CameraError
from inspectd.part import MissedReason
from tests.camera.pictures import create_camera, noise, place_of, pylon_config, write

pytestmark = pytest.mark.alone

WRONG: dict[str, Any] = {
    "AcquisitionMode": "SingleFrame",
    "TriggerMode": "On",
    "ExposureMode": "TriggerWidth",
    "TestImageSelector": "Testimage1",
    "ChunkModeActive": True,
    "ImageCompressionMode": "BaslerCompressionBeyond",
    "EventNotification": "On",
}
"""What a viewer may leave behind. The emulator has no other node of the table; those stand in a camera's manual only."""


@contextmanager
def emulated() -> Iterator[Nodes]:
    os.environ.setdefault(ENABLED_BY, "1")
    device = pylon.InstantCamera(pylon.TlFactory.GetInstance().CreateFirstDevice())
    device.Open()
    try:
        yield Nodes(device)
    finally:
        device.Close()


def selected(nodes: Nodes, demand: Demand) -> list[Any]:
    return [nodes.get(demand.node) for _ in nodes.each(demand.of_each)]


def test_the_table_covers_every_trigger_and_leaves_nothing_wrong():
    with emulated() as nodes:
        there = [demand for demand in DEMANDS if nodes.get(demand.node) is not None]
        assert {demand.node for demand in there} == set(WRONG)
        for demand in there:
            for _ in nodes.each(demand.of_each):
                nodes.set(demand.node, WRONG[demand.node])
        assert len(selected(nodes, next(demand for demand in there if demand.node == "TriggerMode"))) == 9
        demand_one_image_per_trigger(nodes)
        for demand in there:
            assert set(selected(nodes, demand)) == {demand.wanted}, demand


def test_a_node_that_can_not_be_written_and_is_wrong_is_named():
    with (
        emulated() as nodes,
        pytest.raises(CameraError, match=r"SensorWidth is 4096 and must be 1; otherwise it sees nothing"),
    ):
        nodes.demand("SensorWidth", 1, "it sees nothing")


def test_a_camera_without_the_node_needs_none():
    with emulated() as nodes:
        nodes.demand("SequencerMode", "Off", "it would be one")


@pytest.mark.parametrize("trigger", [{"source": "line"}, {"source": "software", "rate_hz": 50}, {"source": "free_run"}])
@pytest.mark.parametrize("node", WRONG)
def test_each_trigger_gives_one_image_whatever_the_feature_file_says(tmp_path, node, trigger):
    folder = write(noise(12, 48, 64), tmp_path / "images")
    feature_file = saved_with(tmp_path / "left.pfs", node)
    camera = create_camera(
        **pylon_config(folder, feature_file=str(feature_file), trigger=trigger, pixel_format="Mono8")
    )
    camera.open()
    try:
        fires = light_barrier(camera) if trigger["source"] == "line" else lambda: None
        for number in range(6):
            fires()
            frame = camera.grab(1000)
            assert frame is not None, f"label {number} gave no image"
            assert place_of(frame.image) == frame.number
        assert trigger["source"] != "line" or camera.grab(50) is None
    finally:
        camera.close()


def saved_with(path: Path, node: str) -> Path:
    """A feature file as a viewer saves it after `node` was set otherwise, everywhere."""
    with emulated() as nodes:
        pylon.FeaturePersistence.Save(str(path), nodes._camera.GetNodeMap())
    lines = path.read_text().splitlines()
    names = [line for line in lines if line.startswith(f"{node}\t")]
    wrong = "1" if WRONG[node] is True else WRONG[node]
    if names:
        lines = ["\t".join([*line.split("\t")[:-1], wrong]) if line.startswith(f"{node}\t") else line for line in lines]
    else:
        lines.append(f"{node}\t{wrong}")
    path.write_text("\n".join(lines) + "\n")
    return path


def light_barrier(camera: PylonCamera) -> Any:
    """The emulator has no input lines: the trigger that waits for one is fired by software."""
    device = camera.instant_camera
    device.TriggerSource.Value = "Software"

    def fires() -> None:
        device.WaitForFrameTriggerReady(1000, pylon.TimeoutHandling_Return)
        device.ExecuteSoftwareTrigger()

    return fires


def test_a_line_that_drives_instead_of_reading_is_turned_round(tmp_path):
    folder = write(noise(3, 48, 64), tmp_path / "images")
    with emulated() as nodes:
        nodes.set("LineSelector", "Line2")
        nodes.set("LineMode", "Output")
        pylon.FeaturePersistence.Save(str(tmp_path / "out.pfs"), nodes._camera.GetNodeMap())
    trigger = {"source": "line", "line": "Line2"}
    camera = create_camera(**pylon_config(folder, feature_file=str(tmp_path / "out.pfs"), trigger=trigger))
    camera.open()
    camera.instant_camera.LineSelector.Value = "Line2"
    assert camera.instant_camera.LineMode.Value == "Input"
    camera.close()


@pytest.mark.parametrize("trigger", [{"source": "software", "rate_hz": 4}, {"source": "free_run"}, {"source": "line"}])
def test_an_exposure_that_makes_every_image_too_old_is_refused(tmp_path, trigger):
    folder = write(noise(3, 48, 64), tmp_path / "images")
    camera = create_camera(**pylon_config(folder, exposure_us=200_000, max_age_ms=100, trigger=trigger))
    with pytest.raises(CameraError, match=r"exposes for 200000 us, but camera.max_age_ms is 100 "):
        camera.open()
    camera.close()


def test_an_exposure_from_the_feature_file_counts_too(tmp_path):
    folder = write(noise(3, 48, 64), tmp_path / "images")
    with emulated() as nodes:
        nodes.set("exposure_us", 150_000.0)
        pylon.FeaturePersistence.Save(str(tmp_path / "slow.pfs"), nodes._camera.GetNodeMap())
    config = pylon_config(
        folder, feature_file=str(tmp_path / "slow.pfs"), max_age_ms=120, trigger={"source": "free_run"}
    )
    camera = create_camera(**{key: value for key, value in config.items() if key != "exposure_us"})
    with pytest.raises(CameraError, match=r"exposes for 150000 us"):
        camera.open()


def test_a_delay_and_an_exposure_that_are_too_long_together_are_refused(tmp_path):
    folder = write(noise(3, 48, 64), tmp_path / "images")
    trigger = {"source": "line", "delay_us": 8000}
    camera = create_camera(**pylon_config(folder, exposure_us=3000, max_age_ms=10, trigger=trigger))
    with pytest.raises(CameraError, match="waits 8000 us after the trigger"):
        camera.open()


def test_images_of_another_size_are_no_inspection(tmp_path):
    images = [*noise(2, 48, 64), *noise(1, 96, 128), *noise(1, 24, 32), *noise(1, 64, 48)]
    folder = write(images, tmp_path / "images")
    camera = create_camera(**pylon_config(folder, pixel_format="Mono8"))
    camera.open()
    frames = [camera.grab(1000) for _ in range(10)]
    camera.close()
    assert [frame.missed for frame in frames] == [None, None, *[MissedReason.BAD_FRAME] * 3] * 2
    assert all(np.array_equal(frame.image, images[frame.number % 5]) for frame in frames if frame.image is not None)


def test_an_image_that_changes_its_size_while_the_camera_runs_is_no_inspection(tmp_path):
    camera = create_camera(**pylon_config(write(noise(3, 48, 64), tmp_path / "images"), pixel_format="Mono8"))
    camera.open()
    before = camera.grab(1000)
    device = camera.instant_camera
    device.StopGrabbing()
    device.ImageFilename.Value = str(write(noise(3, 24, 32), tmp_path / "smaller"))
    device.StartGrabbing(pylon.GrabStrategy_OneByOne)
    frames = [camera.grab(1000) for _ in range(2)]
    camera.close()
    assert before.missed is None
    assert frames[-1].missed is MissedReason.BAD_FRAME


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_seen_upright_and_whole(tmp_path, orientation):
    photo = np.repeat(np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20, 16, 0), 16, 1)
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    for name in "ab":
        Pillow.fromarray(photo).save(tmp_path / "images" / f"{name}.jpg", exif=exif, quality=100)
    upright = cv2.imread(str(tmp_path / "images" / "a.jpg"), cv2.IMREAD_GRAYSCALE)
    camera = create_camera(**pylon_config(tmp_path / "images", pixel_format="Mono8"))
    camera.open()
    frames = [camera.grab(1000) for _ in range(3)]
    camera.close()
    for frame in frames:
        assert frame.image.shape == upright.shape
        assert np.abs(frame.image.astype(int) - upright).max() < 10


def test_a_counter_that_jumps_back_gives_its_label_and_then_an_error(tmp_path, monkeypatch):
    folder = write(noise(3, 48, 64), tmp_path / "images")
    camera = create_camera(**pylon_config(folder, trigger={"source": "free_run", "rate_hz": 50}))
    camera.open()
    frames = [camera.grab(1000) for _ in range(5)]
    camera._counter._last_id = 60_000  # as if the camera had been at 60000 and started anew
    last = camera.grab(1000)
    with pytest.raises(CameraError, match="frame counter went from 60000 back to"):
        camera.grab(1000)
    camera.open()
    assert camera.grab(1000).image is not None
    camera.close()
    assert last.missed is MissedReason.BAD_FRAME
    assert last.number == frames[-1].number + 1
    assert all(after.number == before.number + 1 for before, after in pairwise(frames))


def test_opened_cameras_leave_nothing_behind(tmp_path):
    folder = write(noise(3, 48, 64), tmp_path / "images")
    camera = create_camera(**pylon_config(folder))
    camera.open()
    shown = Path(camera.instant_camera.ImageFilename.Value)
    assert shown.is_dir()
    begin_s = time.monotonic()
    camera.close()
    assert time.monotonic() - begin_s < 3
    assert not shown.exists()
