"""The maps of one method as files: a picture per photo, a page per class, and a table."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from inspectd.terminal import track
from inspectd_tools.explain.explanation import Explanation, Seen, explain
from inspectd_tools.explain.methods import METHODS, is_whole
from inspectd_tools.explain.network import Network, Target
from inspectd_tools.explain.pictures import class_of, draw, write_pages
from inspectd_tools.explain.source import Source


def write_maps(source: Source, photos: Sequence[Seen], method: str, target: Target, folder: Path) -> None:
    """Explain `photos` and write all files to `folder`; print where, and warn of maps that cannot be trusted.

    Raises ConfigError where the method does not apply to the network, and OSError.
    """
    network, spec = Network(source.classifier, target), source.settings.input
    written = []
    explanations = track(explain(network, METHODS[method], photos), method, total=len(photos))
    for number, explanation in enumerate(explanations, start=1):
        seen = explanation.seen
        path = folder / class_of(seen) / f"{number:04d}-{seen.subject.path.stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(explanation, spec, f"{method} of {target}").save(path)
        written.append((path, explanation))
    pages = write_pages(folder, [explanation for _, explanation in written], spec)
    _write_csv(folder / "maps.csv", written)
    _warn([explanation for _, explanation in written])
    print(f"{len(written)} maps in {folder}; one page per class: {', '.join(page.name for page in pages)}")


def _write_csv(path: Path, written: Sequence[tuple[Path, Explanation]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("photo", "truth", "predicted", "certainty", "off_by", "map"))
        for drawn, explanation in written:
            seen = explanation.seen
            gap = "" if explanation.gap is None else explanation.gap
            row = (seen.subject.path, seen.subject.truth, seen.predicted, seen.certainty, gap)
            writer.writerow((*row, drawn.relative_to(path.parent)))


def _warn(explanations: Sequence[Explanation]) -> None:
    blank = sum(explanation.is_blank for explanation in explanations)
    broken = sum(explanation.gap is not None and not is_whole(explanation.gap) for explanation in explanations)
    if blank:
        print(f"explain: {blank} map(s) are zero everywhere and show nothing; try another --method", file=sys.stderr)
    if broken:
        print(
            f"explain: {broken} map(s) do not add up to the score within 1 % (off_by in maps.csv): do not trust them",
            file=sys.stderr,
        )
