"""Pull and repository commands that are killed at any moment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet.centre import Centre

EVERY = os.environ.get("INSPECTD_EVERY_KILL") == "1"
"""Kill before each change, which takes a minute, and not before one in several only."""


@pytest.mark.slow
@pytest.mark.parametrize(("what", "step"), [("pull", 6), ("refused pull", 9), ("publication", 9)])
def test_killed_before_a_change_of_the_disk(centre: Centre, tmp_path: Path, what: str, step: int) -> None:
    centre.assign(1)
    command = [sys.executable, "-m", "tests.fleet.killed", what, str(tmp_path), "1" if EVERY else str(step)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(f"killed before {done.stdout.strip()} changes")
    assert int(done.stdout) > 30
