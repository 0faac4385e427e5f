"""`reader.yaml`, the description of a reader bundle. The tools write it and the daemon checks it."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from inspectd.inference.manifest import Count
from inspectd.inference.preprocess import Share
from inspectd.inference.sealed import ListedFile
from inspectd.section import Section

FORMAT: Final = 1
"""Version of the layout of this file. Bundles with a newer version are rejected."""

FontName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")]
LogLikelihood = Annotated[float, Field(ge=-1e6, le=1e-3)]
"""Natural logarithm of the likelihood of a text: 0 is certain."""


class Font(Section):
    """A font that the reader was commissioned for: the threshold for its lines, and what the threshold is based on."""

    threshold: Annotated[float, Field(ge=-1e6, lt=0)]
    """A text is accepted if the logarithm of its likelihood is at least this."""
    method: str
    """How the threshold was chosen, in one sentence."""
    characters: str = Field(min_length=1, max_length=1000)
    """Those that may be read in this font. Others were not printed for it, or look the same as one of these."""
    made_from: str
    """Font file with its SHA-256, or folder of crops."""
    right: Count
    """Number of right lines that it was chosen with."""
    right_rejected: Count
    """How many of them are rejected."""
    right_rejected_interval: tuple[Share, Share]
    """Clopper-Pearson, two-sided, at 95 %."""
    near_misses: Count
    """Number of lines of which several texts that the print nearly says were tried. A line counts once."""
    near_misses_accepted: Count
    """Number of lines of which such a text is accepted."""
    false_accept_bound: Share
    """Upper bound of the share of wrong lines that are accepted, at `confidence` (Clopper-Pearson). It is valid if the line's
    wrong texts are like these near misses."""
    alpha: Share
    """The guaranteed bound, which was fixed before the threshold was chosen."""
    confidence: Share


class GoldenLine(ListedFile):
    """A crop that is read at each load. The text must be accepted and the near miss must not."""

    font: FontName
    text: str
    """What the crop says."""
    log_likelihood: LogLikelihood
    near_miss: str
    """What it nearly says."""
    near_miss_log_likelihood: LogLikelihood


class ReaderManifest(Section):
    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    """Version of the file's layout."""
    kind: Literal["reader"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")
    """Name of the reader."""
    version: str = Field(pattern=r"^[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}$")
    """Version of the reader."""
    created: datetime
    """When it was built."""
    git_commit: str
    """Commit of this project that built it."""
    alphabet: str = Field(min_length=1, max_length=1000)
    """The characters, in the order of the network's symbols after the blank and the damaged character."""
    network: ListedFile
    """ONNX: (1, 1, 32, w) uint8 crop -> (1, w / 4, symbols) logarithms of probabilities."""
    fonts: Annotated[dict[FontName, Font], Field(min_length=1)]
    """The fonts that may be read."""
    golden: Annotated[tuple[GoldenLine, ...], Field(min_length=1)]
    """Crops that are read at each load."""
    golden_tolerance: float = Field(gt=0, le=0.1)
    """Largest difference allowed for a golden logarithm of a likelihood above -10; for a lower one, as a share of it."""
    training: dict[str, Any]
    """Provenance: settings, seeds, metrics."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if len(set(self.alphabet)) != len(self.alphabet):
            raise ValueError("alphabet: a character occurs twice")
        unproven = set(self.fonts) - {line.font for line in self.golden}
        if unproven:
            raise ValueError(f"golden: no line shows the font(s) {', '.join(sorted(unproven))}")
        for name, font in self.fonts.items():
            if not set(font.characters) <= set(self.alphabet):
                raise ValueError(f"fonts: {name} has characters that are not in the alphabet")
        for line in self.golden:
            if line.font not in self.fonts:
                raise ValueError(f"golden: {line.path} shows the font {line.font}, which is not listed in fonts")
            if not set(line.text + line.near_miss) <= set(self.alphabet + " "):
                raise ValueError(f"golden: {line.path} has characters that are not in the alphabet")
            if not line.near_miss_log_likelihood < self.fonts[line.font].threshold <= line.log_likelihood:
                raise ValueError(
                    f"golden: at the threshold of {line.font}, {line.path} must be accepted as {line.text!r} and not as {line.near_miss!r}"
                )
        return self
