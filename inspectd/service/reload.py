"""A reload: read the config again and load its engine and its text section while the line goes on with the old ones.

What has been told to the running line about its texts is kept if the rules of all text fields stay the same. Otherwise no label
passes until it is told again.
"""

import threading
from pathlib import Path

import structlog

from inspectd.config import Config, load_config
from inspectd.errors import EngineError, InspectdError
from inspectd.line.judges import Judges, load_judges
from inspectd.line.time_budget import least_budget
from inspectd.redaction import redacted
from inspectd.text.config import TextConfig
from inspectd.text.expectation import Expectations
from inspectd.text.verification import Verification

log = structlog.get_logger()

_LIVE_KEYS = {"engine", "inference", "text"}


class Reload:
    """One reload, in a thread. Once it is `done`, `judges` has the new engine and texts, or is None if the old ones stay."""

    def __init__(
        self,
        path: Path,
        running: Config,
        image_size: tuple[int, int] | None = None,
        texts: Verification | None = None,
    ) -> None:
        """`running`: the config with which the line was started. `image_size`: width and height in px of the running line's
        images; None if none was inspected yet. `texts`: what verifies its texts now."""
        self.judges: Judges | None = None
        self.refusal = ""
        """Why the old engine and texts stay."""
        self.after_restart: list[str] = []
        """Sections of the config that have changed and take effect only at the next restart."""
        self._path = path
        self._running = running
        self._texts = texts
        self._image_size = image_size or running.camera.known_size()
        self._thread = threading.Thread(target=self._load, name="reload", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def _load(self) -> None:
        try:
            config = load_config(self._path)
            judges = load_judges(config, self._image_size, self._expectations(config.text))
            refusal = least_budget(self._running, judges).refusal
            if refusal is not None:
                raise EngineError(f"{config.engine}: {refusal}")
        except Exception as error:  # after any error the line goes on with what it has
            reason = str(error) if isinstance(error, InspectdError) else f"{type(error).__name__}: {error}"
            log.error("reload refused: the line goes on with its old engine", error=reason)
            self.refusal = redacted(reason)
            return
        self.after_restart = sorted(
            key
            for key in Config.model_fields
            if key not in _LIVE_KEYS and getattr(config, key) != getattr(self._running, key)
        )
        if self.after_restart:
            log.warning("changes in these sections take effect at the next restart", sections=self.after_restart)
        self.judges = judges

    def _expectations(self, text: TextConfig | None) -> Expectations | None:
        """Those of the running line if they are still right."""
        if self._texts is None or text is None:
            return None
        if text.rules == self._texts.config.rules:
            return self._texts.expectations
        log.warning("the rules of the text fields have changed: tell the line again what it must expect")
        return None
