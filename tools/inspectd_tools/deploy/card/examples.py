"""Where the engine looks: typical test images of each class and the worst ones, each beside its attribution map."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from inspectd_tools.deploy.card.cases import Case, worst_first
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.explain.explanation import Explanation, Seen, explain
from inspectd_tools.explain.methods import METHODS
from inspectd_tools.explain.network import Network
from inspectd_tools.explain.pictures import draw_pair
from inspectd_tools.explain.source import Subject
from inspectd_tools.networks.inputs import to_network
from inspectd_tools.settings import TrainingSettings

_WORST = 2
_COLUMNS = 2
_QUALITY = 90
"""Quality of the JPEG. A PNG of photos and noise would be four times as large."""
_PAIR_PX = 645
"""Two photos of 320 px and the gap between them, as they are drawn."""
_GAP_PX = 16


def choose(found: Sequence[Case], classes: Sequence[str]) -> list[tuple[str, Case]]:
    """Why it is shown, and the image: for each class the correct one with median certainty, then the worst ones of each kind."""
    chosen = []
    for name in classes:
        right = sorted(
            (case for case in found if case.truth == case.predicted == name), key=lambda case: case.certainty
        )
        if right:
            chosen.append(("typical", right[len(right) // 2]))
    for kind in ("faulty", "unknown", "good"):
        worst = worst_first(case for case in found if case.kind == kind)[:_WORST]
        chosen += [(f"worst {kind}", case) for case in worst]
    return chosen


def write_examples(
    path: Path, chosen: Sequence[tuple[str, Case]], network: Network, test: Judged, settings: TrainingSettings
) -> None:
    """A JPEG with each photo beside its map. Raises OSError.

    The maps are saliency maps: these apply to every network, and of the maps that were checked they are the most reliable
    (docs/results/explanations.md).
    """
    photos = [_seen(case, test, settings) for _, case in chosen]
    explanations = list(explain(network, METHODS["saliency_map"], photos))
    pairs = [
        _pair(explanation, why, case, settings) for explanation, (why, case) in zip(explanations, chosen, strict=True)
    ]
    rows = [pairs[start : start + _COLUMNS] for start in range(0, len(pairs), _COLUMNS)]
    heights = [max(pair.height for pair in row) + _GAP_PX for row in rows]
    page = Image.new("RGB", (_COLUMNS * (_PAIR_PX + _GAP_PX), sum(heights)), "white")
    for number, row in enumerate(rows):
        for column, pair in enumerate(row):
            page.paste(pair, (column * (_PAIR_PX + _GAP_PX), sum(heights[:number])))
    page.save(path, quality=_QUALITY)


def _seen(case: Case, test: Judged, settings: TrainingSettings) -> Seen:
    """The image, with the class and certainty that the engine gives it (not PyTorch)."""
    pixels = to_network(torch.from_numpy(test.images.pixels[case.place][None]), settings.input)
    subject = Subject(test.images.files[case.place], case.truth)
    return Seen(subject, pixels, settings.classes.index(case.predicted), case.predicted, case.certainty)


def _pair(explanation: Explanation, why: str, case: Case, settings: TrainingSettings) -> Image.Image:
    said = f"{case.outcome}\n{case.predicted}, certainty {case.certainty:.2f}"
    pair = draw_pair(explanation, settings.input, (f"{why}\nis {case.truth}", said))
    return pair.resize((_PAIR_PX, round(pair.height * _PAIR_PX / pair.width)), Image.Resampling.BOX)
