"""Images on disk: what is kept, what is given up, and that the line never waits for any of it."""

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspectd.archive import Archive, ArchiveConfig
from inspectd.part import Fault, Missed, MissedReason, Part, Pass, Scores, Uncertain

SCORES = Scores(("fail_label_half_printed", "no_fail"), (0.9, 0.1))
FAULT, PASS = Fault(SCORES), Pass(SCORES)


def part(number: int) -> Part:
    now_ns = time.monotonic_ns()
    return Part(number, number, now_ns, time.time_ns(), now_ns)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (120, 160), dtype=np.uint8)


def archive_in(folder: Path, **changes) -> tuple[Archive, dict[int, str]]:
    stored: dict[int, str] = {}
    return Archive(ArchiveConfig(folder=folder, **changes), stored.__setitem__), stored


def test_a_rejected_label_is_kept_pixel_for_pixel(tmp_path):
    archive, stored = archive_in(tmp_path)
    verdicts = [FAULT, Uncertain(SCORES), Missed(MissedReason.LATE)]
    with archive:
        for number, verdict in enumerate(verdicts):
            archive.offer(part(number), verdict, picture(number))
    names = [Path(path).name for _, path in sorted(stored.items())]
    assert names == ["000000000_fail_label_half_printed.png", "000000001_uncertain.png", "000000002_late.png"]
    for number, path in stored.items():
        assert Path(path).parent == tmp_path / time.strftime("%Y-%m-%d")
        assert np.array_equal(cv2.imread(path, cv2.IMREAD_UNCHANGED), picture(number))


@pytest.mark.parametrize(("every", "kept"), [(0, []), (1, [1, 2, 3, 4, 5, 6]), (3, [3, 6])])
def test_every_nth_pass_is_kept(tmp_path, every, kept):
    archive, stored = archive_in(tmp_path, every_nth_pass=every)
    with archive:
        for number in range(1, 7):
            archive.offer(part(number), PASS, picture(number))
    assert sorted(stored) == kept


def test_the_oldest_give_way_at_the_limit(tmp_path):
    size = len(cv2.imencode(".png", picture(0), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])
    yesterday = tmp_path / "2026-01-01"
    yesterday.mkdir()
    (yesterday / "000000001_uncertain.png").write_bytes(b"x" * size)
    archive, stored = archive_in(tmp_path, max_gb=5.5 * size / 1e9)
    with archive:
        for number in range(10, 20):
            archive.offer(part(number), FAULT, picture(0))
    assert len(stored) == 10
    left = sorted(int(path.name[:9]) for path in tmp_path.glob("*/*.png"))
    assert left == [15, 16, 17, 18, 19]
    assert not yesterday.exists()


def test_what_lies_there_already_counts_too(tmp_path):
    first, _ = archive_in(tmp_path)
    with first:
        for number in range(5):
            first.offer(part(number), FAULT, picture(number))
    size = sum(path.stat().st_size for path in tmp_path.glob("*/*.png"))
    second, _ = archive_in(tmp_path, max_gb=size / 1e9)
    with second:
        second.offer(part(9), FAULT, picture(9))
    assert sorted(int(path.name[:9]) for path in tmp_path.glob("*/*.png")) == [1, 2, 3, 4, 9]


def test_a_disk_that_hangs_costs_images_and_no_time(tmp_path):
    """A FIFO nobody reads takes the place of a disk that does not answer."""
    day = tmp_path / time.strftime("%Y-%m-%d")
    day.mkdir()
    os.mkfifo(day / "000000000_uncertain.tmp")
    archive, _ = archive_in(tmp_path, max_waiting=4)
    archive.__enter__()
    try:
        archive.offer(part(0), Uncertain(SCORES), picture(0))
        time.sleep(0.2)
        before_s = time.monotonic()
        for number in range(1, 51):
            archive.offer(part(number), FAULT, picture(1))
        assert time.monotonic() - before_s < 0.5
        assert archive.counters.dropped == 46
    finally:
        reader = os.open(day / "000000000_uncertain.tmp", os.O_RDONLY | os.O_NONBLOCK)
        archive.__exit__(None, None, None)
        os.close(reader)


def test_a_disk_that_refuses_is_counted_and_works_again_later(tmp_path):
    folder = tmp_path / "archive"
    folder.write_text("in the way")
    archive, stored = archive_in(folder)
    with archive:
        archive.offer(part(1), FAULT, picture(1))
        while archive.counters.failed == 0:
            time.sleep(0.01)
        folder.unlink()
        archive.offer(part(2), FAULT, picture(2))
    assert list(stored) == [2]
