"""Play the controller of the line's printer: tell the line over its control socket what the next labels must say."""

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from inspectd.commands.demo.ground_truth import Truth
from inspectd.control.client import ask
from inspectd.errors import ConfigError, ControlError, RefusedError

LEAD = 60
"""A job is announced so many labels before it begins."""
_AGAIN_S = 0.02
_SETTLES_S = 1.0
"""A line that starts refuses expectations for a moment: it listens before all of it is there."""


@dataclass(frozen=True, slots=True)
class Job:
    """Labels that follow each other and say the same."""

    first_part: int
    fields: dict[str, str]
    """What the line is told."""


def jobs_of(truth: Sequence[Truth], given: Collection[str], first_part: int) -> list[Job]:
    """`given`: the fields whose text is told to the line. `first_part`: the number of the first label.

    Raises ConfigError if the truth does not say what a label should say there.
    """
    jobs: list[Job] = []
    for part, entry in enumerate(truth, first_part):
        missing = [name for name in given if name not in entry.expected]
        if missing:
            raise ConfigError(
                f"truth.csv: {entry.file}: expected: has no text for {', '.join(missing)}, which the line must be told; render "
                "labels with tools/synthesize.py, or remove the section text from the config"
            )
        fields = {name: entry.expected[name] for name in given}
        if not jobs or jobs[-1].fields != fields:
            jobs.append(Job(part, fields))
    return jobs


class Printer:
    """Announces jobs to the line that listens at `socket`."""

    def __init__(self, socket: Path, jobs: Sequence[Job]) -> None:
        self._socket = socket
        self._jobs = deque(jobs)

    def begin(self, is_alive: Callable[[], bool], within_s: float) -> None:
        """Announce the first jobs as soon as the line listens, unless it has ended.

        Raises ControlError if it does not listen within this time, RefusedError if it refuses.
        """
        end_s = time.monotonic() + within_s
        while self._jobs and is_alive():
            try:
                self.announce(self._jobs[0].first_part)
                return
            except (ControlError, RefusedError) as error:
                if isinstance(error, RefusedError):
                    end_s = min(end_s, time.monotonic() + _SETTLES_S)
                if time.monotonic() > end_s:
                    raise
                time.sleep(_AGAIN_S)

    def announce(self, next_part: int) -> None:
        """Announce the jobs that begin soon. Raises ControlError, RefusedError."""
        while self._jobs and self._jobs[0].first_part <= next_part + LEAD:
            job = self._jobs[0]
            ask(self._socket, "expect", fields=job.fields, **{"from": {"part": job.first_part}})
            self._jobs.popleft()
