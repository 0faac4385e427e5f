"""How many wrong lines a reader accepts and how many right ones it rejects, on lines that were used for no choice."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.binomial import upper_bound
from inspectd.errors import ConfigError
from inspectd.inference.base import InferenceConfig
from inspectd.learning.rates import Rate
from inspectd.terminal import console, folding_table, track
from inspectd.text.crop import HEIGHT
from inspectd.text.judging import Line as Target
from inspectd.text.reader import Reader, load_reader
from inspectd.text.reading import Reading
from inspectd_tools.text.fonts import PrintedFont, RenderedFont
from inspectd_tools.text.lines import UNSEEN, render
from inspectd_tools.text.texts import near_misses, pattern_of, random_date, random_text, wrong_dates
from inspectd_tools.text.views import View

HALF = "half a character"
_DATES = 0.3
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Error:
    crop: NDArray[np.uint8]
    font: str
    kind: str
    expected: str
    printed: str
    score: float


@dataclass(slots=True)
class Found:
    reader: str
    view: View | None = None
    right: dict[str, list[bool]] = field(default_factory=dict)
    """Font -> whether each right line was accepted."""
    wrong: dict[str, list[bool]] = field(default_factory=dict)
    """Kind -> whether each wrong line was accepted."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """Of wrong lines."""
    named: list[bool] = field(default_factory=list)
    """Whether the character that differs was named, of wrong lines with one other character."""
    pairs: Counter[str] = field(default_factory=Counter)
    """Expected and printed character -> how often tried."""
    accepted_pairs: Counter[str] = field(default_factory=Counter)
    errors: list[Error] = field(default_factory=list)
    accepted_ms: list[float] = field(default_factory=list)
    rejected_ms: list[float] = field(default_factory=list)


def run(folder: Path, fonts: Sequence[PrintedFont], lines: int, seed: int, view: View | None = None) -> Found:
    """`lines`: right ones, and as many wrong ones. `view`: what else happens to each crop.

    Raises EngineError, ConfigError: a font has no face, or is not commissioned.
    """
    reader = load_reader(folder, InferenceConfig())
    found = Found(f"{reader.name} {reader.version}", view)
    for font in fonts:
        if not isinstance(font, RenderedFont):
            raise ConfigError(
                f"the font {font.name}: only crops are given, so nothing else can be printed in it; name a font file"
            )
        if font.name not in reader.fonts:
            raise ConfigError(f"{folder}: the font {font.name} is not commissioned; it has {', '.join(reader.fonts)}")
    rng = np.random.default_rng(seed)
    for number in track(range(lines), "lines"):
        font = fonts[number % len(fonts)]
        assert isinstance(font, RenderedFont)
        is_date = rng.random() < _DATES
        text = random_date(rng) if is_date else random_text(rng, int(rng.integers(4, 17)), font.characters)
        _try(reader, font, text, text, "", found, rng)
        misses = list((wrong_dates(text, rng) if is_date else near_misses(text, rng)).items())
        misses = [(kind, other) for kind, other in misses if set(other) <= set(font.characters + " ")]
        kind, printed = misses[int(rng.integers(len(misses)))]
        _try(reader, font, text, printed, kind, found, rng)
        if number % 5 == 0:
            _try(reader, font, text, text, HALF, found, rng)
    return found


def _try(
    reader: Reader, font: RenderedFont, expected: str, printed: str, kind: str, found: Found, rng: np.random.Generator
) -> None:
    crop = render(printed, font.face, 0, rng, UNSEEN, damage=kind == HALF, fit=True).crop
    if found.view is not None:
        crop = found.view(crop, rng)
    target = Target((0, 0, crop.shape[1], HEIGHT), font.name, (expected,), pattern_of(expected))
    begin_ns = time.perf_counter_ns()
    (reading,) = reader.verify(crop, np.eye(3), [target])
    took_ms = (time.perf_counter_ns() - begin_ns) / 1e6
    is_accepted = reading.verdict == "right"
    (found.accepted_ms if is_accepted else found.rejected_ms).append(took_ms)
    if not kind:
        found.right.setdefault(font.name, []).append(is_accepted)
    else:
        found.wrong.setdefault(kind, []).append(is_accepted)
        if kind != HALF:
            _count(reading, expected, printed, found)
    if is_accepted == bool(kind):
        found.errors.append(Error(crop, font.name, kind, expected, printed, reading.score))


def _count(reading: Reading, expected: str, printed: str, found: Found) -> None:
    found.verdicts[reading.verdict] += 1
    differences = (
        [(a, b) for a, b in zip(expected, printed, strict=False) if a != b] if len(expected) == len(printed) else []
    )
    if len(differences) == 1:
        ((own, other),) = differences
        found.pairs[own + other] += 1
        found.accepted_pairs[own + other] += reading.verdict == "right"
        worst = reading.worst
        found.named.append(worst is not None and (worst.expected, worst.found) == (own, other))


def show(found: Found) -> None:
    """Print the tables."""
    table = folding_table("right lines", "rejected", title=found.reader)
    for font, accepted in found.right.items():
        table.add_row(font, str(_wrongly(not one for one in accepted)))
    table.add_row("all", str(_wrongly(not one for accepted in found.right.values() for one in accepted)))
    console().print(table)
    table = folding_table("wrong lines", "accepted")
    for kind, accepted in sorted(found.wrong.items()):
        table.add_row(kind, str(_wrongly(accepted)))
    table.add_row(f"all but {HALF}", str(all_wrong(found)))
    console().print(table)
    print(f"verdicts on wrong lines: {dict(found.verdicts)}; the wrong character is named: {_wrongly(found.named)}")
    print(
        f"confused: {dict(found.accepted_pairs + Counter()) or 'none'}; bound of the pair that was tried most: {_tightest(found)}"
    )
    for name, took in (("accepted", found.accepted_ms), ("rejected", found.rejected_ms)):
        p50, p99 = np.percentile(took, [50, 99])
        print(f"{name}: {p50:.2f} / {p99:.2f} ms per line (p50 / p99), with cutting it out")


def write(found: Found, folder: Path) -> None:
    """`trial.json`, and `errors.png` with the lines that were judged wrongly. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trial.json").write_text(json.dumps(figures(found), indent=2), encoding="utf-8")
    shown = found.errors[:_SHOWN]
    if shown:
        cv2.imwrite(str(folder / "errors.png"), np.vstack([_row(error) for error in shown]))


def figures(found: Found) -> dict[str, Any]:
    """As JSON."""
    return {
        "reader": found.reader,
        "right_rejected": {font: _rate(not one for one in accepted) for font, accepted in found.right.items()},
        "wrong_accepted": {kind: _rate(accepted) for kind, accepted in found.wrong.items()},
        "verdicts_on_wrong": dict(found.verdicts),
        "wrong_character_named": _rate(found.named),
        "pairs": {
            pair: {
                "tried": count,
                "accepted": found.accepted_pairs[pair],
                "bound": upper_bound(found.accepted_pairs[pair], count),
            }
            for pair, count in found.pairs.most_common()
        },
        "accepted_ms": np.percentile(found.accepted_ms, [50, 99]).tolist(),
        "rejected_ms": np.percentile(found.rejected_ms, [50, 99]).tolist(),
        "errors": [[one.font, one.kind, one.expected, one.printed, one.score] for one in found.errors],
    }


def all_wrong(found: Found) -> Rate:
    """Of the wrong lines without those with half a character, which are a fault of the print: how many are accepted."""
    return _wrongly(one for kind, accepted in found.wrong.items() if kind != HALF for one in accepted)


def _wrongly(errors: Sequence[bool] | Iterator[bool]) -> Rate:
    counted = list(errors)
    return Rate(sum(counted), len(counted))


def _rate(errors: Sequence[bool] | Iterator[bool]) -> dict[str, Any]:
    rate = _wrongly(errors)
    return {"errors": rate.errors, "n": rate.n, "interval": rate.interval}


def _tightest(found: Found) -> str:
    if not found.pairs:
        return "none tried"
    pair, count = found.pairs.most_common(1)[0]
    return f"{pair} accepted {found.accepted_pairs[pair]} of {count}, at most {upper_bound(found.accepted_pairs[pair], count):.1%}"


def _row(error: Error) -> NDArray[np.uint8]:
    row = np.full((HEIGHT, 1000), 255, np.uint8)
    width = min(error.crop.shape[1], 520)
    row[:, :width] = error.crop[:, :width]
    label = f"{error.font} {error.kind or 'right'}: {error.expected} | {error.printed} {error.score:.2f}"
    cv2.putText(row, label, (530, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 0, 1, cv2.LINE_AA)
    return row
