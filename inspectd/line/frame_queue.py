"""The bounded queue between camera and inspection. When it is full, the oldest image gives way."""

import threading
from collections import deque
from dataclasses import replace

from inspectd.part import Frame, MissedReason, Part

_COMMIT_MS = 1.0
"""About the time for recording a verdict and telling the gate, which a fast engine does not shorten."""


class FrameQueue:
    """At most `depth` images wait. When one more comes, the oldest part loses its image and becomes `overrun`. It keeps its
    place, so it is still recorded, in order: a part is never dropped."""

    def __init__(self, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self.depth = depth
        """May be changed at any time. A smaller depth takes effect when the next image comes."""
        self._entries: deque[tuple[Part, Frame]] = deque()
        self._images = 0
        self._changed = threading.Condition()

    def put(self, part: Part, frame: Frame) -> None:
        """Never blocks."""
        with self._changed:
            self._entries.append((part, frame))
            if frame.image is not None:
                self._images += 1
                while self._images > self.depth:
                    self._overrun_oldest()
            self._changed.notify()

    def get(self, timeout_s: float) -> tuple[Part, Frame] | None:
        """The oldest entry, or None if nothing comes within `timeout_s`."""
        with self._changed:
            if not self._entries and not self._changed.wait_for(lambda: self._entries, timeout_s):
                return None
            part, frame = self._entries.popleft()
            if frame.image is not None:
                self._images -= 1
            return part, frame

    def __len__(self) -> int:
        return len(self._entries)

    def _overrun_oldest(self) -> None:
        for place, (part, frame) in enumerate(self._entries):
            if frame.image is not None:
                self._entries[place] = part, replace(frame, image=None, missed=MissedReason.OVERRUN)
                self._images -= 1
                return


def depth_for(deadline_ms: float, service_ms: float) -> int:
    """How many images may wait and still be judged in time: the last one waits depth x `service_ms`."""
    return max(1, int(deadline_ms / max(service_ms, _COMMIT_MS)) - 1)
