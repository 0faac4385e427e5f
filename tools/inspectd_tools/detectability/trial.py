"""Try an engine: put small faults of many sizes into photos of good parts, and let it judge them as on the line.

A photo gets each kind of fault once, in a size drawn for it. So the tries of a kind are independent of each other; several
sizes in one photo would not be. Photos that the engine rejects as they are get none: they would count as found whatever is
put in.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from inspectd.camera.image_files import read_photo
from inspectd.errors import ConfigError
from inspectd.guard import placement
from inspectd.guard.registration import NOWHERE, Pose
from inspectd.inference.engine import Engine
from inspectd.inference.preprocess import to_grey
from inspectd.learning.rates import Rate
from inspectd.part import Anomaly, Fault, Image, Pass, Uncertain
from inspectd.terminal import track
from inspectd_tools.detectability.curve import Curve, fit
from inspectd_tools.synthetic.small_faults.fault import KINDS, Kind, SmallFault
from inspectd_tools.synthetic.small_faults.seeding import Seeded, put_in, sizes_for
from inspectd_tools.synthetic.small_faults.subject import Box, Subject, Surface, find_print, print_box, show_print

LEAST: Final = 10
"""Tries that a curve needs. With so few its bounds are wide: MIL-HDBK-1823A asks for 60."""
_REGISTERED: Final = 40
"""Photos that show where the print usually lies."""

Verdict = Pass | Fault | Uncertain


@dataclass(frozen=True, slots=True)
class Try:
    fault: SmallFault
    verdict: Verdict
    photo: Path
    number: int
    """Of the photo, which decides the place of the fault."""

    @property
    def is_found(self) -> bool:
        return not isinstance(self.verdict, Pass)

    @property
    def said(self) -> str:
        match self.verdict:
            case Pass(scores):
                return f"passes, {scores.certainty:.2f}"
            case Fault(scores):
                return f"{scores.predicted}, {scores.certainty:.2f}"
            case Uncertain(_, Anomaly(kind, _, excess)):
                return f"anomaly: {kind}, {excess:.1f} x limit"
            case Uncertain(scores):
                return f"uncertain, {scores.certainty:.2f}"


@dataclass(frozen=True, slots=True)
class Detectability:
    """`tries` are only those of kinds with at least `LEAST` of them, by size."""

    tries: Mapping[Kind, tuple[Try, ...]]
    curves: Mapping[Kind, Curve]
    left_out: Mapping[Kind, str]
    """Kind -> why it was not tried."""
    rejected: Rate
    """Photos that the engine rejects as they are, without a fault."""
    short_side_px: int
    """The median one of the photos."""
    seeds: "Seeds" = field(repr=False)

    @property
    def tried_photos(self) -> int:
        """Photos that got faults."""
        return self.rejected.n - self.rejected.errors

    def seeded(self, one: Try) -> Seeded:
        """The photo that was judged."""
        return self.seeds.put(one.number, one.fault.kind)


class Seeds:
    """Photos with faults; the same photo and kind gives the same fault each time."""

    def __init__(self, photos: Sequence[Path], poses: Sequence[Pose] | None, *, printed: bool, seed: int) -> None:
        """`poses`: of the print on each photo against its usual place; None if it could not be measured."""
        self._photos, self._poses, self._printed, self._seed = photos, poses, printed, seed
        places = {
            kind: np.random.default_rng([seed, number]).permutation(len(photos)) for number, kind in enumerate(KINDS)
        }
        self._quantiles = {kind: (place + 0.5) / len(photos) for kind, place in places.items()}

    def put(self, number: int, kind: Kind) -> Seeded:
        """The photo with a fault of this kind. Raises ValueError if there is no place for one."""
        return self._put(self._subject(number), number, kind)

    def all(self, number: int, kinds: Sequence[Kind]) -> Iterator[Seeded]:
        """The photo with each kind of fault that it has a place for."""
        subject = self._subject(number)
        for kind in kinds:
            try:
                yield self._put(subject, number, kind)
            except ValueError:
                continue

    def of_size(self, number: int, faults: Sequence[SmallFault]) -> Iterator[Seeded]:
        """The photo with each of these faults that it has a place for."""
        subject = self._subject(number)
        for fault in faults:
            try:
                yield put_in(subject, fault, self._rng(number, fault.kind))
            except ValueError:
                continue

    def _subject(self, number: int) -> Subject:
        photo = read_photo(self._photos[number])
        if not self._printed:
            return Surface(photo)
        return find_print(photo, self._poses[number] if self._poses else NOWHERE)

    def _put(self, subject: Subject, number: int, kind: Kind) -> Seeded:
        """Sizes are evenly spread over all photos, as logarithms."""
        smallest, largest = sizes_for(subject, kind)
        size = float(smallest * (largest / smallest) ** self._quantiles[kind][number])
        return put_in(subject, SmallFault(kind, size), self._rng(number, kind))

    def _rng(self, number: int, kind: Kind) -> np.random.Generator:
        return np.random.default_rng([self._seed, number, list(KINDS).index(kind)])


def run(engine: Engine, photos: Sequence[Path], seed: int) -> Detectability:
    """`photos`: of good parts, one per part, which trained nothing.

    Raises ConfigError: a photo can't be read or has a size that the engine can't judge, or too few of them pass as they are.
    """
    boxes: list[Box | None] = []
    sizes: list[tuple[int, int]] = []
    passing: list[Path] = []
    for path in track(photos, "good photos"):
        image = read_photo(path)
        size = image.shape[1], image.shape[0]
        if problem := engine.misfit(size):
            raise ConfigError(f"{path}: {problem}")
        if isinstance(engine.judge(image).verdict, Pass):
            passing.append(path)
            boxes.append(print_box(image))
            sizes.append(size)
    if len(passing) < LEAST:
        raise ConfigError(
            f"{photos[0].parent}: the engine passes {len(passing)} of these {len(photos)} photos of good parts as they are; at "
            f"least {LEAST} are needed to try small faults. Give more photos, or an engine that passes good ones"
        )
    printed = show_print(boxes, sizes)
    poses = _poses(passing) if printed and len(set(sizes)) == 1 else None
    left_out = _impossible(printed=printed, measured=poses is not None)
    seeds = Seeds(passing, poses, printed=printed, seed=seed)
    kinds = [kind for kind in KINDS if kind not in left_out]
    tried: dict[Kind, list[Try]] = {kind: [] for kind in kinds}
    for number, path in enumerate(track(passing, "small faults")):
        if printed and boxes[number] is None:
            continue
        for seeded in seeds.all(number, kinds):
            tried[seeded.fault.kind].append(Try(seeded.fault, engine.judge(seeded.image).verdict, path, number))
    for kind in kinds:
        if len(tried[kind]) < LEAST or len({one.fault.size for one in tried[kind]}) < 2:
            left_out[kind] = f"fewer than {LEAST} photos have a place for it"
    tries = {kind: tuple(sorted(tried[kind], key=lambda one: one.fault.size)) for kind in kinds if kind not in left_out}
    return Detectability(
        tries,
        {kind: fit([one.fault.size for one in own], [one.is_found for one in own]) for kind, own in tries.items()},
        left_out,
        Rate(len(photos) - len(passing), len(photos)),
        int(np.median([min(size) for size in sizes])),
        seeds,
    )


def found_of_size(engine: Engine, found: Detectability, faults: Sequence[SmallFault]) -> dict[SmallFault, Rate]:
    """How many of these faults are found, each put into every photo that has a place for it.

    Raises ConfigError if a kind can't be tried on these photos.
    """
    for fault in faults:
        if fault.kind in found.left_out:
            raise ConfigError(f"{fault.kind} can't be tried: {found.left_out[fault.kind]}")
    hits, tried = Counter[SmallFault](), Counter[SmallFault]()
    for number in track(range(found.tried_photos), "sizes"):
        for seeded in found.seeds.of_size(number, faults):
            tried[seeded.fault] += 1
            hits[seeded.fault] += not isinstance(engine.judge(seeded.image).verdict, Pass)
    return {fault: Rate(hits[fault], tried[fault]) for fault in faults}


def _impossible(*, printed: bool, measured: bool) -> dict[Kind, str]:
    """Kind -> why it can't be tried."""
    if not printed:
        return {kind: "no print was found on the photos" for kind in KINDS if KINDS[kind].needs_print}
    if not measured:
        why = "where the print lies on the part could not be measured"
        return {"turned print": why, "shifted print": why}
    return {}


def _poses(photos: Sequence[Path]) -> list[Pose] | None:
    """How the print of each photo lies on its part, against the median; None if that can't be measured."""
    placer = placement.fit([_grey(path) for path in photos[:_REGISTERED]])
    found = [placer.place(_grey(path)).print for path in track(photos, "where the print lies")]
    poses = np.array([one.pose for one in found if one is not None])
    if len(poses) < len(photos):
        return None
    return [Pose(*pose) for pose in (poses - np.median(poses, axis=0)).tolist()]


def _grey(path: Path) -> Image:
    return to_grey(read_photo(path))
