"""Make the photos of an experiment with the public tools: render, split, compose and mix. Each step is done once."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from inspectd.errors import ConfigError, InspectdError
from inspectd.files.atomic_write import atomic_write
from inspectd.files.csv_file import is_csv
from inspectd.shipped import shipped
from inspectd_tools.changes import as_options
from inspectd_tools.data.manifest import DataManifest, read_manifest, write_manifest
from inspectd_tools.data.scan import known_folders
from inspectd_tools.experiments.config import DataName, Similarity, Unknown
from inspectd_tools.experiments.plan import Photos, Run

COMPOSE = shipped("config/compose-filter-label.yaml")
_PREPARE, _SYNTHESIZE = "inspectd_tools.data.prepare", "inspectd_tools.synthetic.cli"
_STAND_IN = ("--style", "plant", "--count-per-class", "70", "--unknowns-per-kind", "20", "--seed", "7")
"""The photos used as real ones if there are none; the templates of config/compose-filter-label.yaml are in them."""
_BACKGROUNDS = "unknown_no_filter"
"""Composed photos use these as backgrounds, so they must not be unknown photos of the test."""
_LEAST_UNKNOWN = 25


class DataError(InspectdError):
    """A step that makes the photos of an experiment has failed; it has printed why."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Sources:
    real: Path | None
    """Manifest, or folder with one folder of photos per class; None: labels rendered in another style."""
    synthetic: Path | None
    """Folder of images; None: they are composed from the real ones."""
    compose: Path | None
    cifar10: Path | None
    similarity_weights: Path | None


def classes_of(real: Path) -> tuple[str, ...]:
    """The classes of a manifest or folder. Raises ConfigError."""
    return read_manifest(real).classes if is_csv(real) else known_folders(real)


class Data:
    """`folder` holds `labels.csv` and `cifar10.csv`, the synthetic photos made from them, and one manifest per variant."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def manifest(self, photos: Photos) -> Path:
        return self._folder / f"{photos.name}.csv"

    def whole(self, name: DataName) -> Path:
        return self._folder / f"{name}.csv"

    @property
    def similarity(self) -> Path:
        return self._folder / "similarity.json"

    def make(self, runs: Sequence[Run], real_photos: tuple[int, int], sources: Sources) -> None:
        """Make everything that does not exist yet. Raises DataError or ConfigError."""
        self._begin(
            {"sources": asdict(sources), "real": real_photos, "photos": sorted({run.photos.name for run in runs})}
        )
        measures = [measure for run in runs for measure in run.measures]
        unknown = {measure.data for measure in measures if isinstance(measure, Unknown)}
        wanted = {run.photos.name: run.photos for run in runs}.values()
        of = {name: [photos for photos in wanted if photos.data == name] for name in ("labels", "cifar10")}
        if of["cifar10"] or "cifar10" in unknown:
            per_class = max(
                [photos.train.photos + photos.val.photos for photos in of["cifar10"]], default=_LEAST_UNKNOWN
            )
            self._cifar10(sources.cifar10, per_class)
        synthetic: list[Path] = []
        if of["labels"] or "labels" in unknown:
            self._labels(sources.real, real_photos)
            synthetic = self._synthetic(of["labels"], sources)
        for photos in wanted:
            self._mix(photos, synthetic)
        if any(isinstance(measure, Similarity) for measure in measures) and synthetic and not self.similarity.exists():
            file = sources.similarity_weights
            weights: list[str | Path] = [] if file is None else ["--weights", file]
            _tool(_SYNTHESIZE, "score", synthetic[0], self.whole("labels"), "--out", self.similarity, *weights)

    def _begin(self, asked: dict[str, Any]) -> None:
        """A folder that exists must be of the same photos and scale. Raises ConfigError."""
        path, text = self._folder / "asked.json", json.dumps(asked, indent=1, default=str)
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise ConfigError(
                f"{self._folder}: was made from other photos or at another scale; give the same options, or a new --out"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _cifar10(self, root: Path | None, per_class: int) -> None:
        if self.whole("cifar10").exists():
            return
        if root is None or not (root / "train").is_dir() or not (root / "test").is_dir():
            raise ConfigError(
                f"--cifar10 {root or 'is missing'}: it must be a folder with train/<class>/ and test/<class>/, one file per "
                "image; give such a folder, or set INSPECTD_DATASETS to the folder that contains cifar10"
            )
        amount = ["--fixed-test", "--per-class", str(max(3, per_class))]
        _tool(_PREPARE, root, "--out", self.whole("cifar10"), *amount)

    def _labels(self, real: Path | None, photos: tuple[int, int]) -> None:
        """`photos`: real labels per class for train and for val; all others become test photos."""
        if self.whole("labels").exists():
            return
        if real is not None and is_csv(real):
            source = real
        elif real is not None:
            source = self._folder / "real.csv"
            _tool(_PREPARE, real, "--out", source)
        else:
            self._once(self._folder / "out" / "plant", "render", *_STAND_IN)
            source = self._folder / "plant.csv"
            # rendered separately, so no two show the same label, even if they look similar
            _tool(_PREPARE, self._folder / "out" / "plant", "--out", source, "--near", "-1")
            write_manifest(_without(read_manifest(source), _BACKGROUNDS), source)
        sizes = ["--train", str(photos[0]), "0", "--val", str(photos[1]), "0", "--rest-to-test"]
        _tool(_SYNTHESIZE, "mix", source, self.whole("labels"), *sizes)

    def _synthetic(self, wanted: Sequence[Photos], sources: Sources) -> list[Path]:
        if sources.synthetic is not None:
            return [sources.synthetic]
        folders = []
        for side in ("train", "val"):
            most = max((getattr(photos, side).synthetic for photos in wanted), default=0)
            if most:
                folder = self._folder / f"composed-{side}"
                changes = [f"photos={self.whole('labels').resolve()}", f"split={side}"]
                count = ["--count-per-class", str(most)]
                self._once(folder, "compose", self._compose(sources), *count, *as_options(changes))
                folders.append(folder)
        return folders

    def _compose(self, sources: Sources) -> Path:
        """The config to compose with. The shipped one is copied, because it names the photos of its templates relative to itself."""
        if sources.compose is not None:
            return sources.compose
        if sources.real is not None:
            raise ConfigError(
                "--real: also say where synthetic photos come from: --synthetic FOLDER or --compose CONFIG"
            )
        copy = self._folder / "config" / COMPOSE.name
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(COMPOSE, copy)
        return copy

    def _mix(self, photos: Photos, synthetic: Sequence[Path]) -> None:
        if self.manifest(photos).exists():
            return
        amounts: list[str] = []
        for side, share in (("train", photos.train), ("val", photos.val)):
            ratio = share.synthetic / share.photos
            amounts += [f"--{side}", str(share.synthetic or share.real), repr(ratio)]
        folders = [text for folder in synthetic for text in ("--synthetic", str(folder))]
        _tool(_SYNTHESIZE, "mix", self.whole(photos.data), self.manifest(photos), *amounts, *folders)

    def _once(self, folder: Path, verb: str, *arguments: str | Path) -> None:
        """Make `folder` with synthesize.py. A folder that exists is complete, because it is renamed at the end."""
        if folder.exists():
            return
        with atomic_write(folder) as unfinished:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            where = [unfinished, *arguments] if verb == "render" else [arguments[0], unfinished, *arguments[1:]]
            _tool(_SYNTHESIZE, verb, *where)


def _without(manifest: DataManifest, kind: str) -> DataManifest:
    names = tuple(name for name in manifest.names if name != kind)
    kept = (photo for photo in manifest.photos if manifest.names[photo.label] != kind)
    return DataManifest(names, tuple(replace(photo, label=names.index(manifest.names[photo.label])) for photo in kept))


def _tool(module: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise DataError(f"{' '.join(command[2:])}: ended with exit code {code}", code if code > 0 else 70)
