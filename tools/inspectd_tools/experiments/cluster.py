"""Spread runs over the nodes of a cluster. A run whose node dies is started again on another node, in the same folder."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from inspectd.errors import InspectdError
from inspectd_tools.experiments.paths import LOG

LOST_LIMIT = 3
"""A run that was lost more often fails. It may be the reason itself, such as a run that needs more memory than a node has."""
LOST_CODE = 75
_POLL_S = 1.0
Ended = tuple[Path, int]
"""A run's folder, and the exit code of its process."""


class ClusterError(InspectdError):
    """The cluster can't do the runs: not reachable, no node that fits, or a node that can't work for this command."""

    exit_code = 75


class Cluster(Protocol):
    """Starts runs on nodes, and says how they ended."""

    def start(self, folder: Path) -> None: ...

    def ended(self, within_s: float) -> list[tuple[Path, int | None]]:
        """Wait at most `within_s` for a run to end. Exit code None: its node died, or killed the process.

        Raises ClusterError if the cluster can do no more runs.
        """
        ...

    def stop(self) -> None:
        """Kill the runs that still go on, and leave the cluster."""
        ...


def spread(folders: Sequence[Path], cluster: Cluster, watch: Callable[[Sequence[Path]], None]) -> Iterator[Ended]:
    """Run all on the cluster. `watch` is called repeatedly with the folders of the runs that have not ended.

    Only a run that was lost with its node is started again. If the generator is closed early, it stops the runs.
    """
    lost: Counter[Path] = Counter()
    going = dict.fromkeys(folders)
    try:
        for folder in folders:
            cluster.start(folder)
        while going:
            for folder, code in cluster.ended(_POLL_S):
                if code is None and lost[folder] < LOST_LIMIT:
                    lost[folder] += 1
                    _say(folder, f"its node died; started again ({lost[folder]} of at most {LOST_LIMIT} times)")
                    cluster.start(folder)
                    continue
                if code is None:
                    _say(folder, f"was lost with its node {LOST_LIMIT + 1} times; is there enough memory for it?")
                del going[folder]
                yield folder, LOST_CODE if code is None else code
            watch(list(going))
    finally:
        cluster.stop()


def _say(folder: Path, words: str) -> None:
    with (folder / LOG).open("a", encoding="utf-8") as log:
        log.write(f"experiments: {words}\n")
    print(f"experiments: {folder}: {words}", file=sys.stderr)
