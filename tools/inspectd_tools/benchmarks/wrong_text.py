"""How many wrong texts a line lets pass: rendered labels through all that judges a label of the line in `config`.

Each label gets its own expectation, as from a printer that gives one per label. No image reaches the text stage that engine and
guard reject.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from inspectd.binomial import upper_bound
from inspectd.config import load_config
from inspectd.control.protocol import ExpectRequest
from inspectd.control.requester import Requester
from inspectd.errors import ConfigError
from inspectd.line.judges import Found, Judges, load_judges
from inspectd.part import FieldCheck, Image, Part, Pass
from inspectd.terminal import folding_table, track
from inspectd.text import gs1
from inspectd.text.codes import read_code
from inspectd.text.config import CodeField, Given, TextConfig, TextField
from inspectd_tools.synthetic.render.label import Sample, render
from inspectd_tools.synthetic.render.printing import HEIGHT_PX, MODULE_PX, WIDTH_PX, Area
from inspectd_tools.synthetic.render.style import STYLES
from inspectd_tools.synthetic.render.wrong_text import WRONG_TEXTS

_BY = Requester("benchmark")
CORRECTED = 7
"""Codewords that the error correction of an 18x18 Data Matrix repairs (ISO/IEC 16022, table 7). A module damages at most one."""
_MODULES = 18
_MOST_DAMAGED = 40


@dataclass(frozen=True, slots=True)
class Counts:
    """How many labels of each sort are judged."""

    good: int
    wrong: int
    """Over all kinds of wrong text but one, in turns."""
    disagreeing: int
    """The code contradicts the text."""
    damaged: int
    """Codes with damaged modules."""


@dataclass(slots=True)
class Result:
    """Of the labels of one kind."""

    labels: int = 0
    passed: int = 0
    by_text: Counter[str] = field(default_factory=Counter)
    """Rejected for a text or code: `lot text_wrong`."""
    before: int = 0
    """Rejected by engine or guard, so no text was looked at."""
    names_place: int = 0
    """The field that is named is one that is wrong."""
    text_alone: int = 0
    """The text stage finds something wrong, also where engine or guard reject the label before it is asked."""

    def add(self, found: Found, texts: Sequence[FieldCheck], sample: Sample) -> None:
        self.text_alone += any(check.reason is not None for check in texts)
        self.labels += 1
        self.passed += isinstance(found.verdict, Pass)
        text = getattr(found.verdict, "text", None)
        if text is not None:
            self.by_text[f"{text.field} {text.reason}"] += 1
            self.names_place += sample.text.get(text.field) != sample.expected.get(text.field)
        elif not isinstance(found.verdict, Pass):
            self.before += 1


def measure(config_path: Path, counts: Counts, seed: int) -> tuple[list[Table], dict[str, Any]]:
    """Tables, and the same figures. Raises ConfigError, EngineError, InferenceError."""
    config = load_config(config_path)
    if config.text is None:
        raise ConfigError(f"{config_path}: text: missing; this benchmark needs a line that verifies texts")
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )  # not one line per expectation
    judges = load_judges(config, None)
    trial = _Trial(judges, config.text, seed)
    results, times_us = trial.judged(counts)
    codes = trial.damaged_codes(counts.damaged)
    tables = [*([_judged_table(results)] if results else []), *([_codes_table(codes)] if counts.damaged else [])]
    figures = {
        "kinds": {
            kind: {
                "labels": result.labels,
                "passed": result.passed,
                "by_text": dict(result.by_text),
                "before": result.before,
                "names_place": result.names_place,
                "text_alone": result.text_alone,
            }
            for kind, result in results.items()
        },
        "text_ms": _percentiles_ms(times_us),
        "codes": {name: dict(found) for name, found in codes.items()},
    }
    return tables, figures


def _percentiles_ms(times_us: Sequence[int]) -> dict[str, float]:
    if not times_us:
        return {}
    p50, p99 = np.percentile(times_us, (50, 99)) / 1000
    return {"p50": float(p50), "p99": float(p99)}


class _Trial:
    def __init__(self, judges: Judges, config: TextConfig, seed: int) -> None:
        assert judges.texts is not None
        self._judges = judges
        self._verification = judges.texts
        self._config = config
        fonts = tuple(dict.fromkeys(each.font for each in config.fields.values() if isinstance(each, TextField)))
        style = STYLES["training"]
        self._style = replace(style, fonts=fonts or style.fonts)
        self._seed = seed
        self._part = 0

    def judged(self, counts: Counts) -> tuple[dict[str, Result], list[int]]:
        """Kind -> result, and how long the text stage took in us."""
        kinds = [kind for kind in WRONG_TEXTS if kind != "code_disagrees"]
        wanted = ["no_fail"] * counts.good + ["code_disagrees"] * counts.disagreeing
        wanted += [kinds[number % len(kinds)] for number in range(counts.wrong)]
        results: dict[str, Result] = {}
        times_us = []
        for kind in track(wanted, "judge labels"):
            sample = self._sample(kind)
            found, texts = self._judge(sample)
            results.setdefault(kind, Result()).add(found, texts, sample)
            if found.text_us is not None:
                times_us.append(found.text_us)
        return results, times_us

    def damaged_codes(self, count: int) -> dict[str, Counter[str]]:
        """How codes were read whose modules are damaged: as many as the error correction repairs, and more."""
        found = {"within the error correction": Counter[str](), "beyond it": Counter[str]()}
        codes = [(name, each) for name, each in self._config.fields.items() if isinstance(each, CodeField)]
        if not codes:
            return found
        name, code = codes[0]
        rng = np.random.default_rng([self._seed, 0xC0DE])
        for number in track(range(count), "read damaged codes"):
            sample = self._sample("no_fail")
            to_image = self._judges.engine.judge(sample.image).print_to_image
            if to_image is None:
                continue
            is_within = number % 2 == 0
            modules = int(rng.integers(1, CORRECTED + 1) if is_within else rng.integers(CORRECTED + 1, _MOST_DAMAGED))
            content = read_code(_damaged(sample, modules, rng), to_image, code.box, code.symbology)
            right = gs1.content(sample.text[name])
            how = "not read" if content is None else "right" if content == right else "WRONG"
            found["within the error correction" if is_within else "beyond it"][how] += 1
        return found

    def _sample(self, kind: str) -> Sample:
        self._part += 1
        return render(kind, np.random.default_rng([self._seed, self._part]), self._style)

    def _judge(self, sample: Sample) -> tuple[Found, Sequence[FieldCheck]]:
        """What the line finds, and what its text stage finds where the guard has seen the print."""
        now_ns = time.monotonic_ns()
        part = Part(self._part, self._part, now_ns, time.time_ns(), now_ns)
        given = {
            name: sample.expected[name] for name, each in self._config.fields.items() if isinstance(each.expect, Given)
        }
        request = ExpectRequest.model_validate({"verb": "expect", "fields": given, "from": {"part": part.id}})
        self._verification.expectations.give(request, _BY)
        found = self._judges.judge(part, sample.image)
        to_image = None if found.engine is None else found.engine.print_to_image
        is_before = not found.texts and to_image is not None
        return found, self._verification.check(part, sample.image, to_image) if is_before else found.texts


def _damaged(sample: Sample, modules: int, rng: np.random.Generator) -> Image:
    """The image with so many modules of its Data Matrix inverted, none of them in the finder pattern."""
    box = np.array([[0, 0], [WIDTH_PX, 0], [0, HEIGHT_PX]], np.float32)
    to_image = cv2.getAffineTransform(box, sample.polygon[[0, 1, 3]])
    left, top, width, height = cv2.boundingRect(_corners(sample.code, to_image))
    dark, bright = np.percentile(sample.image[top : top + height, left : left + width], (10, 90))
    image = sample.image.copy()
    inner = _MODULES - 2
    for place in rng.choice(inner * inner, modules, replace=False).tolist():
        row, column = place // inner + 1, place % inner + 1
        area = Area(sample.code.left + column * MODULE_PX, sample.code.top + row * MODULE_PX, MODULE_PX, MODULE_PX)
        corners = _corners(area, to_image)
        x, y = corners.mean(axis=0).astype(int)
        is_dark = int(image[y, x]) < (dark + bright) / 2
        cv2.fillPoly(image, [np.round(corners).astype(np.int32)], int(bright if is_dark else dark))
    return image


def _corners(area: Area, to_image: NDArray[np.float64]) -> NDArray[np.float32]:
    """(4, 2) of an area of the label box, in px of the image."""
    left, top, width, height = area
    box = np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]], np.float64)
    return cv2.transform(box[None], to_image)[0].astype(np.float32)


def _judged_table(results: dict[str, Result]) -> Table:
    headers = ("what it was", "labels", "passed", "rejected:\nby text", "before", "right\nfield", "text alone\nrejects")
    table = folding_table(*headers, title="labels judged by engine, guard and text", box=box.SIMPLE_HEAD, padding=0)
    for kind, result in results.items():
        cells = (
            result.labels,
            result.passed,
            result.by_text.total(),
            result.before,
            result.names_place,
            result.text_alone,
        )
        table.add_row(kind, *map(str, cells))
    wrong = [result for kind, result in results.items() if kind != "no_fail"]
    labels, passed = sum(result.labels for result in wrong), sum(result.passed for result in wrong)
    table.caption = (
        f"wrong texts: {passed} of {labels} passed, at most {upper_bound(passed, labels):.2%} (one-sided 95 %)"
    )
    return table


def _codes_table(codes: dict[str, Counter[str]]) -> Table:
    table = folding_table(
        "damage", "codes", "read right", "not read", "read wrong", title="Data Matrix with inverted modules"
    )
    for name, found in codes.items():
        table.add_row(name, *map(str, (found.total(), found["right"], found["not read"], found["WRONG"])))
    return table
