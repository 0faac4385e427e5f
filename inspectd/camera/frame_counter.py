"""Frame numbers that only grow, from the block IDs a Basler camera counts its frames with."""

_GIGE_WRAP = 65_535
"""GigE Vision counts 1..65535 and then 1 again; USB3 Vision and extended IDs use 64 bits."""
_NO_ID = 2**64 - 1


class FrameCounter:
    """A gap in the numbers is a gap in the IDs, i.e. frames the camera took and the host never got."""

    def __init__(self) -> None:
        self._epoch = 0
        self._last_id = 0
        self._number = -1

    def number(self, block_id: int) -> int:
        """Number of the frame with this ID; a frame that lost its ID comes right after the one before it."""
        if block_id == _NO_ID:
            self._number += 1
            return self._number
        if block_id < self._last_id:
            self._epoch += _GIGE_WRAP
        self._last_id = block_id
        self._number = self._epoch + block_id
        return self._number
