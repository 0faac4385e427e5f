"""The gate's own process: `python -m inspectd.gate FD CONFIG_JSON`, started by the line and by nobody else.

Its end comes with the line's: end of file on the socket, or STOP. Signals to the whole process group (a service being
stopped, Ctrl-C, systemd's watchdog) must not take it away from the parts that are still in flight.
"""

import gc
import os
import signal
import socket
import sys
import time

import structlog

from inspectd.errors import OutputError
from inspectd.gate.config import GateConfig
from inspectd.gate.loop import GateLoop
from inspectd.logs import configure_logs

log = structlog.get_logger()


def main() -> int:
    configure_logs()
    for to_the_group in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGABRT):
        signal.signal(to_the_group, signal.SIG_IGN)
    channel = socket.socket(fileno=int(sys.argv[1]))
    config = GateConfig.model_validate_json(sys.argv[2])
    output = config.output.create(None)
    try:
        output.open()
    except OutputError as error:
        log.error("output can't be opened", error=str(error))
        return error.exit_code
    if config.realtime_priority:
        _become_real_time(config.realtime_priority)
    gc.disable()  # nothing here makes reference cycles
    try:
        GateLoop(config, output, channel).run()
    finally:
        output.close()
    return 0


def _become_real_time(priority: int) -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        log.warning(
            "no real-time priority: pulses may be late under load; allow it with LimitRTPRIO= or gate.realtime_priority: 0",
            worst_of_200_wakes_ms=round(_worst_wake_ms(), 2),
        )


def _worst_wake_ms() -> float:
    worst_s = 0.0
    for _ in range(200):
        start_s = time.monotonic()
        time.sleep(0.001)
        worst_s = max(worst_s, time.monotonic() - start_s - 0.001)
    return 1000 * worst_s


if __name__ == "__main__":
    sys.exit(main())
