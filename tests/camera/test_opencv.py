"""Network cameras: what they send, and what must not be said of them."""

import itertools
import threading
import time

import pytest

from inspectd.errors import CameraError, InUseError
from inspectd.part import MissedReason
from tests.camera.mjpeg_peer import MjpegPeer
from tests.camera.pictures import create_camera, noise

pytestmark = pytest.mark.alone

LOGIN, SECRETS = "operator:s3c/r@t@", ("operator", "s3c", "r@t", "t0ken")
QUERY = "?channel=1&auth=t0ken"


def test_a_stream_that_changes_its_size_keeps_the_size_it_was_opened_with():
    """FFmpeg scales what comes later: the whole scene is there. Whatever is not scaled is not an inspection."""
    small, large = noise(2, 48, 64)[1], noise(2, 96, 160)[1]
    with MjpegPeer([*[small] * 20, *[large] * 200]) as peer:
        camera = create_camera(kind="opencv", device=peer.url())
        camera.open()
        frames = [camera.grab(500) for _ in range(40)]
        camera.close()
    assert frames[-1].number >= 39
    for frame in frames:
        assert frame.missed is MissedReason.BAD_FRAME or frame.image.shape[:2] == small.shape


@pytest.mark.parametrize("pictures", [[], [noise(2, 48, 64)[1]] * 3], ids=["never an image", "stream ends"])
def test_secrets_of_the_url_are_in_no_error_and_no_log(pictures, capfd):
    with MjpegPeer(pictures) as peer:
        camera = create_camera(kind="opencv", device=peer.url(LOGIN, QUERY))
        with pytest.raises(CameraError) as refused:
            camera.open()
            while True:
                camera.grab(1000)
        with pytest.raises(CameraError) as not_open:
            camera.close()
            camera.grab(10)
    said = "".join([str(refused.value), str(not_open.value), *capfd.readouterr()])
    assert "camera.device http://***@127.0.0.1" in said
    assert not [secret for secret in SECRETS if secret in said]


def test_one_stream_has_one_owner_whatever_the_password():
    with MjpegPeer(itertools.cycle(noise(2, 48, 64))) as peer:
        first = create_camera(kind="opencv", device=peer.url())
        first.open()
        second = create_camera(kind="opencv", device=peer.url())
        with pytest.raises(InUseError, match="in use by the running line") as refused:
            second.open()
        first.close()
        second.open()
        second.close()
    assert "127.0.0.1" in str(refused.value)


def test_closing_during_a_pause_of_the_stream_takes_no_longer_than_promised():
    with MjpegPeer([*noise(10, 48, 64), 30.0]) as peer:
        camera = create_camera(kind="opencv", device=peer.url())
        camera.open()
        while camera.grab(300) is not None:
            pass
        begin_s = time.monotonic()
        camera.close()
        assert time.monotonic() - begin_s < 3.5
        assert "opencv" not in [thread.name for thread in threading.enumerate()]  # or it would end with the process


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "opencv", "device": "/dev/video99"},
        {"kind": "opencv", "device": 99},
        {"kind": "opencv", "device": "rtsp://127.0.0.1:1/live"},
        {"kind": "opencv", "device": "nonsense://"},
        {"kind": "replay", "source": "/nowhere"},
        {"kind": "replay", "source": __file__},
        {"kind": "pylon", "emulated": {"images": "/nowhere"}, "trigger": {"source": "free_run"}},
        {"kind": "pylon", "serial": "0", "trigger": {"source": "free_run"}},
        {"kind": "pylon", "emulated": {"images": "."}, "feature_file": __file__, "trigger": {"source": "free_run"}},
    ],
    ids=lambda config: " ".join(map(str, config.values()))[-40:],
)
def test_a_camera_that_can_not_be_opened_is_a_camera_error(config):
    camera = create_camera(**config)
    with pytest.raises(CameraError):
        camera.open()
    camera.close()


def test_all_names_of_one_device_are_one_device(tmp_path):
    link = tmp_path / "by-id"
    link.symlink_to("/dev/video7")
    names = [7, "/dev/video7", "/dev/../dev/video7", str(link)]
    assert {create_camera(kind="opencv", device=name)._config.resolved for name in names} == {"/dev/video7"}


def test_two_channels_of_one_recorder_are_two_cameras():
    urls = [f"rtsp://op:s3cr3t@nvr/cam?channel={channel}&subtype=0" for channel in (1, 2)]
    names = {create_camera(kind="opencv", device=url)._config.resolved for url in urls}
    assert len(names) == 2
    assert not any("s3cr3t" in name for name in names)
