"""What judges a label: the engine, then its texts if the line verifies any."""

import time
from dataclasses import dataclass, replace

from inspectd.config import Config
from inspectd.errors import EngineError
from inspectd.inference import Engine, Judged, load_bundle, load_engine
from inspectd.part import FieldCheck, Image, Part, Pass, Verdict
from inspectd.text.expectation import Expectations
from inspectd.text.verification import Verification, judged, load_verification


@dataclass(frozen=True, slots=True)
class Found:
    """A verdict, and what is known of the label beside it."""

    verdict: Verdict
    engine: Judged | None = None
    """None if it did not inspect the label."""
    texts: tuple[FieldCheck, ...] = ()
    text_us: int | None = None
    """None if no text was verified."""


@dataclass(frozen=True, slots=True)
class Judges:
    """Both change together, because text fields are places of the print that the engine's guard finds."""

    engine: Engine
    texts: Verification | None = None
    """None: the line verifies no text."""

    @property
    def ids(self) -> tuple[str, str, tuple[str, str] | None]:
        """For the records: name and hash of the engine; the same of the reader, if there is one."""
        return self.engine.manifest.name, self.engine.hash, self.texts.reader_id if self.texts else None

    @property
    def service_ms(self) -> float:
        """Time for a label that passes: p99."""
        return self.engine.service_ms + (self.texts.service_ms if self.texts else 0)

    def judge(self, part: Part, image: Image) -> Found:
        """(h, w) or (h, w, 3) BGR uint8 -> what the label is. Texts are looked at only if it would pass without them.

        Raises InferenceError, or EngineLost if no other label can be judged.
        """
        by_engine = self.engine.judge(image)
        if self.texts is None or not isinstance(by_engine.verdict, Pass):
            return Found(by_engine.verdict, by_engine)
        t_begin_ns = time.monotonic_ns()
        texts = self.texts.check(part, image, by_engine.print_to_image)
        text_us = (time.monotonic_ns() - t_begin_ns) // 1000
        return Found(judged(by_engine.verdict.scores, texts), by_engine, texts, text_us)

    def to_fall_back_on(self, new: "Judges") -> "Judges":
        """These, for the case that `new` ones fail. Values that people told meanwhile went to the new ones: these forget theirs."""
        if self.texts is None or (new.texts is not None and new.texts.expectations is self.texts.expectations):
            return self
        return replace(self, texts=self.texts.untold())


def load_judges(config: Config, image_size: tuple[int, int] | None, expectations: Expectations | None = None) -> Judges:
    """Load what the config names. `image_size`: width and height of the images in px; None if it is not known.

    `expectations`: see `load_verification`. Raises ConfigError or EngineError if engine or reader can't be used, or if they can't
    judge such images or these text fields.
    """
    engine = load_engine(load_bundle(config.engine), config.inference)
    misfit = engine.misfit(image_size)
    if misfit is not None:
        raise EngineError(f"{config.engine}: {misfit}")
    texts = None if config.text is None else load_verification(config.text, config.inference, engine, expectations)
    return Judges(engine, texts)
