"""Every error that the daemon raises on purpose, with the exit code of the process that it ends.

Exit codes follow sysexits(3). systemd does not restart the service after 78 (wrong configuration or engine), because the
next start would fail in the same way. After every other code it does.
"""


class InspectdError(Exception):
    """Base of all errors below. `exit_code`: exit code of the process if nobody handles the error."""

    exit_code = 70


class ConfigError(InspectdError):
    """A file or an option can't be used as written. The message names file, key, value and what is allowed."""

    exit_code = 78


class EngineError(InspectdError):
    """An engine bundle is rejected when it is loaded: wrong hash, golden images gave different scores, unknown format."""

    exit_code = 78


class NoGpuError(EngineError):
    """The GPU can't be used now. Its driver may load later than the line starts, or the GPU may be reset: the service tries again."""

    exit_code = 75


class InferenceError(InspectdError):
    """One inference failed or gave invalid scores. The part becomes `engine_error`."""


class CameraError(InspectdError):
    """The camera is not available or rejects a setting. The line drops run permit and tries again, with longer and longer pauses."""

    exit_code = 75


class OutputError(InspectdError):
    """The reject output can't be driven, or reads back another state than was written. Run permit drops."""

    exit_code = 75


class InUseError(InspectdError):
    """Another running process uses the journal, output or camera. The message names the process."""

    exit_code = 75


class JournalError(InspectdError):
    """A verdict could not be recorded, so the part must not pass. It becomes `record_error`."""

    exit_code = 74


class ReviewError(InspectdError):
    """A reviewer's decision could not be kept or read. The line does not need it."""

    exit_code = 74


class AuditError(InspectdError):
    """The audit trail can't be written or was altered, so the action must not be done."""

    exit_code = 74


class StoreError(InspectdError):
    """A file in which the operator's page keeps its users can't be read or written."""

    exit_code = 74


class AccountError(InspectdError):
    """A user of the page can't be added, changed or removed as asked. Nothing has changed."""

    exit_code = 1


class LineFault(InspectdError):
    """The line can no longer account for its parts: the books do not balance, or the gate process has ended."""


class EngineLost(LineFault):
    """The engine can't judge another label in this process, such as after an error that stays with the GPU. A restart helps."""


class RepositoryError(InspectdError):
    """What a repository of engines says can't be trusted or used. The line goes on with what it has."""

    exit_code = 1


class NotReachableError(InspectdError):
    """The repository of engines is not reachable, or too slow. The line goes on with what it has."""

    exit_code = 75


class ControlError(InspectdError):
    """No line answers at the control socket, or this user may not use it."""

    exit_code = 69


class NoLineError(ControlError):
    """No process listens at the control socket: the line does not run."""


class RefusedError(InspectdError):
    """The running line refuses what it was asked for. Nothing has changed."""

    exit_code = 1
