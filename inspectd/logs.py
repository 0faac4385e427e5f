"""Log lines: JSON with a priority for the system journal, coloured text on a terminal."""

import atexit
import logging
import os
import queue
import sys
import threading
import time
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from inspectd.redaction import redacted

_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_WAITING = 1000
"""Lines that are kept while nobody reads them."""
_LAST_WORDS_S = 0.5
"""Time that the end of the process waits for a reader of its last lines."""


def configure_logs(*, drop: bool = False) -> None:
    """Send structlog's events to stderr. Only changes of state are logged; parts are in the journal database.

    `drop`: for a process that must not wait for the reader of its log. A separate thread writes the lines. While nobody
    reads, it keeps the first thousand lines, and drops and counts the others.
    """
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact,
    ]
    if sys.stderr.isatty():
        # the pretty tracebacks show the values of all variables, also the passwords of the config
        processors.append(structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback))
    else:
        processors.append(structlog.processors.JSONRenderer())
        if "JOURNAL_STREAM" in os.environ:
            processors.append(_prefix_priority)
    dropping = _DroppingLogger() if drop else None
    if dropping is not None:
        atexit.register(dropping.flush)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # looked up at each event, because sys.stderr may be replaced later, and the old one closed
        logger_factory=lambda: dropping or structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def last_words(text: str) -> None:
    """Log why the process ends, after all earlier lines. Waits only a limited time for a reader."""
    structlog.get_config()["logger_factory"]().msg(redacted(text))
    flush_logs()


def flush_logs() -> None:
    """Give the last lines some time to be read. A process that ends by `os._exit` must call this."""
    logger = structlog.get_config()["logger_factory"]()
    if isinstance(logger, _DroppingLogger):
        logger.flush()


class Throttle:
    """Lets at most one log line through per `every_s` seconds. For one thread."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next_s = 0.0

    def is_open(self, now_s: float) -> bool:
        """Whether to log now, in monotonic seconds. After a yes it is closed for `every_s`."""
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._every_s
        return True


class _DroppingLogger:
    """Writes lines for structlog and never blocks."""

    def __init__(self) -> None:
        self._lines: queue.Queue[str] = queue.Queue(_WAITING)
        self._dropped = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def msg(self, line: str) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    debug = info = warning = error = critical = exception = msg

    def flush(self) -> None:
        """Give the last lines some time to be read."""
        end_s = time.monotonic() + _LAST_WORDS_S
        while self._lines.unfinished_tasks and time.monotonic() < end_s:
            time.sleep(0.005)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            dropped, self._dropped = self._dropped, 0
            if dropped:
                line += f"\n{dropped} log lines were dropped because nobody read them"
            _write_to_stderr(line)
            self._lines.task_done()


def _write_to_stderr(line: str) -> None:
    try:
        data = f"{line}\n".encode(errors="backslashreplace")
        while data:
            data = data[os.write(sys.stderr.fileno(), data) :]
    except (OSError, ValueError):
        return  # a log that can't be written must not stop the line


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Every value, also the text of a library's exception."""
    return {key: redacted(value) if isinstance(value, str) else value for key, value in event.items()}


def _prefix_priority(_: WrappedLogger, method: str, line: str) -> str:
    """Begin a line with <N>, its syslog priority (sd-daemon(3)), so that `journalctl -p err` works."""
    return f"<{_PRIORITY.get(method, 6)}>{line}"
