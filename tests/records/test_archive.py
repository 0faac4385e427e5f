"""Images on disk: what is kept, what is dropped, and that the line never waits for it."""

import os
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspectd.part import Fault, Missed, MissedReason, Part, Pass, Scores, Uncertain
from inspectd.records.archive import Archive, ArchiveConfig
from inspectd.records.archive_folder import highest_part_id

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
    """A FIFO that nobody reads stands for a disk that does not answer."""
    day = tmp_path / time.strftime("%Y-%m-%d")
    day.mkdir()
    os.mkfifo(day / "000000000_uncertain.png.tmp")
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
        reader = os.open(day / "000000000_uncertain.png.tmp", os.O_RDONLY | os.O_NONBLOCK)
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


def fill_old_day(folder: Path, name: str = "2026-01-01") -> Path:
    day = folder / name
    day.mkdir(parents=True)
    for number in range(5):
        (day / f"{number:09d}_uncertain.png").write_bytes(b"x" * 100_000)
    return day


def put_foreign(day: Path, kind: str) -> None:
    match kind:
        case "subfolder":
            (day / "backup" / "old").mkdir(parents=True)
        case "folder named as an image":
            (day / "000000000_fault.png").mkdir()
        case "link":
            (day / "000000000_link.png").symlink_to(day.parent / "nowhere.png")
        case "loop":
            (day / "again").symlink_to(day)
        case _:
            (day / kind).write_bytes(b"somebody else's")


@pytest.mark.parametrize(
    "kind",
    [
        "Thumbs.db",
        ".DS_Store",
        "photo.png",
        "note.txt",
        "subfolder",
        "folder named as an image",
        "link",
        "loop",
        "0_x.tmp",
    ],
)
def test_what_others_leave_in_the_folder_never_stops_the_archive(tmp_path, kind):
    """It stays there, and the oldest images are still deleted."""
    day = fill_old_day(tmp_path)
    put_foreign(day, kind)
    (tmp_path / "2026-01-02").write_text("a file named as a day")
    (tmp_path / "lost+found").mkdir()
    foreign = {path for path in day.iterdir() if not path.name.endswith("_uncertain.png")}
    archive, stored = archive_in(tmp_path, max_gb=0.0005, max_waiting=500)
    with archive:
        for number in range(10, 110):
            archive.offer(part(number), FAULT, picture(number))
    assert len(stored) == 100
    assert foreign <= set(day.iterdir())
    assert not list(day.glob("*_uncertain.png"))


def test_what_a_killed_daemon_left_unfinished_is_removed(tmp_path):
    day = fill_old_day(tmp_path)
    (day / "000000007_fault.tmp").write_bytes(b"half an ima")
    archive, _ = archive_in(tmp_path)
    with archive:
        pass
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.skipif(os.geteuid() != 0, reason="an immutable file needs root")
def test_images_that_cannot_be_deleted_stay_and_others_give_way(tmp_path):
    day = fill_old_day(tmp_path)
    subprocess.run(["mount", "--bind", str(day), str(day)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(day)], check=True)
    try:
        fill_old_day(tmp_path, "2026-01-02")
        archive, stored = archive_in(tmp_path, max_gb=0.0005, max_waiting=500)
        with archive:
            for number in range(10, 60):
                archive.offer(part(number), FAULT, picture(number))
        assert len(stored) == 50
        assert not (tmp_path / "2026-01-02").exists()
        assert len(list(day.iterdir())) == 5
    finally:
        subprocess.run(["umount", "-l", str(day)], check=True)


def test_images_of_today_do_not_give_way_because_the_clock_says_1970(tmp_path):
    """Its day's name comes first; its part ids are the latest."""
    for number, day in ((1, "2026-11-26"), (2, "2026-11-27"), (3, "1970-01-01"), (4, "2099-01-01")):
        (tmp_path / day).mkdir()
        (tmp_path / day / f"{number:09d}_uncertain.png").write_bytes(b"x" * 100_000)
    archive, _ = archive_in(tmp_path, max_gb=0.00025)
    with archive:
        archive.offer(part(5), FAULT, picture(5))
    assert sorted(int(path.name[:9]) for path in tmp_path.glob("*/*.png")) == [3, 4, 5]


@pytest.mark.parametrize(
    "name", ["../../../escaped", "/etc/passwd", "..", "a\0b", "\ud800", "x" * 500, "good\nbad", "[red]"]
)
def test_a_class_name_never_leads_out_of_the_folder(tmp_path, name):
    folder = tmp_path / "deep" / "archive"
    archive, stored = archive_in(folder)
    with archive:
        archive.offer(part(1), Fault(Scores((name, "no_fail"), (0.9, 0.1))), picture(1))
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert path.parent.parent == folder
    assert stored == {1: str(path)}


def test_every_image_that_is_lost_is_told(tmp_path):
    folder = tmp_path / "archive"
    folder.write_text("in the way")
    lost: list[int] = []
    with Archive(ArchiveConfig(folder=folder, max_waiting=1), lambda *_: None, lambda: lost.append(1)) as archive:
        for number in range(50):
            archive.offer(part(number), FAULT, picture(1))
    assert len(lost) == 50 == archive.counters.dropped + archive.counters.failed


def test_the_highest_part_id_is_known_to_a_new_journal(tmp_path):
    assert highest_part_id(tmp_path / "none") == 0
    fill_old_day(tmp_path)
    (tmp_path / "2026-01-01" / "999_no_image.png").touch()
    assert highest_part_id(tmp_path) == 4


@pytest.mark.parametrize(
    "changes", [{"max_gb": float("inf")}, {"max_gb": float("nan")}, {"max_gb": 1e9}, {"every_nth_pass": 10**9}]
)
def test_limits_without_sense_are_refused(tmp_path, changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        ArchiveConfig(folder=tmp_path, **changes)
