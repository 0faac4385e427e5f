"""Distribute runs over processes of this machine, or over a Ray cluster. A run is always one process and one folder."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inspectd.errors import ConfigError
from inspectd_tools.cli import add_device_option, positive
from inspectd_tools.experiments.cluster import Ended, spread
from inspectd_tools.experiments.paths import LOG, WORK

_POLL_S = 0.2
Watch = Callable[[Sequence[Path]], None]
"""Is told the folders of the runs that are going."""
Launch = Callable[[Sequence[Path], Watch], Iterator[Ended]]
"""Folders of runs -> each run when it has ended."""


@dataclass(frozen=True, slots=True)
class Where:
    """Where the runs are done; the help of `add_launch_options` explains each field."""

    jobs: int
    threads: int | None
    device: str
    ray: str | None

    @property
    def device_of_run(self) -> str:
        """On a cluster nobody can say which GPU `auto` would take, so it is the CPU."""
        return "cpu" if self.ray is not None and self.device == "auto" else self.device


def add_launch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="runs at the same time; default: 1")
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="threads of each run; default: as torch chooses; with --ray 1. The same number gives the same results",
    )
    add_device_option(parser)
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="distribute the runs over a Ray cluster instead: host:port of its head, or `local` for a cluster of this "
        "machine alone. A run takes --threads cores and, with --device cuda, one GPU; auto is the CPU here",
    )


def launcher(where: Where, folder: Path, lock: int) -> Launch:
    """How to run. A cluster is joined and its nodes are checked at once. `folder`: holds those of all runs; `lock`: see `here`.

    Raises ConfigError or ClusterError.
    """
    if where.ray is None:
        return lambda folders, watch: here(folders, where.jobs, where.threads, lock, watch)
    if where.jobs != 1:
        raise ConfigError(
            "--jobs: not with --ray, where the cores of the nodes and --threads decide how many runs go on"
        )
    if where.device.startswith("cuda:"):
        raise ConfigError(f"--device {where.device}: with --ray, Ray chooses the GPU of each run; give --device cuda")
    from inspectd_tools.experiments.on_ray import RayCluster

    cluster = RayCluster(where.ray, folder, where.threads or 1, where.device == "cuda")
    return lambda folders, watch: spread(folders, cluster, watch)


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "inspectd_tools.experiments.worker", str(folder / WORK)]


def here(folders: Sequence[Path], jobs: int, threads: int | None, lock: int, watch: Watch) -> Iterator[Ended]:
    """Run `jobs` processes at the same time. `watch` is called repeatedly with the folders of the running ones.

    Every process inherits the file descriptor `lock`. If the generator is closed early, it stops the processes and waits for
    them.
    """
    waiting = list(reversed(folders))
    running: dict[Path, subprocess.Popen[bytes]] = {}
    environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                folder = waiting.pop()
                with (folder / LOG).open("ab") as log:
                    running[folder] = subprocess.Popen(
                        command(folder), stdout=log, stderr=log, env=environment, pass_fds=[lock]
                    )
            for folder in [folder for folder, process in running.items() if process.poll() is not None]:
                yield folder, running.pop(folder).returncode
            watch(list(running))
            time.sleep(_POLL_S)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def last_words(folder: Path) -> str:
    """The last line of the log of a run; '' if it is empty."""
    lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").split("\n") if (folder / LOG).exists() else []
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else ""
