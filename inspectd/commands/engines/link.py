"""The link that names the engine or the reader of a line, and LINK.previous beside it, which remembers the bundle before.

Every change is a rename, so a reader and a power cut see the old link or the new one. LINK.previous is set before LINK. If
that is interrupted, LINK points to the old bundle or the new one, and going back to the old one is still possible.
"""

from pathlib import Path
from typing import NamedTuple

from inspectd.errors import ConfigError
from inspectd.files.atomic_write import atomic_write, flush_to_disk


class Targets(NamedTuple):
    """Of a link and of its LINK.previous, as written in them; None for a link that does not exist."""

    current: Path | None
    previous: Path | None


class EngineLink:
    """Lock the link's folder while you change it. Methods raise ConfigError if a path is not a link, OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.previous = path.with_name(path.name + ".previous")

    @property
    def place(self) -> Path:
        """Path of the link itself, with all links in the path to its folder resolved."""
        return self.path.parent.resolve() / self.path.name

    @property
    def targets(self) -> Targets:
        return Targets(_target(self.path), _target(self.previous))

    def switch(self, bundle: Path) -> None:
        """Point to `bundle`, a real folder, after it is on the disk."""
        current = self.targets.current
        _flush(bundle)
        if current is not None and self.path.exists():
            _point(self.previous, current)
        _point(self.path, self._target_for(bundle))

    def go_back(self) -> None:
        """Rename LINK.previous to LINK."""
        self.previous.replace(self.path)
        flush_to_disk(self.path.parent)

    def put_back(self, before: Targets) -> None:
        """Make both links as they were."""
        for path, target in ((self.path, before.current), (self.previous, before.previous)):
            if target is None:
                path.unlink(missing_ok=True)
            else:
                _point(path, target)
        flush_to_disk(self.path.parent)

    def _target_for(self, bundle: Path) -> Path:
        """A relative path if the bundle is in the folder of the link or below it, so that the folder can be moved."""
        home = self.path.parent.resolve()
        return bundle.relative_to(home) if bundle.is_relative_to(home) else bundle


def _target(link: Path) -> Path | None:
    if link.is_symlink():
        return link.readlink()
    if link.exists():
        raise ConfigError(
            f"{link}: is not a symbolic link, so it is not replaced; first rename it, for example to a name with its version"
        )
    return None


def _point(link: Path, target: Path) -> None:
    with atomic_write(link, flush=True) as unfinished:
        unfinished.unlink(missing_ok=True)  # a command that was killed may have left one
        unfinished.symlink_to(target)


def _flush(folder: Path) -> None:
    """Write the bundle to the disk: after a power cut, the link must not point to half a bundle."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() or path.is_file():
            flush_to_disk(path)
