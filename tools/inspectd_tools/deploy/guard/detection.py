"""Which small faults an engine rejects: they are put into test photos of good labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inspectd.camera.image_files import read_photo
from inspectd.inference.engine import Engine
from inspectd.inference.preprocess import to_grey
from inspectd.part import Image, Pass
from inspectd.terminal import track
from inspectd_tools.deploy.guard.fitting import Fitted
from inspectd_tools.deploy.guard.photos import Good
from inspectd_tools.metrics.rates import Rate
from inspectd_tools.synthetic.small_faults import SMALL_FAULTS, SmallFault, find_print, put_in

MOST_TRIED = 150
"""Photos that get each fault."""


@dataclass(frozen=True, slots=True)
class Found:
    """How many of the photos with one fault are rejected: by the network alone, by the guard alone, by either."""

    fault: SmallFault | None
    """None: the good photos as they are."""
    network: Rate
    guard: Rate
    either: Rate


def detection(engine: Engine, fitted: Fitted, photos: Sequence[Good], seed: int) -> list[Found]:
    """The good photos first, then each small fault. Every photo gets every fault that it has room for.

    `engine`: any guard of its own is not asked.
    Photos without print get none.
    """
    chosen = photos if len(photos) <= MOST_TRIED else [photos[i * len(photos) // MOST_TRIED] for i in range(MOST_TRIED)]
    counts: Counter[tuple[SmallFault | None, str]] = Counter()

    def count(fault: SmallFault | None, image: Image) -> None:
        network = not _passes(engine, image)
        guard = not fitted.limits.accepts(fitted.guard.judge(to_grey(image)))
        counts[fault, "n"] += 1
        counts[fault, "network"] += network
        counts[fault, "guard"] += guard
        counts[fault, "either"] += network or guard

    for place, photo in enumerate(track(chosen, "small faults")):
        image = read_photo(photo.path)
        count(None, image)
        for fault, seeded in _seeded(to_grey(image), [seed, place]):
            count(fault, _in_colour(image, seeded))
    return [
        Found(fault, *(Rate(counts[fault, by], counts[fault, "n"]) for by in ("network", "guard", "either")))
        for fault in (None, *SMALL_FAULTS)
    ]


def _seeded(grey: Image, seed: list[int]) -> list[tuple[SmallFault, Image]]:
    """The photo with each fault that it has room for; none if it shows no print."""
    try:
        label = find_print(grey)
    except ValueError:
        return []
    found = []
    for number, fault in enumerate(SMALL_FAULTS):
        try:
            found.append((fault, put_in(label, fault, np.random.default_rng([*seed, number])).image))
        except ValueError:  # no room
            continue
    return found


def _in_colour(image: Image, seeded: Image) -> Image:
    """The colour photo `image`, as much darker or brighter as its grey photo has become."""
    if image.ndim == 2:
        return seeded
    share = (seeded.astype(np.float32) + 1) / (to_grey(image).astype(np.float32) + 1)
    coloured: Image = np.clip(image * share[:, :, None] + 0.5, 0, 255).astype(np.uint8)
    return coloured


def _passes(engine: Engine, image: Image) -> bool:
    scores = engine.infer(engine.preprocess(image))
    return isinstance(engine.policy.judge(scores.tolist()), Pass)
