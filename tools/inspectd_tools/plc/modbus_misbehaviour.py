"""Which kinds of misbehaviour of the Modbus device are active."""

import time
from typing import Any


class Misbehaviour:
    """Every kind is active for the time that its command gives."""

    def __init__(self) -> None:
        self._until: dict[str, tuple[int, dict[str, Any]]] = {}
        self._asked: dict[str, int] = {}

    def begin(self, name: str, command: dict[str, Any]) -> None:
        self._until[name] = (time.monotonic_ns() + round(command["ms"] * 1e6), command)

    def get(self, name: str) -> dict[str, Any] | None:
        """The active command, or None. Counts the calls, because a command with `every` applies to every n-th one only."""
        until_ns, command = self._until.get(name, (0, {}))
        if time.monotonic_ns() >= until_ns:
            return None
        self._asked[name] = self._asked.get(name, 0) + 1
        return command if self._asked[name] % command.get("every", 1) == 0 else None
