import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.camera.base import EndOfImages
from inspectd.errors import CameraError, InUseError
from inspectd.line.acquisition import Acquisition, lost_between
from inspectd.line.frame_queue import FrameQueue
from inspectd.line.ledger import Books
from inspectd.part import Frame, Image, MissedReason, Part
from tests.camera.pictures import noise


def frame(number: int, t_ns: int) -> Frame:
    return Frame(number, t_ns, t_ns, np.zeros((2, 2), np.uint8))


@given(st.integers(0, 10_000), st.integers(1, 1000), st.integers(0, 10**12), st.integers(0, 10**10))
def test_each_missing_number_is_one_lost_part_between_its_neighbours(first, gap, t_ns, span_ns):
    lost = lost_between(frame(first, t_ns), frame(first + gap, t_ns + span_ns))
    assert [each.number for each in lost] == list(range(first + 1, first + gap))
    assert all(each.missed is MissedReason.LOST_FRAME for each in lost)
    times = [t_ns, *(each.t_trigger_ns for each in lost), t_ns + span_ns]
    assert times == sorted(times)


@pytest.mark.parametrize("number", [0, 4, 5, 2000])
def test_a_counter_that_makes_no_sense_is_a_camera_fault(number):
    with pytest.raises(CameraError, match="frame counter went from 5"):
        lost_between(frame(5, 0), frame(number, 1))


class Camera:
    """Gives `images` one after the other, then the result of `silence`: nothing, unless it raises."""

    def __init__(self, images: list[Image], opens: Callable[[], None] = lambda: None) -> None:
        self.images = images
        self.opened = self.closed = 0
        self._opens = opens
        self._number = 0

    def open(self) -> None:
        self._opens()
        self.opened += 1
        self._number = 0

    def grab(self, timeout_ms: float) -> Frame | None:
        if not self.images:
            time.sleep(0.01)
            return None
        self._number += 1
        now_ns = time.monotonic_ns()
        return Frame(self._number, now_ns, now_ns, self.images.pop(0))

    def close(self) -> None:
        self.closed += 1


class Gate:
    def expect(self, part: int, due_ns: int) -> None:
        pass


class Running:
    def __init__(self, camera: Camera, **changes: object) -> None:
        self.queue = FrameQueue(1000)
        self.said: list[str | None] = []
        self.acquisition = Acquisition(
            camera=camera,
            queue=self.queue,
            gate=Gate(),
            books=Books(),
            delay_ms=100,
            first_part_id=1,
            on_camera=self.said.append,
            **changes,
        )
        self.thread = threading.Thread(target=self.acquisition.run, daemon=True)

    def __enter__(self) -> "Running":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.acquisition.stop()
        self.thread.join(5)
        assert not self.thread.is_alive()
        self.acquisition.close()

    def until(self, condition: Callable[[], object]) -> None:
        end_s = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end_s, self.said
            time.sleep(0.01)

    def missed(self) -> Iterator[MissedReason | None]:
        while (entry := self.queue.get(0)) is not None:
            yield entry[1].missed


PICTURES = noise(20, 24, 32)


def test_two_buffers_in_turn_are_no_inspection():
    camera = Camera([*PICTURES[:3], *PICTURES[3:5] * 4])
    with Running(camera) as run:
        run.until(lambda: len(run.queue) == 11)
        assert list(run.missed()) == [None] * 5 + [MissedReason.STALE_FRAME] * 6


@pytest.mark.parametrize("fails", [frame(7, 10**15), CameraError("gone")])
def test_a_frozen_camera_is_frozen_after_it_was_opened_anew(fails):
    """Its counter may stand still too, so that it is opened again after every image."""
    (image,) = noise(1, 8, 8)
    frozen = replace(frame(7, 10**15), image=image)
    entries = Plant(Script(frozen, fails, frozen, fails, frozen)).run()
    assert [entry.image is not None for _, entry in entries].count(True) == 1


def test_files_that_a_camera_plays_again_are_inspected_again():
    with Running(Camera(PICTURES[:3] * 4), repeats_after=lambda: 3) as run:
        run.until(lambda: len(run.queue) == 12)
        assert set(run.missed()) == {None}


def test_a_trigger_that_gives_nothing_costs_run_permit_until_it_gives_an_image():
    camera = Camera(PICTURES[:2])
    with Running(camera, expect_every_s=0.3) as run:
        run.until(lambda: camera.opened == 2)
        assert len(run.said) == 2
        assert run.said[0] is None
        assert "camera.expect_every_s" in run.said[1]
        time.sleep(0.8)  # the camera is open again and gives nothing
        assert not run.acquisition.delivers.is_set()
        assert (len(run.said), camera.opened) == (2, 2)
        camera.images.append(PICTURES[5])
        run.until(run.acquisition.delivers.is_set)
        assert run.said[2] is None
        run.until(lambda: not run.acquisition.delivers.is_set())  # and if it falls silent once more
        assert camera.opened >= 2


def test_a_trigger_that_somebody_has_looked_at_is_trusted_once_more():
    camera = Camera([])
    with Running(camera, expect_every_s=0.4) as run:
        run.until(lambda: camera.opened == 2)
        assert not run.acquisition.delivers.is_set()
        run.acquisition.reset()
        run.until(run.acquisition.delivers.is_set)
        reset_s = time.monotonic()
        run.until(lambda: not run.acquisition.delivers.is_set())
        assert time.monotonic() - reset_s > 0.3
    assert run.said.count(None) == 2


def test_a_line_that_expects_nothing_may_pause():
    with Running(Camera(PICTURES[:1])) as run:
        run.until(lambda: len(run.queue))
        time.sleep(0.5)
        assert run.acquisition.delivers.is_set()
        assert run.said == [None]


def test_a_camera_that_is_in_use_is_tried_again():
    owners = iter([InUseError("camera 1: in use by the running line (process 7)"), None])

    def opens() -> None:
        owner = next(owners)
        if owner is not None:
            raise owner

    with Running(Camera(PICTURES[:1], opens)) as run:
        run.until(run.acquisition.delivers.is_set)
    assert run.said == ["camera 1: in use by the running line (process 7)", None]


def test_a_camera_that_takes_long_to_open_shows_progress_and_lets_the_line_stop():
    opening, released = threading.Event(), threading.Event()

    def opens() -> None:
        opening.set()
        released.wait(10)

    camera = Camera([], opens)
    with Running(camera) as run:
        assert opening.wait(5)
        time.sleep(0.3)
        assert run.acquisition.progress.age_ms() < 200
        stop_s = time.monotonic()
        run.acquisition.stop()
        run.thread.join(5)
        assert time.monotonic() - stop_s < 1
        released.set()
    assert run.said == []
    assert camera.closed >= 2  # the camera that opened in the end was closed again


def test_the_camera_stays_open_until_the_gate_has_finished():
    camera = Camera(PICTURES[:1])
    with Running(camera) as run:
        run.until(lambda: len(run.queue))
        before = camera.closed
        run.acquisition.stop()
        run.thread.join(5)
        assert camera.closed == before
    assert camera.closed == before + 1


class Script:
    """A camera that follows a script: it gives a frame, gives nothing, or raises. After the script it has no more images.

    `openings`: the errors of the first attempts to open it.
    """

    def __init__(self, *script: Frame | BaseException | None, openings: Sequence[BaseException] = ()) -> None:
        self.script = list(script)
        self.openings = list(openings)
        self.opened_s: list[float] = []
        self.closed = 0
        self.timeouts_ms: set[float] = set()

    def open(self) -> None:
        self.opened_s.append(time.monotonic())
        if self.openings:
            raise self.openings.pop(0)

    def grab(self, timeout_ms: float) -> Frame | None:
        self.timeouts_ms.add(timeout_ms)
        answer = self.script.pop(0) if self.script else EndOfImages("the last one was given")
        if answer is None:
            time.sleep(0.02)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        self.closed += 1


class Plant:
    """Runs a script to its end, and keeps the results."""

    def __init__(self, camera: Script, first_part_id: int = 41, **changes: object) -> None:
        self.camera = camera
        self.queue = FrameQueue(1000)
        self.books = Books()
        self.said: list[str | None] = []
        self.expected: dict[int, int] = {}
        self.acquisition = Acquisition(
            camera=camera,
            queue=self.queue,
            gate=self,
            books=self.books,
            delay_ms=250.5,
            first_part_id=first_part_id,
            on_camera=self.said.append,
            **changes,
        )

    def expect(self, part: int, due_ns: int) -> None:
        assert self.books.tally().open == len(self.expected) + 1
        assert len(self.queue) == len(self.expected), "the gate knows of a part before anybody works on it"
        self.expected[part] = due_ns

    def run(self) -> list[tuple[Part, Frame]]:
        self.acquisition.run()
        entries = [self.queue.get(0) for _ in range(len(self.queue))]
        tally = self.books.tally()
        assert tally.triggers == tally.open == len(entries) == len(self.expected)
        return entries


def frames(*numbers: int, t_ns: int = 10**15) -> list[Frame]:
    """An image every 10 ms, each arriving 2 ms after its trigger."""
    return [
        Frame(number, t_ns + number * 10_000_000, t_ns + number * 10_000_000 + 2_000_000, image)
        for number, image in zip(numbers, noise(len(numbers), 8, 8), strict=True)
    ]


def test_every_shot_becomes_the_next_part_and_is_rejected_unless_somebody_clears_it():
    now_ns, now_utc_ns = time.monotonic_ns(), time.time_ns()
    given = frames(5, 6, 7, 8, t_ns=now_ns - 3_000_000_000)
    plant = Plant(Script(*given[:2], None, *given[2:]))
    entries = plant.run()
    assert [part.id for part, _ in entries] == [41, 42, 43, 44]
    assert [frame for _, frame in entries] == given
    for part, frame_ in entries:
        assert (part.frame_number, part.t_trigger_ns) == (frame_.number, frame_.t_trigger_ns)
        assert plant.expected[part.id] == part.due_ns == frame_.t_trigger_ns + 250_500_000
        assert part.t_trigger_utc_ns == pytest.approx(now_utc_ns + frame_.t_trigger_ns - now_ns, abs=500_000_000)
    assert plant.said == [None]
    assert all(0 < timeout_ms <= 200 for timeout_ms in plant.camera.timeouts_ms), "longer, and stop would wait for it"


def test_at_the_end_of_the_images_the_camera_is_no_longer_said_to_deliver():
    plant = Plant(Script(*frames(1)))
    assert not plant.acquisition.ended.is_set()
    plant.run()
    assert plant.acquisition.ended.is_set()
    assert not plant.acquisition.delivers.is_set()
    assert len(plant.camera.opened_s) == 1


def test_lost_frames_are_parts_in_their_place():
    entries = Plant(Script(*frames(5, 9, 10))).run()
    assert [(part.id, part.frame_number) for part, _ in entries] == [
        (41, 5),
        (42, 6),
        (43, 7),
        (44, 8),
        (45, 9),
        (46, 10),
    ]
    assert [frame_.missed for _, frame_ in entries] == [None, *[MissedReason.LOST_FRAME] * 3, None, None]
    assert [part.t_trigger_ns for part, _ in entries] == [10**15 + number * 10_000_000 for number in range(5, 11)]


@pytest.mark.parametrize("number", [5, 4, 1006])
def test_a_counter_that_makes_no_sense_is_a_missed_part_and_the_camera_is_opened_anew(number):
    first, jumped, *later = frames(5, number, 900, 901)
    plant = Plant(Script(first, jumped, *later))
    entries = plant.run()
    assert [part.id for part, _ in entries] == [41, 42, 43, 44], "nothing is lost between two connections"
    assert [part.frame_number for part, _ in entries] == [5, number, 900, 901]
    assert [frame_.missed for _, frame_ in entries] == [None, MissedReason.BAD_FRAME, None, None]
    assert entries[1][1].t_trigger_ns == jumped.t_trigger_ns
    assert plant.said == [None, f"frame counter went from 5 to {number}", None]
    assert len(plant.camera.opened_s) == 2


def test_a_camera_that_fails_is_said_to_be_lost_and_opened_anew():
    delivered = []
    first, second = frames(1, 2)
    plant = Plant(Script(first, CameraError("cable out"), second))
    plant.acquisition._on_camera = lambda lost: delivered.append((lost, plant.acquisition.delivers.is_set()))
    assert len(plant.run()) == 2
    assert delivered == [(None, True), ("cable out", False), (None, True)]
    assert plant.camera.closed >= 1


def test_a_camera_that_is_away_is_tried_ever_less_often_and_announced_once(monkeypatch):
    monkeypatch.setattr("inspectd.line.acquisition._BACKOFF_S", (0.05, 0.1, 0.6))
    away = [CameraError(f"no such camera {place}") for place in range(4)]
    plant = Plant(Script(*frames(1), CameraError("cable out"), *frames(2), openings=away))
    plant.run()
    waits = np.diff(plant.camera.opened_s[:5])
    assert (waits >= [0.05, 0.1, 0.6, 0.6]).all(), waits
    assert waits[1] < 0.6, "the second wait is longer, but not yet the longest"
    assert plant.said == ["no such camera 0", None, "cable out", None]


def test_a_camera_that_is_away_again_is_announced_again(monkeypatch):
    monkeypatch.setattr("inspectd.line.acquisition._BACKOFF_S", (0.01,))
    camera = Script(*frames(1), CameraError("cable out"), *frames(2), openings=[CameraError("not yet")])
    plant = Plant(camera)

    def on_camera(lost: str | None) -> None:
        plant.said.append(lost)
        if lost == "cable out":
            camera.openings = [CameraError("still out"), CameraError("still out")]

    plant.acquisition._on_camera = on_camera
    plant.run()
    assert plant.said == ["not yet", None, "cable out", "still out", None]


def test_a_line_that_stops_does_not_wait_for_a_camera_that_is_away():
    plant = Plant(Script(openings=[CameraError("away")] * 100))
    plant.acquisition._on_camera = lambda lost: threading.Timer(0.1, plant.acquisition.stop).start()
    begun_s = time.monotonic()
    plant.acquisition.run()
    assert time.monotonic() - begun_s < 1.5
    assert not plant.acquisition.delivers.is_set()


def test_what_no_retry_can_mend_ends_the_stage_and_closes_the_camera():
    plant = Plant(Script(*frames(1), ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        plant.acquisition.run()
    assert not plant.acquisition.delivers.is_set()
    assert plant.camera.closed == 1  # the reject output may be on the camera, and is not safe yet
    plant.acquisition.close()
    assert plant.camera.closed == 2


def test_progress_shows_while_no_label_comes_and_while_the_camera_is_away():
    for camera in (Camera([]), Script(openings=[CameraError("away")] * 100)):
        with Running(camera) as run:
            time.sleep(0.7)
            assert run.acquisition.progress.age_ms() < 400


def test_lost_triggers_are_spread_evenly():
    first, last = Frame(7, 100, 103, PICTURES[0]), Frame(11, 203, 210, PICTURES[1])
    lost = lost_between(first, last)
    assert [(each.number, each.t_trigger_ns, each.t_arrival_ns) for each in lost] == [
        (8, 125, 210),
        (9, 150, 210),
        (10, 175, 210),
    ]
    assert len(lost_between(frame(5, 0), frame(1005, 1))) == 999
    with pytest.raises(CameraError, match="frame counter went from 5 to 1006"):
        lost_between(frame(5, 0), frame(1006, 1))


def test_the_first_image_after_a_trigger_was_found_dead_proves_it_alive():
    plant = Plant(Script(*[None] * 6, *frames(1, 2)), expect_every_s=0.1)
    plant.acquisition.run()
    assert len(plant.camera.opened_s) == 2
    assert plant.said[0] is plant.said[2] is None
    assert plant.said[1] == (
        "no label has come for 0.1 s (camera.expect_every_s): check that the light barrier sees the labels and that its cable "
        "is connected. Run permit stays off until a trigger gives an image, or until somebody "
        "acknowledges it (inspectd control acknowledge)"
    )


def test_what_is_no_image_proves_no_trigger():
    broken = Frame(1, 10**15, 10**15, None, MissedReason.BAD_FRAME)
    plant = Plant(Script(*[None] * 6, broken), expect_every_s=0.1)
    plant.acquisition.run()
    assert len(plant.said) == 2


@pytest.mark.parametrize("opens_after_s", [0.3, 10])
def test_closing_waits_for_a_camera_that_is_just_being_opened_but_not_for_ever(opens_after_s, monkeypatch):
    monkeypatch.setattr("inspectd.line.acquisition.CLOSE_S", 1.0)
    opening, released, order = threading.Event(), threading.Event(), []

    def opens() -> None:
        opening.set()
        released.wait(opens_after_s)
        order.append("opened")

    camera = Camera([], opens)
    camera.close = lambda: order.append("closed")
    with Running(camera) as run:
        assert opening.wait(5)
        (hanging,) = (thread for thread in threading.enumerate() if thread.name == "open-camera" and thread.is_alive())
        assert hanging.daemon, "it must not keep the process from ending"
        run.acquisition.stop()
        run.thread.join(5)
        begun_s = time.monotonic()
        run.acquisition.close()
        assert time.monotonic() - begun_s < 3
        if opens_after_s < 1:
            assert order[-2:] == ["opened", "closed"], "nobody else would close it"
        released.set()


def test_an_acquisition_that_never_ran_closes_its_camera():
    plant = Plant(Script())
    plant.acquisition.close()
    assert plant.camera.closed == 1
