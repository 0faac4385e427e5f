"""Frame numbers that only grow, from the block IDs that a Basler camera gives its frames."""

from inspectd.errors import CameraError

_GIGE_WRAP = 65_535
"""GigE Vision counts from 1 to 65535 and then starts at 1 again. USB3 Vision and extended IDs use 64 bits."""
_NO_ID = 2**64 - 1
_JITTER = 0.1
"""Two images may be closer than the shortest period by this share, because cameras report rounded rates."""


class FrameCounter:
    """A gap in the numbers is a gap in the IDs: frames that the camera took and the host never received.

    A camera that restarts counts from the start again. Its first ID must not look like lost frames, or hide lost frames. So a
    gap that is larger than the camera's own clock allows is an error.
    """

    def __init__(self, shortest_period_ns: float = 0) -> None:
        """`shortest_period_ns`: shortest time between two images of the camera; 0 if it is unknown."""
        self._shortest_ns = shortest_period_ns * (1 - _JITTER)
        self._epoch = 0
        self._last_id = 0
        self._number = -1
        self._timed: tuple[int, int] | None = None
        """Number and camera time of the last frame whose time is known."""

    @property
    def last(self) -> int:
        """The last frame number; -1 before the first frame."""
        return self._number

    def number(self, block_id: int, t_camera_ns: int | None = None) -> int:
        """Number of the frame with this ID. `t_camera_ns`: time of the frame by the camera's clock; None: unknown.

        A frame without an ID gets the next number. A counter that goes down has wrapped around if it has 16 bits and no
        frame is missing, or if the missing frames fit into the time that has passed.
        Raises CameraError for any other step back, and for more missing frames than fit into the time.
        """
        if block_id == _NO_ID:
            self._number += 1
            return self._number
        number = self._epoch + block_id
        if block_id < self._last_id:
            number += _GIGE_WRAP
            if not self._has_wrapped(block_id, number, t_camera_ns):
                raise CameraError(
                    f"the frame counter went from {self._last_id} back to {block_id}: has the camera restarted?"
                )
            self._epoch += _GIGE_WRAP
        elif self._fits(number, t_camera_ns) is False:
            raise CameraError(
                f"the frame counter went from {self._last_id} to {block_id}, faster than the camera can take images"
            )
        self._last_id, self._number = block_id, number
        if t_camera_ns is not None:
            self._timed = number, t_camera_ns
        return number

    def _has_wrapped(self, block_id: int, number: int, t_camera_ns: int | None) -> bool:
        if block_id < 1 or self._last_id > _GIGE_WRAP:  # not a 16-bit counter
            return False
        if number - self._number == 1:
            return True
        return self._fits(number, t_camera_ns) is True

    def _fits(self, number: int, t_camera_ns: int | None) -> bool | None:
        """Whether the camera had time for these frames since the last frame with a known time; None if it is unknown."""
        if self._timed is None or t_camera_ns is None or not self._shortest_ns:
            return None
        last_number, last_ns = self._timed
        return (number - last_number) * self._shortest_ns <= t_camera_ns - last_ns
