"""The folder of fetched bundles at a line. A bundle appears in it whole, in one step."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from inspectd.errors import ConfigError, RepositoryError
from inspectd.files.atomic_write import flush_to_disk
from inspectd.fleet.assignments import MANIFESTS, Kind
from inspectd.fleet.download import Download
from inspectd.inference import Bundle, load_bundle
from inspectd.text.bundle import ReaderBundle, load_reader_bundle


def load_any(folder: Path) -> Bundle | ReaderBundle:
    """An engine or a reader, checked. Raises EngineError."""
    return load_reader_bundle(folder) if (folder / MANIFESTS["reader"]).exists() else load_bundle(folder)


def full_name(bundle: Bundle | ReaderBundle) -> str:
    """Name and version, as a repository names it."""
    return f"{bundle.manifest.name}-{bundle.manifest.version}"


class BundleFolder:
    """Names that begin with a dot are unfinished or waste."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def ensure(self, download: Download, kind: Kind, name: str) -> Path:
        """The bundle, fetched if it is not there or not whole. Raises what `Download` raises, and EngineError."""
        folder = self._folder / name
        if not download.missing(kind, name, folder):
            return folder
        unfinished = self._folder / f".{name}.part"
        unfinished.mkdir(exist_ok=True)
        try:
            download.fetch(kind, name, unfinished)
        except (OSError, ConfigError):  # such as a full disk, which must not stay full
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        bundle = load_any(unfinished)
        if full_name(bundle) != name or bundle.manifest_name != MANIFESTS[kind]:
            raise RepositoryError(f"{name}: contains the bundle {full_name(bundle)} with {bundle.manifest_name}")
        for path in (unfinished, *unfinished.rglob("*")):
            flush_to_disk(path)
        if folder.exists():
            self._delete(folder)
        unfinished.rename(folder)
        flush_to_disk(self._folder)
        return folder

    def tidy(self, used: Iterable[Path], keep: int) -> None:
        """Delete waste, and all bundles but those in use and the `keep` newest others. Raises OSError."""
        in_use = set(used)
        for waste in self._folder.glob(".*"):
            if waste.is_dir() and not waste.is_symlink():
                shutil.rmtree(waste)
            else:  # such as a file that a file manager has left
                waste.unlink()
        others = [folder for folder in self._folder.iterdir() if folder.is_dir() and folder.resolve() not in in_use]
        others.sort(key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
        for old in others[keep:]:
            self._delete(old)

    def _delete(self, folder: Path) -> None:
        """The name goes first, so that no half of a bundle is ever seen."""
        waste = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(waste, ignore_errors=True)
        folder.rename(waste)
        shutil.rmtree(waste)
