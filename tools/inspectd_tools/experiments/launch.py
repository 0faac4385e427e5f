"""Distribute runs over processes of this machine, or over a Ray cluster. A run is always one process and one folder."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from inspectd.errors import ConfigError
from inspectd_tools.experiments.paths import LOG, OUTCOME, WORK

_POLL_S = 0.2
Ended = tuple[Path, int]
"""A run's folder, and the exit code of its process."""


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "inspectd_tools.experiments.worker", str(folder / WORK)]


def here(folders: Sequence[Path], jobs: int, lock: int, watch: Callable[[Sequence[Path]], None]) -> Iterator[Ended]:
    """Run `jobs` processes at the same time. `watch` is called repeatedly with the folders of the running ones.

    Every process inherits the file descriptor `lock`. If the generator is closed early, it stops the processes and waits for
    them.
    """
    waiting = list(reversed(folders))
    running: dict[Path, subprocess.Popen[bytes]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                folder = waiting.pop()
                with (folder / LOG).open("ab") as log:
                    running[folder] = subprocess.Popen(command(folder), stdout=log, stderr=log, pass_fds=[lock])
            for folder in [folder for folder, process in running.items() if process.poll() is not None]:
                yield folder, running.pop(folder).returncode
            watch(list(running))
            time.sleep(_POLL_S)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def on_ray(folders: Sequence[Path], watch: Callable[[Sequence[Path]], None]) -> Iterator[Ended]:
    """Run on the cluster that RAY_ADDRESS names, or on a temporary one on this machine.

    All machines must see the folders under the same paths, and have this version installed. Raises ConfigError if Ray is not
    installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError("--ray: Ray is not installed: pip install 'inspectd[ray]'") from error

    def work(folder: str) -> int:
        with (Path(folder) / LOG).open("ab") as log:
            return subprocess.run(command(Path(folder)), stdout=log, stderr=log, check=False).returncode

    ray.init(ignore_reinit_error=True)
    task = ray.remote(work)
    waiting = {task.remote(str(folder)): folder for folder in folders}
    while waiting:
        (done, *_), _ = ray.wait(list(waiting), num_returns=1)
        folder = waiting.pop(done)
        yield folder, ray.get(done)
        watch([folder for folder in waiting.values() if not (folder / OUTCOME).exists()])


def last_words(folder: Path) -> str:
    """The last line of the log of a run; '' if it is empty."""
    lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").split("\n") if (folder / LOG).exists() else []
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else ""
