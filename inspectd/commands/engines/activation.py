"""`inspectd engines activate` and `rollback`: switch the link that names the engine of a line, and switch it back.

LINK.previous, a link beside LINK, remembers the bundle before. Every change is a rename, so a reader and a power cut see
the old link or the new one. `activate` sets LINK.previous before LINK, and `rollback` renames LINK.previous to LINK. If
either is interrupted, LINK points to the old engine or the new one, and going back to the old one is still possible.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inspectd.config import load_config
from inspectd.errors import ConfigError
from inspectd.files.atomic_write import atomic_write, flush_to_disk
from inspectd.inference import Bundle, InferenceConfig, load_bundle, load_engine


def run_activate(link: Path, bundle: Path, config: Path | None) -> int:
    """Switch `link` to `bundle`. Raises EngineError if the bundle is rejected, ConfigError if the link can't be switched."""
    inference = _inference(link, config)
    with _locked(link.parent):
        current = _target(link)
        _target(_previous_of(link))
        loaded = load_bundle(bundle)
        load_engine(loaded, inference)
        if current is not None and link.resolve() == loaded.folder:
            print(f"{link}: points to {loaded.folder} already")
            return 0
        _flush(loaded.folder)
        if current is not None and link.exists():
            _point(_previous_of(link), current)
        _point(link, _target_for(link, loaded.folder))
    _say(link, loaded, before=current)
    return 0


def run_rollback(link: Path, config: Path | None) -> int:
    """Switch `link` back to the bundle before.

    Raises EngineError if that bundle is rejected, ConfigError if there is none or the link can't be switched.
    """
    inference = _inference(link, config)
    previous = _previous_of(link)
    with _locked(link.parent):
        current, target = _target(link), _target(previous)
        if target is None or target == current:
            raise ConfigError(
                f"{link}: there is no bundle to go back to: {previous.name} is missing or points to the same bundle"
            )
        bundle = load_bundle(previous)
        load_engine(bundle, inference)
        previous.replace(link)
        flush_to_disk(link.parent)
    _say(link, bundle, before=current)
    return 0


def _previous_of(link: Path) -> Path:
    return link.with_name(link.name + ".previous")


def _inference(link: Path, path: Path | None) -> InferenceConfig:
    if path is None:
        return InferenceConfig()
    config = load_config(path)
    if _place(config.engine) != _place(link):
        raise ConfigError(f"{path}: engine: is {config.engine}, not {link}: this line does not use the link")
    return config.inference


def _place(link: Path) -> Path:
    """Path of the link itself, with all links in the path to its folder resolved."""
    return link.parent.resolve() / link.name


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One command at a time in this folder: two would mix their steps. Raises ConfigError for any OSError."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}") from error


def _target(link: Path) -> Path | None:
    """Target as written in the link; None if there is no link. Raises ConfigError if it is not a link."""
    if link.is_symlink():
        return link.readlink()
    if link.exists():
        raise ConfigError(
            f"{link}: is not a symbolic link, so it is not replaced; first rename it, for example to a name with its version"
        )
    return None


def _target_for(link: Path, bundle: Path) -> Path:
    """A relative path if the bundle is in the folder of the link or below it, so that the folder can be moved."""
    home = link.parent.resolve()
    return bundle.relative_to(home) if bundle.is_relative_to(home) else bundle


def _point(link: Path, target: Path) -> None:
    with atomic_write(link, flush=True) as unfinished:
        unfinished.unlink(missing_ok=True)  # a command that was killed may have left one
        unfinished.symlink_to(target)


def _flush(folder: Path) -> None:
    """Write the bundle to the disk: after a power cut, the link must not point to half a bundle."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() or path.is_file():
            flush_to_disk(path)


def _say(link: Path, bundle: Bundle, *, before: Path | None) -> None:
    manifest = bundle.manifest
    print(f"{link} -> {link.readlink()} ({manifest.name} {manifest.version}); before: {before or 'nothing'}")
    print("run `systemctl reload inspectd`, so that the line uses it; without systemd: `kill -HUP PID`")
