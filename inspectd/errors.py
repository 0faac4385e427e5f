"""Every error the daemon raises on purpose, with the exit code it ends in.

Exit codes follow sysexits(3). 78 (bad configuration or engine) is the one systemd does not restart after;
every other end is worth another try.
"""


class InspectdError(Exception):
    """Base of all errors below. `exit_code` is what the process ends with if nobody handles it."""

    exit_code = 70


class ConfigError(InspectdError):
    """The config file can't be used as written; the message names file, key, value and what is allowed."""

    exit_code = 78


class EngineError(InspectdError):
    """An engine bundle is refused at load (wrong hash, golden images differ, unknown format)."""

    exit_code = 78


class InferenceError(InspectdError):
    """One inference failed or gave scores that are no scores; that part becomes `engine_error`."""


class CameraError(InspectdError):
    """The camera is gone or refuses a setting; the line retries with backoff, run permit dropped."""

    exit_code = 75


class OutputError(InspectdError):
    """The reject output can't be driven or does not read back what was written; run permit is dropped."""

    exit_code = 75


class InUseError(InspectdError):
    """A journal, output or camera belongs to another running process; the message names it."""

    exit_code = 75


class JournalError(InspectdError):
    """A verdict could not be recorded, so the part may not pass; it becomes `record_error`."""

    exit_code = 74


class LineFault(InspectdError):
    """The line can no longer vouch for its parts (books don't balance, gate process gone)."""
