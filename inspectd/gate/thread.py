"""The gate in a thread of the line's process, for an output that is on the line's camera."""

import socket
import threading

import structlog

from inspectd.errors import OutputError
from inspectd.gate.config import GateConfig
from inspectd.gate.loop import GateLoop
from inspectd.gate.outputs.base import SAFE_WITHIN_S, make_safe

log = structlog.get_logger()


class GateThread:
    """Runs from when it is made until the line stops it or closes the channel. `channel` is the gate's end."""

    def __init__(self, config: GateConfig, camera: object, channel: socket.socket) -> None:
        self._config = config
        self._output = config.output.create(camera)
        self._channel = channel
        self._failure: OutputError | None = None
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until it has ended. Raises OutputError if the safe state was not acknowledged."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise OutputError(
                f"the gate's thread has not ended within {timeout_s:g} s: the safe state is not written, run permit may "
                "still be on"
            )
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            GateLoop(self._config, self._output, self._channel).run()
        except Exception as error:
            log.critical("gate ends", error=f"{type(error).__name__}: {error}", exc_info=error)
        finally:
            self._channel.close()
            self._make_safe()

    def _make_safe(self) -> None:
        try:
            make_safe(self._output, SAFE_WITHIN_S)
        except OutputError as error:
            self._failure = error
