"""The photos of an experiment, made by the tools that a user has: rendered, split, composed and mixed, each step done once."""

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
from inspectd_tools.experiments.config import Closeness, DataName, Foreign
from inspectd_tools.experiments.plan import Photos, Run

COMPOSE = shipped("config/compose-filter-label.yaml")
_STAND_IN = ("--style", "plant", "--count-per-class", "70", "--unknowns-per-kind", "20", "--seed", "7")
"""What config/compose-filter-label.yaml finds its templates in."""
_BACKGROUNDS = "unknown_no_filter"
"""Composed photos are laid on these, so they can't be unknowns of the test."""
_LEAST_FOREIGN = 25
_TOOLS = {"prepare_data": "inspectd_tools.data.prepare", "synthesize": "inspectd_tools.synthetic.cli"}


class DataError(InspectdError):
    """A step that makes the photos of an experiment has failed; its own words stand above."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Sources:
    real: Path | None
    """Manifest, or folder with one folder of photos a class; None: labels rendered in another style."""
    synthetic: Path | None
    """Folder of images; None: they are composed of the real ones."""
    compose: Path | None
    cifar10: Path | None
    closeness_weights: Path | None


def classes_of(real: Path) -> tuple[str, ...]:
    """Raises ConfigError."""
    return read_manifest(real).classes if is_csv(real) else known_folders(real)


class Data:
    """`folder` holds `labels.csv` and `cifar10.csv`, what synthetic photos are made of them, and a manifest a variant."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def manifest(self, photos: Photos) -> Path:
        return self._folder / f"{photos.name}.csv"

    def whole(self, name: DataName) -> Path:
        return self._folder / f"{name}.csv"

    @property
    def closeness(self) -> Path:
        return self._folder / "closeness.json"

    def make(self, runs: Sequence[Run], real_photos: tuple[int, int], sources: Sources) -> None:
        """Whatever of it is not there yet. Raises DataError or ConfigError."""
        self._begin(
            {"sources": asdict(sources), "real": real_photos, "photos": sorted({run.photos.name for run in runs})}
        )
        measures = [measure for run in runs for measure in run.measures]
        foreign = {measure.data for measure in measures if isinstance(measure, Foreign)}
        wanted = {run.photos.name: run.photos for run in runs}.values()
        of = {name: [photos for photos in wanted if photos.data == name] for name in ("labels", "cifar10")}
        if of["cifar10"] or "cifar10" in foreign:
            per_class = max(
                [photos.train.photos + photos.val.photos for photos in of["cifar10"]], default=_LEAST_FOREIGN
            )
            self._cifar10(sources.cifar10, per_class)
        synthetic: list[Path] = []
        if of["labels"] or "labels" in foreign:
            self._labels(sources.real, real_photos)
            synthetic = self._synthetic(of["labels"], sources)
        for photos in wanted:
            self._mix(photos, synthetic)
        if any(isinstance(measure, Closeness) for measure in measures) and synthetic and not self.closeness.exists():
            file = sources.closeness_weights
            weights: list[str | Path] = [] if file is None else ["--weights", file]
            _tool("synthesize", "score", synthetic[0], self.whole("labels"), "--out", self.closeness, *weights)

    def _begin(self, asked: dict[str, Any]) -> None:
        """A folder that is there must be of the same photos."""
        path, text = self._folder / "asked.json", json.dumps(asked, indent=1, default=str)
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise ConfigError(
                f"{self._folder}: is of other photos or another scale; give the same options, or a new --out"
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
        _tool("prepare_data", root, "--out", self.whole("cifar10"), *amount)

    def _labels(self, real: Path | None, photos: tuple[int, int]) -> None:
        """Those to learn from and to choose by, a class each; the others are the test."""
        if self.whole("labels").exists():
            return
        if real is not None and is_csv(real):
            source = real
        elif real is not None:
            source = self._folder / "real.csv"
            _tool("prepare_data", real, "--out", source)
        else:
            self._once(self._folder / "out" / "plant", "synthesize", "render", *_STAND_IN)
            source = self._folder / "plant.csv"
            # rendered one by one, none shows what another does, however alike they look
            _tool("prepare_data", self._folder / "out" / "plant", "--out", source, "--near", "-1")
            write_manifest(_without(read_manifest(source), _BACKGROUNDS), source)
        sizes = ["--train", str(photos[0]), "0", "--val", str(photos[1]), "0", "--rest-to-test"]
        _tool("synthesize", "mix", source, self.whole("labels"), *sizes)

    def _synthetic(self, wanted: Sequence[Photos], sources: Sources) -> list[Path]:
        if sources.synthetic is not None:
            return [sources.synthetic]
        folders = []
        for side in ("train", "val"):
            most = max((getattr(photos, side).synthetic for photos in wanted), default=0)
            if most:
                folder = self._folder / f"composed-{side}"
                changes = [f"photos={self.whole('labels').resolve()}", f"split={side}"]
                self._once(
                    folder,
                    "synthesize",
                    "compose",
                    self._compose(sources),
                    "--count-per-class",
                    str(most),
                    *as_options(changes),
                )
                folders.append(folder)
        return folders

    def _compose(self, sources: Sources) -> Path:
        """The shipped config names its templates' photos relative to itself: it lies as deep beside the stand-in."""
        if sources.compose is not None:
            return sources.compose
        if sources.real is not None:
            raise ConfigError("--real: say where synthetic photos come from: --synthetic FOLDER or --compose CONFIG")
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
        _tool("synthesize", "mix", self.whole(photos.data), self.manifest(photos), *amounts, *folders)

    def _once(self, folder: Path, tool: str, verb: str, *arguments: str | Path) -> None:
        """A folder that is there is whole: it was made under another name."""
        if folder.exists():
            return
        with atomic_write(folder) as unfinished:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            where = [unfinished, *arguments] if verb == "render" else [arguments[0], unfinished, *arguments[1:]]
            _tool(tool, verb, *where)


def _without(manifest: DataManifest, kind: str) -> DataManifest:
    names = tuple(name for name in manifest.names if name != kind)
    kept = (photo for photo in manifest.photos if manifest.names[photo.label] != kind)
    return DataManifest(names, tuple(replace(photo, label=names.index(manifest.names[photo.label])) for photo in kept))


def _tool(name: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", _TOOLS[name], *map(str, arguments)]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise DataError(f"{' '.join(command[2:])}: ended with exit code {code}", code if code > 0 else 70)
