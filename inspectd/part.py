"""What all other modules speak of: a part (one label, one trigger), its frame, its verdict.

All `*_ns` times are `time.monotonic_ns()` (CLOCK_MONOTONIC, shared by all processes of one machine)
unless the name says `utc`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(height, width) grey or (height, width, 3) BGR, uint8."""
Box = tuple[int, int, int, int]
"""Left, top, width and height in px."""


class MissedReason(StrEnum):
    """Why a part has no inspection."""

    LOST_FRAME = "lost_frame"  # a gap in the camera's frame counter, or a trigger that gave no frame
    BAD_FRAME = "bad_frame"  # incomplete buffer
    OVERRUN = "overrun"  # the queue was full: the oldest image gave way
    LATE = "late"  # not let through in time: the verdict came too late, or run permit was off
    STALE_FRAME = "stale_frame"  # too old, or pixel for pixel one of the images before
    ENGINE_ERROR = "engine_error"
    RECORD_ERROR = "record_error"  # the verdict could not be recorded


@dataclass(frozen=True, slots=True)
class Frame:
    """What the camera gave for one trigger: either an image, or the reason why it gave none."""

    number: int
    """The camera's frame counter; the line turns a gap in it into `lost_frame` parts."""
    t_trigger_ns: int
    t_arrival_ns: int
    image: Image | None
    missed: MissedReason | None = None

    def __post_init__(self) -> None:
        if (self.image is None) == (self.missed is None):
            raise ValueError("a Frame needs an image or a reason (missed), and not both")


@dataclass(frozen=True, slots=True)
class Part:
    """One label. Scheduled for reject from the moment it exists."""

    id: int
    frame_number: int
    t_trigger_ns: int
    t_trigger_utc_ns: int
    due_ns: int
    """When the gate acts on it: `t_trigger_ns` + `gate.delay_ms`."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What the engine gave: one kernel value K_c in 0..1 per class (a softmax engine: the probability)."""

    classes: tuple[str, ...]
    values: tuple[float, ...]

    @property
    def certainty(self) -> float:
        """max_c K_c"""
        return max(self.values)

    @property
    def predicted(self) -> str:
        return self.classes[self.values.index(self.certainty)]


@dataclass(frozen=True, slots=True)
class Pass:
    """The pass class, certain enough: the only verdict that may open the gate."""

    word: ClassVar = "pass"
    scores: Scores


TextFault = Literal["text_wrong", "text_unreadable", "text_missing", "code_unreadable", "code_wrong"]
"""What is wrong with a text or a code of the print."""
TextReason = TextFault | Literal["text_not_expected"]
"""`text_not_expected`: nobody has said what the text must be, so nothing can be right."""
TEXT_FAULTS: tuple[TextFault, ...] = get_args(TextFault)
TEXT_NOT_EXPECTED: Literal["text_not_expected"] = "text_not_expected"
TEXT_REASONS: tuple[TextReason, ...] = (*TEXT_FAULTS, TEXT_NOT_EXPECTED)


@dataclass(frozen=True, slots=True)
class WrongCharacter:
    """What is wrong at one place of a text."""

    index: int
    """Its place in the expected text, from 0."""
    expected: str
    """Empty: here is a character too many."""
    found: str
    """Empty: the character is missing. `?`: it is damaged."""


@dataclass(frozen=True, slots=True)
class FieldCheck:
    """One text or code of the print, compared with what it must be."""

    field: str
    """Its name in the config."""
    reason: TextReason | None
    """Why the label is rejected; None if the field is right."""
    expected: tuple[str, ...]
    """The texts that are allowed here: one, or two during a change of day or job. Empty: nothing is known."""
    source: str
    """Where they come from, or why nothing is known."""
    found: str
    """The allowed text that was found. Of a wrong field, what it says as far as that is known; empty if it is not."""
    score: float | None
    """Of a text: how well it fits, above 0 if it is accepted; None for a code, and if the text was not looked at."""
    box: Box
    """The worst character, or else the whole field, in px of the image."""
    worst: WrongCharacter | None = None
    """Of a wrong text: the character that contradicts the expected text most."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault class, certain enough to name it; or a text or code that is wrong on a label that would pass otherwise."""

    word: ClassVar = "fault"
    scores: Scores
    text: FieldCheck | None = None


AnomalyKind = Literal["print", "part", "turned", "shifted", "faded"]
"""A place of the print or of the part around it that is unlike good labels, or how the whole print lies or how pale it is."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """What the guard found on a label that the network would have let pass."""

    kind: AnomalyKind
    box: Box
    """The place, in px of the image."""
    excess: float
    """The place's score as a multiple of the engine's limit: above 1."""


@dataclass(frozen=True, slots=True)
class Uncertain:
    """Certainty below the engine's threshold, for any class, or an anomaly, or a text that nobody has announced: unknown is
    not good."""

    word: ClassVar = "uncertain"
    scores: Scores
    anomaly: Anomaly | None = None
    text: FieldCheck | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """No inspection took place."""

    word: ClassVar = "missed"
    reason: MissedReason


Verdict = Pass | Fault | Uncertain | Missed


ANOMALY = "anomaly"
"""The reason of an uncertain part that the guard stopped."""

INSPECTED = (Pass.word, Fault.word, Uncertain.word)
"""The words for an inspected part, in the order of all tables."""


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """A verdict as every record, file name, table and report writes it."""

    verdict: str
    """`pass`, `fault`, `uncertain` or `missed`."""
    reason: str | None
    """Of a missed part: a `MissedReason`. Of an uncertain one: `anomaly` if the guard found one, or `text_not_expected`. Of a
    faulty one: a `TextFault`, if a text or code is wrong."""
    predicted: str | None
    """The class with the highest score; None for a missed part."""

    @property
    def label(self) -> str:
        """In one word: the reason, or else the class of a fault, or else the verdict."""
        return self.reason or (self.verdict == Fault.word and self.predicted) or self.verdict


def words(verdict: Verdict) -> VerdictWords:
    match verdict:
        case Missed(reason):
            return VerdictWords(verdict.word, reason.value, None)
        case Uncertain(scores=scores, anomaly=Anomaly()):
            return VerdictWords(verdict.word, ANOMALY, scores.predicted)
        case Fault(scores, FieldCheck(reason=reason)) | Uncertain(scores=scores, text=FieldCheck(reason=reason)):
            return VerdictWords(verdict.word, reason, scores.predicted)
        case _:
            return VerdictWords(verdict.word, None, verdict.scores.predicted)


def instead_of_pass(*, was_let_through: bool) -> Missed | None:
    """What a recorded pass becomes once the gate has acted; None if it stays a pass.

    A label that the gate did not let through, for whatever reason, was too late to pass.
    """
    return None if was_let_through else Missed(MissedReason.LATE)
