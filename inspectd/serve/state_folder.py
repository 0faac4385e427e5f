"""The folder in which the page or a bridge keeps what it must know after a restart."""

from pathlib import Path

from inspectd.errors import ConfigError


def make_state_folder(state: Path, mode: int) -> None:
    """Make it with these permissions if it does not exist. Raises ConfigError."""
    try:
        state.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"state: {state} can't be used: {error.strerror}") from error
