"""What each label must say: one answer per field and part, from the sources that the config names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from inspectd.control.requester import Requester
from inspectd.part import Part
from inspectd.text.config import TextConfig
from inspectd.text.pattern import Pattern


@dataclass(frozen=True, slots=True)
class Expected:
    """What one field of one label must say."""

    allowed: tuple[str, ...] | Pattern
    """Any of these texts is right: two during a grace. A code's content is as zxing-cpp gives it with `TextMode.Plain`: FNC1 is
    \\x1d. Empty: nothing is known, so nothing passes. `Pattern`: any text that matches is right."""
    source: str
    """Where it comes from, for the records; or, if nothing is known, why."""

    def allows(self, content: str) -> bool:
        """Whether the content of a code is right. An additional separator between GS1 elements changes nothing."""
        if isinstance(self.allowed, Pattern):
            return self.allowed.matches(content)
        return content in self.allowed


class Expectations:
    """What is expected now. The inspection worker asks per part; the control thread may tell something new at any time."""

    def __init__(self, config: TextConfig) -> None:
        self.next_part_id: Callable[[], int] | None = None
        """The number of the next label to be triggered. The line sets it."""
        self._config = config

    def of(self, part: Part, codes: Mapping[str, str]) -> dict[str, Expected]:
        """Per field, what this label must say. `codes`: the content of each code that was read on it."""
        raise NotImplementedError

    def passed(self, part: Part, texts: Mapping[str, str]) -> None:
        """The label passed with these texts, one per field. Only these labels advance the counters."""
        raise NotImplementedError

    def give(self, values: Mapping[str, str | None], begin: Any, by: Requester) -> dict[str, Any]:
        """Raises ValueError if this is refused. Nothing has changed then."""
        raise NotImplementedError
