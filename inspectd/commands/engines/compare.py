"""`inspectd engines compare`: run two engines on the same labelled photos, and say whether the difference can be chance.

A verdict is right if it passes a good label, or rejects any other label. McNemar's exact test compares the engines on the
photos where only one of them is right.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from inspectd.binomial import interval, mcnemar
from inspectd.camera.image_files import read_photo
from inspectd.commands.engines.labelled import labelled_photos
from inspectd.errors import ConfigError, InferenceError
from inspectd.inference import Engine, InferenceConfig, load_bundle, load_engine
from inspectd.inference.manifest import WITHOUT_GUARD
from inspectd.part import INSPECTED, Image, MissedReason, Pass, words
from inspectd.terminal import console, folding_table, track

_ENGINES = ("A", "B")
_ERRORS = {
    "faulty": "Faulty labels passed",
    "unknown": "Unknown labels passed",
    "good": "Good labels rejected",
}
_SIGNIFICANT = 0.05
_ENGINE_ERROR = MissedReason.ENGINE_ERROR.value
"""The line would reject the label and record it as missed."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One photo: its folder, and the verdict of each engine."""

    label: str
    verdicts: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Contest:
    only: tuple[int, int]
    """Number of photos where only A is right, and where only B is right."""

    @property
    def p_value(self) -> float:
        return mcnemar(*self.only)


@dataclass(frozen=True, slots=True)
class Comparison:
    judged: tuple[Judged, ...]
    classes: tuple[str, ...]
    """Of both engines; photos of other labels are unknown."""
    pass_class: str

    def verdicts(self, engine: int) -> dict[str, Counter[str]]:
        """Folder -> number of photos per verdict of engine 0 or 1."""
        counts: dict[str, Counter[str]] = {}
        for photo in self.judged:
            counts.setdefault(photo.label, Counter())[photo.verdicts[engine]] += 1
        return counts

    def errors(self, engine: int, classes: tuple[str, ...]) -> dict[str, tuple[int, int]]:
        """Kind of error -> (errors, photos where it was possible), for engine 0 or 1 with these classes."""
        found = {"false_accepts_faulty": (0, 0), "false_accepts_unknown": (0, 0), "false_rejects": (0, 0)}
        for label, counts in self.verdicts(engine).items():
            n, passed = counts.total(), counts[Pass.word]
            if label == self.pass_class:
                kind, errors = "false_rejects", n - passed
            else:
                kind, errors = f"false_accepts_{'faulty' if label in classes else 'unknown'}", passed
            found[kind] = (found[kind][0] + errors, found[kind][1] + n)
        return found

    def contest(self, *kinds: str) -> Contest:
        """Compare on labels of these kinds, `faulty`, `unknown` or `good`; on all without any."""
        right = [self._right(photo) for photo in self.judged if not kinds or self._kind(photo) in kinds]
        return Contest((right.count((True, False)), right.count((False, True))))

    def conclusion(self) -> str:
        """Per kind of label the errors of both engines, and whether the difference can be chance. The dangerous errors first."""
        said = []
        if self.contest().only == (0, 0):
            said.append("Both engines are right on the same photos.")
        for kind, what in _ERRORS.items():
            photos = [photo for photo in self.judged if self._kind(photo) == kind]
            if not photos:
                continue
            a, b = (sum(not right for right in rights) for rights in zip(*map(self._right, photos), strict=True))
            said.append(f"{what}: A {a}, B {b} of {len(photos)}.")
            contest = self.contest(kind)
            if contest.only != (0, 0):
                chance = "can be" if contest.p_value >= _SIGNIFICANT else "is probably not"
                said.append(f"This difference {chance} chance (p = {contest.p_value:.2g}).")
        return " ".join(said)

    def _kind(self, photo: Judged) -> str:
        if photo.label == self.pass_class:
            return "good"
        return "faulty" if photo.label in self.classes else "unknown"

    def _right(self, photo: Judged) -> tuple[bool, bool]:
        a, b = ((verdict == Pass.word) == (photo.label == self.pass_class) for verdict in photo.verdicts)
        return a, b


def run(a: Path, b: Path, data: Path, *, as_json: bool) -> int:
    """Compare bundles `a` and `b` on `data`, as `labelled_photos` reads it.

    Raises EngineError if a bundle is rejected, ConfigError if the photos can't be used or do not fit both engines.
    """
    folders = (a, b)
    engines = tuple(load_engine(load_bundle(folder), InferenceConfig()) for folder in folders)
    pass_class = _common_pass_class(engines)
    classes = tuple(dict.fromkeys(name for engine in engines for name in engine.manifest.classes))
    comparison = Comparison(_judge(labelled_photos(data, classes, pass_class), engines), classes, pass_class)
    if as_json:
        print(json.dumps(_figures(comparison, folders, engines), indent=2))
        return 0
    screen = console()
    for table in _tables(comparison, folders, engines):
        screen.print(table)
    screen.print(comparison.conclusion())
    for name, engine in zip(_ENGINES, engines, strict=True):
        if engine.manifest.guard is None:
            screen.print(f"{name}: {WITHOUT_GUARD}.")
    return 0


def _common_pass_class(engines: Sequence[Engine]) -> str:
    a, b = (engine.manifest.pass_class for engine in engines)
    if a != b:
        raise ConfigError(f"the pass class of A is {a!r} and that of B is {b!r}; both must have the same")
    return a


def _judge(photos: Sequence[tuple[Path, str]], engines: Sequence[Engine]) -> tuple[Judged, ...]:
    judged = []
    for path, label in track(photos, "compare", stderr=True):
        image = read_photo(path)
        a, b = (_verdict(engine, image) for engine in engines)
        judged.append(Judged(label, (a, b)))
    return tuple(judged)


def _verdict(engine: Engine, image: Image) -> str:
    try:
        return words(engine.judge(image).verdict).verdict
    except InferenceError:
        return _ENGINE_ERROR


def _tables(comparison: Comparison, folders: Sequence[Path], engines: Sequence[Engine]) -> Iterator[Table]:
    for place, engine in enumerate(engines):
        manifest = engine.manifest
        title = f"{_ENGINES[place]}: {folders[place]} ({manifest.name} {manifest.version})"
        counted = comparison.verdicts(place)
        kinds = [*INSPECTED, *([_ENGINE_ERROR] if any(_ENGINE_ERROR in row for row in counted.values()) else [])]
        table = folding_table("the label is", "photos", *kinds, title=title, title_justify="left")
        for label, row in counted.items():
            name = label if label in manifest.classes else f"unknown_{label.removeprefix('unknown_')}"
            table.add_row(name, str(row.total()), *(str(row[kind]) for kind in kinds))
        yield table
    errors = [comparison.errors(place, engine.manifest.classes) for place, engine in enumerate(engines)]
    table = folding_table("errors", *_ENGINES, caption="with 95 % intervals (Clopper-Pearson)")
    for kind in errors[0]:
        table.add_row(kind.replace("_", " "), *(_rate(*found[kind]) for found in errors))
    yield table
    table = folding_table(
        "only one is right", *(f"only {name}" for name in _ENGINES), "p", caption="McNemar's exact test"
    )
    for name, contest in _contests(comparison).items():
        table.add_row(name.replace("_", " "), *map(str, contest.only), f"{contest.p_value:.2g}")
    yield table


def _contests(comparison: Comparison) -> dict[str, Contest]:
    return {
        "good_labels": comparison.contest("good"),
        "all_others": comparison.contest("faulty", "unknown"),
        "together": comparison.contest(),
    }


def _rate(errors: int, n: int) -> str:
    if n == 0:
        return "no photos"
    low, high = interval(errors, n)
    return f"{errors} of {n}: {errors / n:.2%} ({low:.2%} to {high:.2%})"


def _figures(comparison: Comparison, folders: Sequence[Path], engines: Sequence[Engine]) -> dict[str, object]:
    return {
        "photos": len(comparison.judged),
        "engines": {
            _ENGINES[place]: {
                "folder": str(folders[place]),
                "name": engine.manifest.name,
                "version": engine.manifest.version,
                "hash": engine.hash,
                "has_guard": engine.manifest.guard is not None,
                "verdicts": {label: dict(row) for label, row in comparison.verdicts(place).items()},
                "errors": {
                    kind: {"errors": errors, "n": n, "interval": interval(errors, n)}
                    for kind, (errors, n) in comparison.errors(place, engine.manifest.classes).items()
                },
            }
            for place, engine in enumerate(engines)
        },
        "only_one_is_right": {
            name: dict(zip(_ENGINES, contest.only, strict=True)) | {"p_value": contest.p_value}
            for name, contest in _contests(comparison).items()
        },
        "conclusion": comparison.conclusion(),
    }
