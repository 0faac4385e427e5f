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
"""Lines kept while nobody reads them."""
_LAST_WORDS_S = 0.5
"""How long the end of the process waits for a reader of its last lines."""


def configure_logs(*, drop: bool = False) -> None:
    """Send structlog's events to stderr. Only state changes are logged; parts are in the journal database.

    `drop`: for processes that must not wait for whoever reads their log. A thread of its own writes; while nobody reads,
    the lines beyond the first thousand are dropped and counted.
    """
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact,
    ]
    if sys.stderr.isatty():
        # not the pretty tracebacks, which show the values of all variables: the config's passwords among them
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
        # asked for at each event: whoever replaces sys.stderr afterwards must not leave a logger on a closed file
        logger_factory=lambda: dropping or structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def last_words(text: str) -> None:
    """Say why the process ends, after what is still to be logged, and without waiting for ever for a reader."""
    structlog.get_config()["logger_factory"]().msg(redacted(text))
    flush_logs()


def flush_logs() -> None:
    """Give the last lines some time to be read; a process that ends by `os._exit` must ask for it."""
    logger = structlog.get_config()["logger_factory"]()
    if isinstance(logger, _DroppingLogger):
        logger.flush()


class _DroppingLogger:
    """What structlog calls to write a line: never blocks."""

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
                line += f"\n{dropped} log lines were dropped: nobody read them"
            _write_to_stderr(line)
            self._lines.task_done()


def _write_to_stderr(line: str) -> None:
    try:
        data = f"{line}\n".encode(errors="backslashreplace")
        while data:
            data = data[os.write(sys.stderr.fileno(), data) :]
    except (OSError, ValueError):
        return  # a log that can't be written must not end what it tells of


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Also what nobody foresaw, such as the text of a library's exception."""
    return {key: redacted(value) if isinstance(value, str) else value for key, value in event.items()}


def _prefix_priority(_: WrappedLogger, method: str, line: str) -> str:
    """sd-daemon(3): a line that begins with <N> has that syslog priority, so `journalctl -p err` works."""
    return f"<{_PRIORITY.get(method, 6)}>{line}"
