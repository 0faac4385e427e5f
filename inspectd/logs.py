"""Log lines: JSON with a priority for the system journal, coloured text on a terminal."""

import logging
import os
import sys
from typing import Any

import structlog
from structlog.typing import WrappedLogger

_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def configure_logs() -> None:
    """Send structlog's events to stderr. Only state changes are logged; parts are in the journal database."""
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    if sys.stderr.isatty():
        processors[-1:] = [structlog.dev.ConsoleRenderer()]
    else:
        processors.append(structlog.processors.JSONRenderer())
        if "JOURNAL_STREAM" in os.environ:
            processors.append(_prefix_priority)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # asked for at each event: whoever replaces sys.stderr afterwards must not leave a logger on a closed file
        logger_factory=lambda: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _prefix_priority(_: WrappedLogger, method: str, line: str) -> str:
    """sd-daemon(3): a line that begins with <N> has that syslog priority, so `journalctl -p err` works."""
    return f"<{_PRIORITY.get(method, 6)}>{line}"
