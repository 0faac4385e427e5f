"""Processes that tests wait for, also those of which they are not the parent."""

from pathlib import Path


def is_running(pid: int) -> bool:
    """Not if it is a zombie: it has ended, and where process 1 looks for orphans only now and then it stays for seconds."""
    try:
        return state_and_more(pid)[0] != "Z"
    except OSError:
        return False


def state_and_more(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from `state` on, see proc(5). Raises OSError if there is no such process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
