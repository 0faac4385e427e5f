"""Work that takes longer than a request: it goes on when the user leaves the page, and every user sees how far it is.

There is one job at a time, because the line needs the processors.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from inspectd.errors import InspectdError

log = structlog.get_logger()


class BusyError(InspectdError):
    """Another job runs."""


@dataclass(slots=True)
class Job:
    """One piece of work, from its start until the next one of its name."""

    name: str
    """What it does, in words: "check the line"."""
    by: str
    """The user who has started it."""
    began_s: float = field(default_factory=time.time)
    """Unix time."""
    ended_s: float | None = None
    """Unix time; None while it runs."""
    progress: str = ""
    """How far it is, in words."""
    result: Any = None
    """What it has found; None while it runs, and if there is a problem."""
    problem: str = ""
    """Why there is no result."""

    def say(self, progress: str) -> None:
        """How far it is."""
        self.progress = progress


Work = Callable[[Job], Awaitable[Any]]


class Jobs:
    """What runs, and the last job of each name."""

    def __init__(self) -> None:
        self.last: dict[str, Job] = {}
        self._running: Job | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> Job | None:
        return self._running

    def refuse_if_busy(self) -> None:
        """Raises BusyError if a job runs."""
        if self._running is not None:
            raise BusyError(
                f"{self._running.by} has started to {self._running.name}. One thing at a time: wait until it is done."
            )

    def start(self, name: str, by: str, work: Work) -> Job:
        """Do `work` in the background. What it returns is the result; an InspectdError of it is the problem.

        Raises BusyError if a job runs.
        """
        self.refuse_if_busy()
        job = self._running = self.last[name] = Job(name, by)
        self._task = asyncio.create_task(self._do(job, work))
        return job

    async def _do(self, job: Job, work: Work) -> None:
        try:
            job.result = await work(job)
        except InspectdError as error:
            job.problem = str(error)
        except asyncio.CancelledError:
            job.problem = "the page was stopped meanwhile"
            raise
        except Exception as error:
            log.error("a job failed", job=job.name, exc_info=error)
            job.problem = "This is a fault of the page. Its log says more."
        finally:
            job.ended_s = time.time()
            self._running = None
