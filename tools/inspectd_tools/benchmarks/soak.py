"""A long run while reports are read: what the line records and misses, and how much memory and disk it uses."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from inspectd.records.reading import open_for_reading
from inspectd_tools.benchmarks.daemon import Bench, rss_mb

_REPORTS: tuple[list[str], ...] = (["--json"], ["--csv"], [])
_SAMPLE_EVERY_S = 5.0


def measure_soak(bench: Bench, rate_hz: float, minutes: float) -> dict[str, Any]:
    """Run the daemon at `rate_hz` parts/s for `minutes`, while one report after another is read."""
    daemon, folder = bench.start(bench.replay(rate_hz))
    journal = folder / "journal.sqlite"
    _wait_for_parts(journal, daemon)
    reports = _Reports(journal)
    samples = []
    begin_s = time.monotonic()
    try:
        for _ in track(range(max(3, round(minutes * 60 / _SAMPLE_EVERY_S))), "soak"):
            time.sleep(_SAMPLE_EVERY_S)
            samples.append(_sample(daemon.pid, journal, time.monotonic() - begin_s))
    finally:
        reports.stop()
        daemon.send_signal(signal.SIGTERM)
        code = daemon.wait(timeout=60)
    figures = {"exit_code": code, **_records(journal), "reports": dict(reports.codes), "samples": samples}
    Console().print(_table(figures, rate_hz, minutes))
    return figures


class _Reports:
    """`inspectd report` again and again, in all three formats; one in four is not read to its end, but left waiting."""

    def __init__(self, journal: Path) -> None:
        self.codes: Counter[str] = Counter()
        self._journal = journal
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=60)

    def _run(self) -> None:
        number = 0
        while not self._stopping.wait(1.0):
            form = _REPORTS[number % len(_REPORTS)]
            command = [
                sys.executable,
                "-m",
                "inspectd",
                "report",
                "--journal",
                str(self._journal),
                "--last",
                "1d",
                *form,
            ]
            if number % 4 == 3:
                self._stall(command)
            else:
                done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
                self.codes[f"exit {done.returncode}"] += 1
            number += 1

    def _stall(self, command: list[str]) -> None:
        report = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._stopping.wait(20)
        report.kill()
        report.communicate()
        self.codes["not read to the end"] += 1


def _wait_for_parts(journal: Path, daemon: "subprocess.Popen[bytes]") -> None:
    end_s = time.monotonic() + 60
    while not journal.exists() and time.monotonic() < end_s and daemon.poll() is None:
        time.sleep(0.2)
    time.sleep(2)
    if daemon.poll() is not None:
        raise SystemExit(f"the daemon ended with exit code {daemon.returncode}: see {journal.parent / 'daemon.log'}")


def _sample(pid: int, journal: Path, at_s: float) -> dict[str, float]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    log = journal.with_name(journal.name + "-wal")
    return {
        "minute": round(at_s / 60, 2),
        "line_mb": rss_mb(pid),
        "gate_mb": rss_mb(int(children[0])),
        "wal_mb": log.stat().st_size / 1e6,
        "journal_mb": journal.stat().st_size / 1e6,
    }


def _records(journal: Path) -> dict[str, Any]:
    with closing(open_for_reading(journal)) as connection:
        verdicts = dict(map(tuple, connection.execute("SELECT verdict, count(*) FROM parts GROUP BY 1")))
        missed = dict(
            map(tuple, connection.execute("SELECT reason, count(*) FROM parts WHERE verdict = 'missed' GROUP BY 1"))
        )
        (record_errors,) = connection.execute(
            "SELECT coalesce(sum(parts), 0) FROM outages WHERE kind = 'record_error'"
        ).fetchone()
    return {"parts": sum(verdicts.values()), "record_error": record_errors, "verdicts": verdicts, "missed": missed}


def _table(figures: dict[str, Any], rate_hz: float, minutes: float) -> Table:
    samples = figures["samples"]
    table = Table(
        "", "start", "middle", "end", "max", title=f"{minutes:g} minutes at {rate_hz:g} parts/s while reports are read"
    )
    for name, label in (
        ("line_mb", "line MB"),
        ("gate_mb", "gate MB"),
        ("wal_mb", "journal's log MB"),
        ("journal_mb", "journal MB"),
    ):
        values = [sample[name] for sample in samples]
        cells = (values[0], values[len(values) // 2], values[-1], max(values))
        table.add_row(label, *(f"{value:.1f}" for value in cells))
    table.caption = (
        f"{figures['parts']} parts, {figures['record_error']} record_error, missed: {figures['missed'] or 'none'}, "
        f"reports: {figures['reports']}, exit code {figures['exit_code']}"
    )
    return table
