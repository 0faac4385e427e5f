"""The processes of a page benchmark: a line, the page as its unit starts it, and readers of its events that are no browser."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from inspectd.errors import JournalError
from inspectd.files.yaml_file import dump_yaml
from inspectd.records.reading import open_for_reading
from inspectd_tools.benchmarks.daemon import Bench

_URL = re.compile(r"http://127\.0\.0\.1:\d+")
_START_S = 60.0


class Web:
    """`inspectd serve web` of one line. Anybody may look, so that readers need no login."""

    def __init__(self, line: Path, state: Path, **options: Any) -> None:
        """`options`: more of its config."""
        state.mkdir(parents=True, exist_ok=True)
        self.state = state
        config = line.with_name("web.yaml")
        values = {"line": str(line), "state": str(state), "port": 0, "anonymous_viewer": True, **options}
        config.write_text(dump_yaml(values))
        log = line.with_name("web.log")
        command = ["chrt", "--idle", "0", sys.executable, "-m", "inspectd", "serve", "web", "--config", str(config)]
        with log.open("wb") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=file)
        self.pid = self._process.pid
        self.url = self._wait_for_url(log)

    def _wait_for_url(self, log: Path) -> str:
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s and self._process.poll() is None:
            if found := _URL.search(log.read_text()):
                return found[0]
            time.sleep(0.05)
        raise SystemExit(f"the page did not start: {log.read_text()[-2000:]}")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        """End it, however it is. Safe to call twice."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def readers(url: str, count: int, *, may_end: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """`count` pages as far as the server sees them: each follows the events, and loads each new picture. They draw nothing.

    Raises SystemExit if they end before, unless they may.
    """
    command = [sys.executable, "-m", "inspectd_tools.benchmarks.page.readers", url, str(count)]
    process = subprocess.Popen(command)
    try:
        yield process
        if not may_end and process.poll() is not None:
            raise SystemExit("the readers have ended meanwhile, so the figures are wrong")
    finally:
        process.kill()
        process.wait()


@contextmanager
def line(bench: Bench, rate_hz: float, journal: Path | None = None) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A line with archive and control socket that has recorded its first parts; its process and its folder.

    `journal`: one that exists, to which it adds its parts; its images are in the folder `archive` beside it.
    """
    home = journal.parent if journal is not None else Path()
    daemon, folder = bench.start(
        bench.emulator(rate_hz),
        archive={"folder": str(home / "archive"), "max_gb": 1},
        control={"socket": "control.sock"},
        **({"journal": {"path": str(journal)}} if journal is not None else {}),
    )
    journal = journal or folder / "journal.sqlite"
    before = newest_part(journal)
    try:
        end_s = time.monotonic() + _START_S
        while newest_part(journal) < before + rate_hz:
            if time.monotonic() > end_s or daemon.poll() is not None:
                raise SystemExit(f"the line did not start: {(folder / 'daemon.log').read_text()[-2000:]}")
            time.sleep(0.2)
        yield daemon, folder
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(timeout=60)


def newest_part(journal: Path) -> int:
    """0 if there is none."""
    try:
        with closing(open_for_reading(journal)) as connection:
            return int(connection.execute("SELECT coalesce(max(id), 0) FROM parts").fetchone()[0])
    except JournalError:  # the line has not made it yet
        return 0


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds of a process and its descendants since they began."""

    cpu_s: float

    @classmethod
    def of(cls, pid: int) -> Self:
        """Processes that have ended meanwhile count only if their parent has waited for them."""
        parents, cpu_s = {}, {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            parents[int(folder.name)] = int(fields[1])
            cpu_s[int(folder.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        family = {pid}
        while more := {child for child, parent in parents.items() if parent in family} - family:
            family |= more
        return cls(sum(cpu_s.get(each, 0.0) for each in family))
