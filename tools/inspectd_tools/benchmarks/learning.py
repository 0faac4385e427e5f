"""What reviewed labels buy: an engine from a few photos of each class learns from the labels of a line that people review.

All photos of one part are in the test, in the photos that build the first engine, or in the stream. The test chooses nothing.
Reviewers tell the truth. They look at every reject and at some passes, and a second one looks at what `inspectd learn` asks for.
"""

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from inspectd.inference.bundle import Bundle, load_bundle
from inspectd.learning.fitting import certainties
from inspectd.learning.head import Head
from inspectd.learning.learned import Learned, LineCounts, kept_rows, learn_from
from inspectd.learning.network import OpenNetwork
from inspectd.learning.new_bundle import write_bundle
from inspectd.learning.photos import Judged, judge
from inspectd.learning.rates import Rate
from inspectd.learning.rows import Rows
from inspectd.records.reviews import UNKNOWN, Decision, Reviewed
from inspectd.terminal import folding_table, track
from inspectd_tools.data import prepare
from inspectd_tools.data.manifest import DataManifest, Photo, read_manifest, write_manifest
from inspectd_tools.deploy import cli as build_engine
from inspectd_tools.deploy.keeping import features_of
from inspectd_tools.training import cli as train

_TEST_SHARE: Final = 0.35
"""Of the parts of each class."""
_FIRST_PARTS: Final = 4
"""Parts of each class whose photos may build the first engine."""
_SWAPPED: Final = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Plan:
    photos: Path
    pass_class: str
    unknown: str
    weights: Path
    burst: int
    start: int
    decisions: tuple[int, ...]
    audit: int
    repeats: int
    seed: int


@dataclass(frozen=True, slots=True)
class Line:
    bundle: Bundle
    network: OpenNetwork
    kept: Rows
    stream: Rows
    paths: tuple[Path, ...]
    passes: NDArray[np.bool_]
    """(N,): the first engine lets the photo of the stream pass."""
    looked_at: NDArray[np.int64]
    """Of the stream, what people look at, in its order."""
    test: Rows

    def judged(self, count: int, labels: Sequence[str], twice: NDArray[np.bool_]) -> Judged:
        """The first `count` that people look at. `twice`: (count,) a second person says the same."""
        places = self.looked_at[:count]
        reviewed = [
            Reviewed(
                int(place),
                label,
                self.paths[place],
                int(place) * 10**9,
                tuple(Decision(int(place), label, by, 0) for by in ("ann", "bob")[: 1 + int(both)]),
            )
            for place, label, both in zip(places, labels, twice, strict=True)
        ]
        return judge(reviewed, self.bundle, self.network, self.kept)

    def learn(self, judged: Judged, count: int) -> Learned:
        seen = self.passes[: self.looked_at[count - 1] + 1]
        counts = LineCounts(int(seen.sum()), int((~seen).sum()))
        return learn_from(self.bundle, self.network, self.kept, judged, counts)

    def truth_of_stream(self) -> list[str]:
        """What people say of each photo."""
        return [name if name in self.bundle.manifest.classes else UNKNOWN for name in self.stream.truths.tolist()]

    def truth(self, count: int) -> list[str]:
        said = self.truth_of_stream()
        return [said[place] for place in self.looked_at[:count]]

    def errors(self, head: Head, threshold: float) -> dict[str, Rate]:
        """On the test."""
        manifest = self.bundle.manifest
        passes = certainties(self.test, head.scores(self.test.features), manifest, ()) >= threshold
        good = self.test.truths == manifest.pass_class
        return {
            "false_accepts": Rate(int(passes[~good].sum()), int((~good).sum())),
            "false_rejects": Rate(int((~passes[good]).sum()), int(good.sum())),
        }


def measure(plan: Plan, folder: Path) -> tuple[list[Table], dict[str, Any]]:
    """`folder`: for the first engine and all else that is written. Raises ConfigError and EngineError."""
    line = begin(plan, folder)
    before = line.errors(line.network.head, line.bundle.manifest.threshold.value)
    steps = [_step(line, count, folder) for count in plan.decisions if count <= len(line.looked_at)]
    swaps = _swaps(line, max(step["decisions"] for step in steps), plan)
    figures = {
        "looked_at": len(line.looked_at),
        "test_parts": len(set(line.test.parts.tolist())),
        "before": plain(before),
        "steps": steps,
        "swaps": swaps,
    }
    return [_steps_table(before, steps), _swaps_table(swaps)], figures


def begin(plan: Plan, folder: Path) -> Line:
    """Build the first engine, and judge the stream with it."""
    manifest = _all_photos(plan, folder)
    first, stream, test = _deal(manifest, plan)
    write_manifest(DataManifest(manifest.names, (*first, *test)), folder / "first.csv")
    for program, arguments in (
        (
            train.main,
            f"photos --data {folder}/first.csv --set pass_class={plan.pass_class} --weights {plan.weights} --run {folder}/run",
        ),
        (
            build_engine.main,
            f"{folder}/run --name first --data {folder}/first.csv --no-guard --out {folder}/first",
        ),
    ):
        if program(arguments.split()):
            raise RuntimeError(f"the first engine can't be built: {arguments}")
    bundle = load_bundle(folder / "first")
    network = OpenNetwork(bundle)
    rows, tested = (_rows(photos, manifest.names, bundle, network) for photos in (stream, test))
    certainty = certainties(rows, network.head.scores(rows.features), bundle.manifest, ())
    passes = certainty >= bundle.manifest.threshold.value
    number = np.cumsum(passes)
    looked_at = np.flatnonzero(~passes | (number % plan.audit == 0))
    paths = tuple(photo.path for photo in stream)
    return Line(bundle, network, kept_rows(bundle), rows, paths, passes, looked_at, tested)


def _all_photos(plan: Plan, folder: Path) -> DataManifest:
    options = f"{plan.photos} --burst {plan.burst} --held-out {plan.unknown} --out {folder}/all.csv"
    if prepare.main(options.split()):
        raise RuntimeError(f"the photos can't be used: {plan.photos}")
    return read_manifest(folder / "all.csv")


def _deal(manifest: DataManifest, plan: Plan) -> tuple[list[Photo], list[Photo], list[Photo]]:
    """Photos of the first engine, of the stream in its order, and of the test. Photos of one part follow each other."""
    rng = np.random.default_rng(plan.seed)
    parts: dict[str, list[Photo]] = {}
    for photo in manifest.photos:
        parts.setdefault(photo.group, []).append(photo)
    first, stream, test = [], [], []
    for label, name in enumerate(manifest.names):
        own = [members for members in parts.values() if members[0].label == label]
        own = [own[place] for place in rng.permutation(len(own))]
        tested, rest = own[: round(_TEST_SHARE * len(own))], own[round(_TEST_SHARE * len(own)) :]
        test += [_moved(photo, "test") for part in tested for photo in part]
        begin = [photo for part in rest[:_FIRST_PARTS] for photo in part]
        side = "val" if name.startswith("unknown_") else "train"
        first += [_moved(begin[place], side) for place in sorted(rng.permutation(len(begin))[: plan.start].tolist())]
        stream += rest[_FIRST_PARTS:]
    return first, [photo for place in rng.permutation(len(stream)) for photo in stream[place]], test


def _moved(photo: Photo, split: Any) -> Photo:
    return Photo(photo.path, photo.label, split, photo.group, photo.sha256)


def _rows(photos: Sequence[Photo], names: tuple[str, ...], bundle: Bundle, network: OpenNetwork) -> Rows:
    groups: dict[str, int] = {}
    none = np.zeros(len(photos), bool)
    return Rows(
        names,
        features_of(network, [(photo.path, photo.label) for photo in photos], bundle.manifest.input),
        np.array([photo.label for photo in photos]),
        np.array([groups.setdefault(photo.group, len(groups)) for photo in photos]),
        none,
        none,
        np.empty((len(photos), 0), np.float32),
        tuple(photo.sha256 for photo in photos),
    )


def _step(line: Line, count: int, folder: Path) -> dict[str, Any]:
    """After `count` labels. If they are doubtful, a second person looks at those that are asked for, the worst first."""
    truth, twice = line.truth(count), np.zeros(count, bool)
    begin_s = time.monotonic()
    found = line.learn(line.judged(count, truth, twice), count)
    alone = not found.reasons
    while found.doubts.too_many:
        asked = found.usable.line_parts[found.doubts.worst_first]
        twice |= np.isin(line.looked_at[:count], asked)
        begin_s = time.monotonic()
        found = line.learn(line.judged(count, truth, twice), count)
    after = written = None
    if found.candidate is not None:
        after = line.errors(found.candidate.head, found.candidate.threshold.value)
        place = folder / f"learned-{count}"
        write_bundle(place, line.bundle, "1.1.0", found.candidate, {}, "## Learned")
        written = hashlib.sha256((place / "engine.yaml").read_bytes()).hexdigest()[:12]
    return {
        "decisions": count,
        "good": truth.count(line.bundle.manifest.pass_class),
        "second_looks": int(twice.sum()),
        "accepted_with_one_person": alone,
        "accepted": not found.reasons,
        "reasons": list(found.reasons),
        "after": None if after is None else plain(after),
        "seconds": round(time.monotonic() - begin_s, 1),
        "engine": written,
    }


def _swaps(line: Line, count: int, plan: Plan) -> dict[str, dict[str, int]]:
    """Which share of each label is swapped -> how many of the tries were refused. One person reviews."""
    once = line.judged(count, line.truth(count), np.zeros(count, bool))
    good, names = line.bundle.manifest.pass_class, once.rows.names
    truth = once.rows.truths
    faults = [name for name in line.bundle.manifest.classes if name != good]
    found: dict[str, dict[str, int]] = {}
    tries = [(share, number) for share in _SWAPPED for number in range(plan.repeats)]
    for share, number in track(tries, "swap"):
        rng = np.random.default_rng([plan.seed, number])
        chosen = np.zeros(len(truth), bool)
        for name in np.unique(truth):
            own = rng.permutation(np.flatnonzero(truth == name))
            chosen[own[: max(1, round(share * len(own)))]] = True
        other = rng.choice(faults, len(truth))
        kinds = {
            "both": np.where(chosen, np.where(truth == good, other, good), truth),
            "good as faulty": np.where(chosen & (truth == good), other, truth),
            "faulty as good": np.where(chosen & (truth != good), good, truth),
        }
        for kind, labels in kinds.items():
            rows = replace(once.rows, labels=np.array([names.index(name) for name in labels.tolist()]))
            refused = bool(line.learn(replace(once, rows=rows), count).reasons)
            cell = found.setdefault(f"{kind}, {share:.0%}", {"refused": 0, "tries": 0})
            cell["tries"] += 1
            cell["refused"] += refused
    return found


def plain(rates: dict[str, Rate]) -> dict[str, Any]:
    return {name: {"errors": rate.errors, "n": rate.n, "interval": rate.interval} for name, rate in rates.items()}


def _steps_table(before: dict[str, Rate], steps: Sequence[dict[str, Any]]) -> Table:
    table = folding_table(
        "decisions",
        "second\nlooks",
        "faulty and unknown pass",
        "good rejected",
        "new engine",
        "s",
        title="errors on test photos of other parts",
    )
    table.add_row("0", "", str(before["false_accepts"]), str(before["false_rejects"]), "", "")
    for step in steps:
        after = step["after"] or {}
        cells = [str(Rate(cell["errors"], cell["n"])) for cell in after.values()] or ["-", "-"]
        table.add_row(
            str(step["decisions"]),
            str(step["second_looks"]),
            *cells,
            "accepted" if step["accepted"] else "refused: " + re.sub(r": .*", "", step["reasons"][0]),
            str(step["seconds"]),
        )
    return table


def _swaps_table(swaps: dict[str, dict[str, int]]) -> Table:
    refused, tries = (sum(cell[name] for cell in swaps.values()) for name in ("refused", "tries"))
    table = folding_table("swapped labels", "refused", caption=f"refused: {refused} of {tries}")
    for kind, cell in swaps.items():
        table.add_row(kind, f"{cell['refused']} of {cell['tries']}")
    return table
