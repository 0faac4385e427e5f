"""The next version of an engine: its manifest and its card."""

import re
from collections.abc import Sequence
from pathlib import Path

from inspectd.inference.manifest import FORMAT, GoldenScores, Manifest
from inspectd.learning.card_page import write_page


def in_newest_format(manifest: Manifest) -> Manifest:
    """With the class names in all golden scores."""

    def named(scores: GoldenScores) -> GoldenScores:
        return scores if isinstance(scores, dict) else dict(zip(manifest.classes, scores, strict=True))

    golden = tuple(image.model_copy(update={"scores": named(image.scores)}) for image in manifest.golden)
    precisions = {
        name: own.model_copy(update={"golden_scores": tuple(map(named, own.golden_scores))})
        for name, own in manifest.precisions.items()
    }
    return manifest.model_copy(update={"format": FORMAT, "golden": golden, "precisions": precisions})


def next_minor(version: str) -> str:
    """1.4.2 -> 1.5.0"""
    major, minor, _ = version.split(".")
    return f"{major}.{int(minor) + 1}.0"


def with_section(card: str, section: str) -> str:
    """The card with `section` in place of the one with the same heading, else before "How it was made", else at its end."""
    heading = section.partition("\n")[0]
    old = re.compile(rf"^{re.escape(heading)}$.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if old.search(card):
        return old.sub(lambda _: section + "\n", card, count=1)
    before, making, after = card.partition("## How it was made\n")
    return f"{before.rstrip()}\n\n{section}\n{making}{after}"


def renew_card(folder: Path, manifest: Manifest, sections: Sequence[str]) -> None:
    """Put the new title and these sections into `card.md` and `card.html` of the bundle in `folder`. Raises OSError."""
    path = folder / "card.md"
    title = f"# {manifest.name} {manifest.version}"
    old = path.read_text(encoding="utf-8") if path.is_file() else title
    card = re.sub(r"\A# .*", lambda _: title, old)
    for section in sections:
        card = with_section(card, section)
    path.write_text(card, encoding="utf-8")
    write_page(folder / "card.html", card)
