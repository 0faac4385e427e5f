"""A reload: read the config again and load its engine while the line goes on with the old one."""

import threading
from pathlib import Path

import structlog

from inspectd.config import Config, load_config
from inspectd.errors import EngineError, InspectdError
from inspectd.inference import Engine, load_bundle, load_engine
from inspectd.line.time_budget import least_budget
from inspectd.redaction import redacted

log = structlog.get_logger()

_LIVE_KEYS = {"engine", "inference"}


class Reload:
    """One reload, in a thread. Once it is `done`, `engine` is the new engine, or None if the old one stays."""

    def __init__(self, path: Path, running: Config, image_size: tuple[int, int] | None = None) -> None:
        """`image_size`: width and height in px of the running line's images; None if none was inspected yet."""
        self.engine: Engine | None = None
        self.refusal = ""
        """Why the old engine stays."""
        self.after_restart: list[str] = []
        """Sections of the config that have changed and take effect only at the next restart."""
        self._path = path
        self._running = running
        self._image_size = image_size or running.camera.known_size()
        self._thread = threading.Thread(target=self._load, name="reload", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def _load(self) -> None:
        try:
            config = load_config(self._path)
            engine = load_engine(load_bundle(config.engine), config.inference)
            refusal = engine.misfit(self._image_size) or least_budget(self._running, engine).refusal
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
        self.engine = engine
