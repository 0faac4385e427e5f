"""Kill a command before its n-th change of the disk, for every n or one n in several. Runs in a process of its own, because it forks.

A fork of a process that has loaded an engine could hang, so engines are loaded only in the children.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from inspectd.commands.engines.pull import run as _  # noqa: F401 - imported once, and not in each child
from inspectd.commands.engines.pull.switching import Switching
from inspectd.fleet.config import load_pull_config
from inspectd.fleet.download import Download
from inspectd.fleet.memory import Memory
from inspectd.inference import load_bundle
from tests.fleet.centre import LINE, Centre, Line

_CHANGES = {"os.symlink", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


def in_child(work: Callable[[], object], folder: Path, kill_before: int | None = None) -> bool:
    """Whether the work came to its end. It is killed before change number `kill_before` in `folder`."""
    child = os.fork()
    if child == 0:
        changes = 0

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal changes
            if event in _CHANGES and str(folder) in str(arguments):
                if changes == kill_before:
                    os.kill(os.getpid(), signal.SIGKILL)
                changes += 1

        sys.addaudithook(count)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        work()
        os._exit(0)
    return os.WIFEXITED(os.waitpid(child, 0)[1])


def kills_of_a_pull(centre: Centre, folder: Path, refusal: str, step: int) -> int:
    """The number of changes. After each one the link names a whole bundle, and the next pull does what the killed one should."""
    fresh = Line(folder / "fresh", centre, f"file://{centre.repository}")
    kills = 0
    while True:
        home = folder / f"line-{kills}"
        shutil.copytree(fresh.folder, home, symlinks=True)
        line = Line.__new__(Line)
        line.__dict__.update(fresh.__dict__ | {"folder": home, "link": home / "links" / "toy", "state": home / "state"})
        line.refusal = refusal
        with line.running():
            ended = in_child(lambda line=line: line.pull(), home, kills)
            assert line.version in ("1.0.0", "1.1.0"), kills
            assert in_child(lambda line=line: line.pull(), home)
            assert line.version == line.loaded == ("1.0.0" if refusal else "1.1.0"), kills
            assert Memory.read(line.state).switch is None
            assert line.last["outcome"] == ("refused" if refusal else line.last["outcome"])
            assert not refusal or line.link.readlink() == fresh.link.readlink()
            assert [path.name for path in (home / "state/engines").iterdir()] == ["toy-1.1.0"]
        if ended:
            return kills
        kills += step


def kills_of_a_publication(centre: Centre, folder: Path, step: int) -> int:
    """The number of changes. After each one, lines see all of the old state or all of the new one, and the command can be repeated."""
    line = Line(folder / "line", centre, f"file://{centre.repository}")
    config = load_pull_config(line.folder / "pull.yaml")

    def seen() -> str | None:
        shutil.rmtree(line.state, ignore_errors=True)
        line.state.mkdir()
        download = Download(config)
        name = download.assigned(LINE).engine
        assert name is not None
        shutil.rmtree(folder / "fetched", ignore_errors=True)
        download.fetch("engine", name, folder / "fetched")
        load_bundle(folder / "fetched")
        return name

    def work() -> None:
        centre.publish(2)
        centre.assign(2)
        for role in ("targets", "timestamp", "root"):
            centre.repo("rotate", role, "--keys", centre.keys)

    fresh = shutil.copytree(centre.repository, folder / "fresh")
    keys = shutil.copytree(centre.keys, folder / "fresh-keys")
    kills = 0
    while True:
        ended = in_child(work, centre.repository, kills)
        assert seen() in ("toy-1.1.0", "toy-1.2.0"), kills
        assert in_child(work, centre.repository)
        assert seen() == "toy-1.2.0", kills
        if ended:
            return kills
        kills += step
        for source, place in ((fresh, centre.repository), (keys, centre.keys)):
            shutil.rmtree(place)
            shutil.copytree(source, place)


if __name__ == "__main__":
    what, place, step = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    os.fsync = lambda descriptor: None  # only a power cut needs it
    Switching._judge = lambda self, slots: None  # type: ignore[method-assign] - only time: it changes nothing on the disk
    centre = Centre(place / "centre")
    if what == "publication":
        print(kills_of_a_publication(centre, place, step))
    else:
        print(kills_of_a_pull(centre, place, "" if what == "pull" else "another size", step))
