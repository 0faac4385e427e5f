"""A temporary Debian with systemd, in a systemd-nspawn container without a network.

The base image and the wheels are made once and kept in /var/tmp; a container is a copy of them in memory.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

PROJECT = Path(__file__).parents[2]
RELEASE = "bookworm"
PYTHON = "3.11"  # of that release
CACHE = Path("/var/tmp") / f"inspectd-system-{RELEASE}"  # noqa: S108 - root's, and on a disk, unlike /tmp
_PACKAGES = ["systemd", "systemd-sysv", "dbus", "udev", "procps", "make", "python3-venv"]
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def skip_where_it_cannot_boot() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to boot a container")
    missing = [tool for tool in ("systemd-nspawn", "debootstrap", "nsenter") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install systemd-container debootstrap")


class Container:
    """One booted system. `root` is its file tree, seen from outside."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self._leader = leader

    def run(self, *command: str, check: bool = True, timeout_s: float = 120, **environment: str) -> str:
        """Runs as root inside; returns stdout. A failure shows both outputs."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "--", *command],
            env=_ENVIRONMENT | environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def path(self, name: str) -> Path:
        """An absolute path inside, as seen from outside."""
        return self.root / name.lstrip("/")

    def state(self, unit: str, *properties: str) -> dict[str, str]:
        shown = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties))
        return dict(line.split("=", 1) for line in shown.splitlines())


@contextlib.contextmanager
def booted() -> Iterator[Container]:
    """A copy of the base image with the project's source in /usr/src/inspectd and its dependencies in /srv/wheels."""
    base, packages = image(), wheels()
    with _scratch() as root, tempfile.TemporaryFile("w+") as console:
        subprocess.run(["cp", "--archive", f"{base}/.", root], check=True)
        shutil.copytree(PROJECT, root / "usr/src/inspectd", ignore=_SOURCE_ONLY)
        nspawn = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network",
             f"--directory={root}", f"--machine=inspectd-{os.getpid()}", f"--bind-ro={packages}:/srv/wheels"],
            stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            leader = wait_until(lambda: _leader(nspawn), "the container's process 1")
            container = Container(root, leader)
            wait_until(lambda: _is_up(container), "systemd inside to settle")
            yield container
            os.kill(leader, signal.SIGKILL)
            nspawn.wait(timeout=60)
        except BaseException:
            console.seek(0)
            print(console.read(), file=sys.stderr)
            raise
        finally:
            nspawn.kill()
            nspawn.wait()


def wait_until(probe: Callable[[], T | None], what: str, timeout_s: float = 60) -> T:
    """The first true answer of `probe`. The limit is far longer than expected: it ends the test, and measures nothing."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        answer = probe()
        if answer:
            return answer
        time.sleep(0.1)
    raise TimeoutError(f"waited {timeout_s:g} s for {what}")


_SOURCE_ONLY = shutil.ignore_patterns(".*", "build", "out", "runs", "shared", "*.egg-info", "__pycache__")


def _leader(nspawn: subprocess.Popen[bytes]) -> int | None:
    """Its process 1, by the process number outside the container."""
    if nspawn.poll() is not None:
        raise ChildProcessError(f"systemd-nspawn has ended with exit code {nspawn.returncode}")
    for child in Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split():
        status = Path(f"/proc/{child}/status").read_text()
        if any(line.startswith("NSpid:") and line.endswith("\t1") for line in status.splitlines()):
            return int(child)
    return None


def _is_up(container: Container) -> bool:
    return container.run("systemctl", "is-system-running", check=False).strip() in {"running", "degraded"}


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder in memory: 1.2 GB are installed into it, which a disk would have to write and delete again."""
    root = Path(tempfile.mkdtemp(prefix="inspectd-system-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=4G", "inspectd-system", root], check=True)
    try:
        yield root
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)
        root.rmdir()


def image() -> Path:
    """The base image's file tree; made with debootstrap if it is not there."""
    folder = CACHE / "image"
    if not folder.exists():
        half_made = CACHE / f"image-{os.getpid()}"
        CACHE.mkdir(mode=0o700, exist_ok=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", RELEASE, half_made, *_mirror()],
            stdout=sys.stderr,
            check=True,
        )
        half_made.rename(folder)
    return folder


def _mirror() -> list[str]:
    """The mirror that apt on this machine uses for the release; none: debootstrap uses its default."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(SITE)", "Created-By: Packages", "Component: main"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return [line.split()[1] for line in targets.splitlines() if line.split()[0] == RELEASE][:1]


def wheels() -> Path:
    """What `make install` needs from the index, for the container's Python; downloaded anew when setup.cfg changes."""
    extras = "[fleet,gpio,metrics,modbus,mqtt,signing,web]"
    key = hashlib.sha256((PROJECT / "setup.cfg").read_bytes() + extras.encode()).hexdigest()[:12]
    folder = CACHE / f"wheels-{key}"
    if not folder.exists():
        half_made = CACHE / f"wheels-{os.getpid()}"
        CACHE.mkdir(mode=0o700, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--dest", half_made, "--only-binary=:all:",
             "--python-version", PYTHON, f"{PROJECT}{extras}", "setuptools>=77", "setuptools-scm>=8.1", "wheel"],
            check=True,
        )  # fmt: skip
        half_made.rename(folder)
    return folder
