"""A data manifest of real and synthetic photos. Nothing is copied, and the test photos stay real.

The ratio is defined as in the thesis: synthetic / (real + synthetic).
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from inspectd.errors import ConfigError
from inspectd.terminal import track
from inspectd_tools.data.manifest import UNKNOWN, DataManifest, Photo, Split
from inspectd_tools.synthetic.mix.synthetic_folder import Synthetic


@dataclass(frozen=True, slots=True)
class Share:
    """`n` synthetic photos per class at `ratio` = synthetic / (real + synthetic); at ratio 0, `n` real ones."""

    n: int
    ratio: float

    @property
    def synthetic(self) -> int:
        return self.n if self.ratio else 0

    @property
    def real(self) -> int:
        return round(self.n * (1 - self.ratio) / self.ratio) if self.ratio else self.n

    def check(self, option: str) -> None:
        """Raises ConfigError that names `option`."""
        if self.n < 1:
            raise ConfigError(f"{option}: {self.n} photos per class; must be 1 or more")
        if not 0 <= self.ratio <= 1:
            raise ConfigError(f"{option}: ratio {self.ratio:g}; must be from 0 (all real) to 1 (all synthetic)")
        exact = self.n * (1 - self.ratio) / self.ratio if self.ratio else self.n
        if abs(exact - self.real) > 0.05:
            raise ConfigError(
                f"{option}: {self.n} synthetic at ratio {self.ratio:g} need {exact:.2f} real photos per class; "
                "choose N and RATIO so that N * (1 - RATIO) / RATIO is a whole number"
            )


def mix(
    real: DataManifest,
    synthetic: Sequence[Synthetic],
    shares: dict[Split, Share],
    *,
    keep: Sequence[str] = (),
    rest_to_test: bool = False,
    seed: int = 0,
) -> DataManifest:
    """Mix the splits in `shares`; other splits and the classes in `keep` stay as they are.

    The synthetic images of a split come from the first folder whose images may go there. Raises ConfigError naming what
    breaks a rule.
    """
    for name in keep:
        if name not in real.classes:
            raise ConfigError(f"--keep: {name!r} is not a class; the classes are {', '.join(real.classes)}")
    for side, share in shares.items():
        share.check(f"--{side}")
    photos = [photo for photo in real.photos if not _is_mixed(photo, real, shares, keep)]
    rest: list[Photo] = []
    used: dict[Path, tuple[Split, Path]] = {}
    for side, share in shares.items():
        for label, name in enumerate(real.classes):
            if name in keep:
                continue
            of_class = [photo for photo in real.photos if photo.split == side and photo.label == label]
            taken = _take_real(of_class, share.real, f"--{side}: class {name}", seed)
            photos += taken
            rest += [photo for photo in of_class if photo not in taken]
            photos += _take_synthetic(real, synthetic, name, label, side, share, used, seed)
    if rest_to_test:
        bound = {photo.group for photo in photos if photo.split != "test"}
        photos += [replace(photo, split="test") for photo in rest if photo.group not in bound]
    return DataManifest(real.names, tuple(photos))


def _is_mixed(photo: Photo, real: DataManifest, shares: dict[Split, Share], keep: Sequence[str]) -> bool:
    name = real.names[photo.label]
    return photo.split in shares and not name.startswith(UNKNOWN) and name not in keep


def _take_real(photos: Sequence[Photo], n: int, what: str, seed: int) -> list[Photo]:
    """`n` random photos, group by group, so that as many complete groups as possible are left."""
    if n > len(photos):
        raise ConfigError(f"{what}: {n} real photos are needed, there are {len(photos)}")
    groups: dict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        groups[photo.group].append(photo)
    order = np.random.default_rng(seed).permutation(len(groups))
    members = list(groups.values())
    return [photo for place in order for photo in members[place]][:n]


def _take_synthetic(
    real: DataManifest,
    synthetic: Sequence[Synthetic],
    name: str,
    label: int,
    side: Split,
    share: Share,
    used: dict[Path, tuple[Split, Path]],
    seed: int,
) -> list[Photo]:
    if not share.synthetic:
        return []
    what = f"--{side}: class {name}: {share.synthetic} synthetic images are needed"
    if not synthetic:
        raise ConfigError(f"{what}, but no --synthetic folder is given")
    problems = []
    for folder in synthetic:
        images = [path for path in folder.images.get(name, []) if path.resolve() not in used]
        if len(images) < share.synthetic:
            problems.append(f"there are {len(images)}")
            continue
        places = np.random.default_rng(seed).permutation(len(images))[: share.synthetic]
        chosen = [images[place] for place in sorted(places)]
        try:
            _check_sources(chosen, folder, real, side, used)
        except ConfigError as error:
            problems.append(str(error))
            continue
        for path in chosen:
            for source in (path.resolve(), *folder.sources.get(path.resolve(), ())):
                used.setdefault(source, (side, path))
        return [
            Photo(path, label, side, f"synthetic {side}/{name}/{path.name}", _sha256(path))
            for path in track(chosen, f"{side} {name}", transient=True)
        ]
    hint = (
        "" if any(folder.images.get(name) for folder in synthetic) else f"; --keep {name} keeps its real photos instead"
    )
    raise ConfigError(f"{what}: {'; '.join(problems)}{hint}")


def _check_sources(
    images: Sequence[Path], folder: Synthetic, real: DataManifest, side: Split, used: dict[Path, tuple[Split, Path]]
) -> None:
    by_path = {photo.path.resolve(): photo for photo in real.photos}
    by_content = {photo.sha256: photo for photo in real.photos}
    for image in images:
        for source in folder.sources.get(image.resolve(), ()):
            photo = by_path.get(source) or by_content.get(folder.digests.get(source, ""))
            if photo is not None and photo.split != side:
                raise ConfigError(
                    f"{image}: goes to {side}, but is made of {photo.path}, which is in {photo.split}: "
                    f"compose it from a manifest's {side} photos only (photos: <manifest>.csv)"
                )
            other_side, other = used.get(source, (side, image))
            if other_side != side:
                raise ConfigError(f"{image}: goes to {side}, but {other} in {other_side} is made of {source} too")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
