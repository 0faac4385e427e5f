"""The lines: real daemons on rendered labels, each in a folder of its own, with its bridges."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspectd.errors import JournalError
from inspectd.files.yaml_file import dump_yaml
from inspectd.part import Missed
from inspectd.records.journal_schema import prepare_schema
from inspectd.records.reading import open_for_reading

DELAY_MS = 900
_IDLE = ("chrt", "--idle", "0")
"""The scheduling policy of the units for pull and bridges."""


@dataclass(frozen=True, slots=True)
class Cost:
    processes: int
    mb: float
    """Proportional set size: memory that processes share counts once."""
    cpu_s: float


@dataclass(slots=True)
class Line:
    """One line. `signed_by`: the key that its engines must be signed with."""

    folder: Path
    number: int
    signed_by: Path
    url: str
    port: int = 0
    """Of its metrics."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"line-{self.number:02}"

    @property
    def home(self) -> Path:
        return self.folder / self.name

    @property
    def link(self) -> Path:
        return self.home / "links" / "engine"

    def write(self, engine: Path, images: Path, rate_hz: float, root: Path, broker: int | None) -> None:
        """Its configs, and its link to its first engine."""
        self.link.parent.mkdir(parents=True)
        self.link.symlink_to(engine)
        config = {
            "name": self.name,
            "engine": "links/engine",
            "camera": {"kind": "replay", "source": str(images), "rate_hz": rate_hz, "forever": True, "max_age_ms": 800},
            "inference": {"threads": 1, "signed_by": str(self.signed_by)},
            "gate": {
                "wiring": "pulse_to_reject",
                "delay_ms": DELAY_MS,
                "width_ms": 40,
                "output": {"kind": "simulated", "record": "output.jsonl"},
            },
            "journal": {"path": "journal.sqlite"},
            "control": {"socket": "control.sock"},
        }
        pull = {"line": "line.yaml", "url": self.url, "trusted_root": str(root), "state": "pull"}
        self._write("line", config)
        self._write("pull", pull)
        if broker is not None:
            with closing(sqlite3.connect(self.home / "journal.sqlite")) as journal:
                prepare_schema(journal, self.home / "journal.sqlite")  # so that the bridges see the first label
            self.port = free_port()
            self._write("metrics", {"line": "line.yaml", "state": "metrics", "port": self.port, "pull": "pull"})
            self._write("mqtt", {"line": "line.yaml", "state": "mqtt", "broker": {"host": "127.0.0.1", "port": broker}})
            for name in ("metrics", "mqtt"):
                (self.home / name).mkdir()

    def start(self) -> None:
        self._start("line", "run")

    def start_bridges(self) -> None:
        """Start them before the line: they tell what comes after their first start."""
        for kind in ("metrics", "mqtt"):
            self._start(kind, "serve", kind, before=_IDLE)

    def bridges_are_up(self) -> bool:
        return all("there" in (self.home / f"{kind}.log").read_text() for kind in ("metrics", "mqtt"))

    def begin_pull(self) -> subprocess.Popen[bytes]:
        """As the timer would."""
        return self._run("pull", "engines", "pull", before=_IDLE)

    def parts(self) -> int:
        """How many are recorded; 0 while the journal is not made yet."""
        try:
            return int(self._ask("SELECT count(*) FROM parts")[0][0])
        except JournalError:
            return 0

    def missed(self) -> Counter[str]:
        return Counter(dict(self._ask(_MISSED, Missed.word)))

    def slowest_ms(self) -> float:
        """The longest time from trigger to verdict after the first part."""
        return float(self._ask("SELECT max(verdict_us) / 1000.0 FROM parts WHERE id > 1")[0][0])

    def first_part_with(self, engine: str) -> float | None:
        """When the first part that the engine with this hash has judged was triggered, in s of the wall clock."""
        first = self._ask(_FIRST, engine)[0][0]
        return None if first is None else first / 1e9

    def engine_hashes(self) -> list[str]:
        """Of the engines that have judged parts."""
        return [hash_ for (hash_,) in self._ask("SELECT DISTINCT hash FROM parts JOIN engines ON engine = engines.id")]

    def _ask(self, sql: str, *values: object) -> list[Any]:
        with closing(open_for_reading(self.home / "journal.sqlite")) as journal:
            return journal.execute(sql, values).fetchall()

    def _write(self, name: str, values: dict[str, Any]) -> None:
        (self.home / f"{name}.yaml").write_text(dump_yaml(values))

    def _start(self, config: str, *verb: str, before: Sequence[str] = ()) -> None:
        self.processes.append(self._run(config, *verb, before=before))

    def _run(self, config: str, *verb: str, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        with (self.home / f"{verb[-1]}.log").open("ab") as log:
            command = [*before, sys.executable, "-m", "inspectd", *verb, "--config", str(self.home / f"{config}.yaml")]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


_MISSED = "SELECT reason, count(*) FROM parts WHERE verdict = ? GROUP BY reason"
_FIRST = "SELECT min(t_utc_ns) FROM parts JOIN engines ON engine = engines.id WHERE hash = ?"


def signed_copy(bundle: Path, folder: Path, key: Path) -> Path:
    """A copy of a bundle, signed with another key."""
    from inspectd.inference import load_bundle
    from inspectd.inference.signature import sign

    shutil.copytree(bundle, folder)
    sign(load_bundle(folder), key)
    return folder


def cost(pids: Sequence[int]) -> Cost:
    """Of these processes and their children."""
    every = [*pids, *(child for pid in pids for child in _children(pid))]
    ticks = os.sysconf("SC_CLK_TCK")
    kilobytes, spent = 0, 0
    for pid in every:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            kilobytes += int(line.split()[1]) if line.startswith("Pss:") else 0
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent += int(fields[11]) + int(fields[12])
    return Cost(len(every), kilobytes / 1024, spent / ticks)


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_until(holds: Callable[[], object], within_s: float, what: str) -> None:
    """Raises SystemExit."""
    end_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end_s:
            raise SystemExit(f"waited {within_s:g} s for {what}")
        time.sleep(0.5)
