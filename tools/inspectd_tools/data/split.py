"""Which photos show the same thing, and a split that keeps them together."""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import ConfigError
from inspectd.terminal import track
from inspectd_tools.data.manifest import SPLITS, UNKNOWN, Split
from inspectd_tools.data.scan import Seen

_MANY = 10_000
"""It takes seconds to compare more photos, so a bar is shown."""
SHARES: dict[Split, float] = {"train": 0.8, "val": 0.1, "test": 0.1}


def group(
    seen: Sequence[Seen], suffix: re.Pattern[str] | None, near_bits: int | None, burst: int | None = None
) -> list[str]:
    """The name of each photo's group: the file name of the first member.

    These belong together: equal files, photos whose names are equal without `suffix` at the end, photos whose hashes differ in
    at most `near_bits` of 256 bits, photos of one folder whose names end in numbers that differ by at most `burst`; and photos
    that both belong to a third.
    """
    root = list(range(len(seen)))

    def find(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    def tie(keys: Sequence[Hashable]) -> None:
        first: dict[Hashable, int] = {}
        for place, key in enumerate(keys):
            root[find(place)] = find(first.setdefault(key, place))

    tie([photo.sha256 for photo in seen])
    if suffix is not None:
        tie([_source(photo, suffix) for photo in seen])
    if near_bits is not None:
        for one, other in near_pairs(np.array([photo.looks for photo in seen], np.uint64).reshape(-1, 4), near_bits):
            root[find(other)] = find(one)
    if burst is not None:
        numbers = sorted(
            (photo.path.parent, number, place)
            for place, photo in enumerate(seen)
            if (number := _number(photo)) is not None
        )
        for (folder, one, place), (next_folder, other, next_place) in pairwise(numbers):
            # other folders may number their photos from 1, too
            if folder == next_folder and other - one <= burst:
                root[find(next_place)] = find(place)
    return _names(seen, [find(place) for place in range(len(seen))])


def near_pairs(looks: NDArray[np.uint64], near_bits: int) -> list[tuple[int, int]]:
    """Indices of all pairs among (N, 4) hashes that differ in at most `near_bits` bits."""
    pairs = []
    places = range(len(looks) - 1)
    for place in track(places, "compare") if len(looks) > _MANY else places:
        differ = np.bitwise_count(looks[place + 1 :] ^ looks[place]).sum(axis=1, dtype=np.int64)
        pairs += [(place, place + 1 + int(other)) for other in np.flatnonzero(differ <= near_bits)]
    return pairs


def closest_across(seen: Sequence[Seen], sides: Sequence[Split], count: int) -> list[tuple[int, int, int]]:
    """The test photos that are most similar to a training photo: (index, index of that photo, bits that differ), closest first.

    If these show the same thing, others may too, and the test is too easy.
    """
    looks, places = np.array([photo.looks for photo in seen]), np.array(sides)
    trained = np.flatnonzero(places == "train")
    found = []
    for place in np.flatnonzero(places == "test"):
        differ = np.bitwise_count(looks[trained] ^ looks[place]).sum(axis=1, dtype=np.int64)
        found.append((int(place), int(trained[differ.argmin()]), int(differ.min())))
    return sorted(found, key=lambda pair: pair[2])[:count]


def split(
    labels: Sequence[int],
    groups: Sequence[Hashable],
    classes: Sequence[str],
    seed: int,
    shares: dict[Split, float] = SHARES,
) -> list[Split]:
    """Splits of the photos, at random by `seed`: `shares` of every class as near as whole groups allow, and no split is empty.

    Photos go to the splits of `shares`, unknowns never to train. Raises ConfigError naming a class with fewer groups than splits.
    """
    members: dict[Hashable, Counter[int]] = defaultdict(Counter)
    for label, name in zip(labels, groups, strict=True):
        members[name][label] += 1
    totals = Counter(labels)
    sides = {label: _sides(class_, shares, totals[label]) for label, class_ in enumerate(classes)}
    for label, needed in sides.items():
        found = sum(label in counts for counts in members.values())
        if found < len(needed):
            hint = "; --near, --burst and --suffix decide which photos make a group" if found < totals[label] else ""
            raise ConfigError(
                f"class {classes[label]}: has {totals[label]} photo(s) in {found} group(s), too few for {', '.join(needed)}; "
                f"at least {len(needed)} groups are needed{hint}"
            )
    missing: dict[Split, dict[int, float]] = {side: {} for side in SPLITS}
    for label, total in totals.items():
        for side in sides[label]:
            wanted = total * shares[side] / sum(shares[other] for other in sides[label])
            missing[side][label] = wanted if side == "train" else max(1.0, wanted)
    order = [list(members)[place] for place in np.random.default_rng(seed).permutation(len(members))]
    # the largest first, so that small groups can even out the shares
    order.sort(key=lambda name: -members[name].total())
    placed: dict[Hashable, Split] = {}
    for name in order:
        allowed = [side for side in SPLITS if all(side in sides[label] for label in members[name])]
        placed[name] = max(
            allowed, key=lambda side: sum(n * missing[side][label] for label, n in members[name].items())
        )
        for label, n in members[name].items():
            missing[placed[name]][label] -= n
    _fill_empty(placed, members, classes, sides)
    return [placed[name] for name in groups]


def _fill_empty(
    placed: dict[Hashable, Split],
    members: dict[Hashable, Counter[int]],
    classes: Sequence[str],
    sides: dict[int, tuple[Split, ...]],
) -> None:
    """Where large groups leave a split empty, it gets the smallest group of a split that has more than one."""
    for label, class_ in enumerate(classes):
        for side in sides[label]:
            have = Counter(placed[name] for name, counts in members.items() if label in counts)
            if have[side]:
                continue
            spare = [name for name, counts in members.items() if label in counts and have[placed[name]] > 1]
            alone = [name for name in spare if len(members[name]) == 1]
            if not alone:
                raise ConfigError(
                    f"class {class_}: each of its groups holds other classes too, so {side} gets no photo of it"
                )
            placed[min(alone, key=lambda name: members[name].total())] = side


def _sides(class_: str, shares: dict[Split, float], count: int) -> tuple[Split, ...]:
    """The splits that must have photos of a class, or of a kind of unknowns with `count` photos."""
    if not class_.startswith(UNKNOWN):
        return tuple(shares)
    return tuple(side for side in shares if side != "train") if count else ()


def _source(photo: Seen, suffix: re.Pattern[str]) -> str:
    match = next((match for match in suffix.finditer(photo.path.stem) if match.end() == len(photo.path.stem)), None)
    return photo.path.stem[: match.start()] if match else photo.path.stem


def _number(photo: Seen) -> int | None:
    digits = re.search(r"[0-9]+$", photo.path.stem)
    return int(digits[0]) if digits else None


def _names(seen: Sequence[Seen], roots: Sequence[int]) -> list[str]:
    first: dict[int, str] = {}
    for place, root in enumerate(roots):
        photo = seen[place]
        first.setdefault(root, f"{photo.path.parent.name}/{photo.path.name}")
    taken = Counter(first.values())
    return [first[root] if taken[first[root]] == 1 else f"{first[root]}#{root}" for root in roots]
