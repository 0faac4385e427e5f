"""The gate's process: `python -m inspectd.gate FD CONFIG_JSON`. Only the line starts it.

It ends when the line ends: at the end of file on the socket, or at STOP. It ignores signals to the whole process group (a
stopping service, Ctrl-C, the systemd watchdog), because parts may still be in flight. Its exit code is 0 only if the safe
state has been written and read back.
"""

import gc
import os
import signal
import socket
import sys
import time
from contextlib import ExitStack

import structlog

from inspectd.errors import InspectdError, OutputError
from inspectd.gate.config import GateConfig
from inspectd.gate.loop import GateLoop
from inspectd.gate.outputs.base import SAFE_WITHIN_S, Output, make_safe
from inspectd.logs import configure_logs
from inspectd.ownership import Claim

log = structlog.get_logger()


def main() -> int:
    configure_logs(drop=True)
    for to_the_group in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGABRT):
        signal.signal(to_the_group, signal.SIG_IGN)
    channel = socket.socket(fileno=int(sys.argv[1]))
    config = GateConfig.model_validate_json(sys.argv[2])
    with ExitStack() as claims:
        try:
            # the gate of a line that died may still finish its parts in flight and make the output safe
            for device in config.output.devices:
                claims.enter_context(Claim(device, wait_s=config.ends_within_s))
            return _run(config, channel)
        except InspectdError as error:
            log.critical("gate ends", error=str(error))
            return error.exit_code
        except Exception as error:
            log.critical("gate ends", error=f"{type(error).__name__}: {error}", exc_info=error)
            return InspectdError.exit_code


def _run(config: GateConfig, channel: socket.socket) -> int:
    output = config.output.create(None)
    output.open()
    _warn_of_problems(output)
    try:
        if config.realtime_priority:
            _become_real_time(config.realtime_priority)
        gc.disable()  # this process makes no reference cycles
        try:
            GateLoop(config, output, channel).run()
        finally:
            channel.close()  # it tells the line that nothing is in flight any more
            make_safe(output, SAFE_WITHIN_S)
    finally:
        output.close()
    return 0


def _warn_of_problems(output: Output) -> None:
    """The line runs with what `inspectd check` refuses, but somebody must know of it."""
    try:
        problems = output.problems()
    except OutputError as error:
        problems = [str(error)]
    for problem in problems:
        log.warning("inspectd check refuses this output", problem=problem)


def _become_real_time(priority: int) -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        log.warning(
            "no real-time priority: pulses may be late under load; allow it with LimitRTPRIO=, or set gate.realtime_priority: 0",
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
