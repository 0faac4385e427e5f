"""SIGHUP: read the config again and load its engine beside the running one, without holding up the line."""

import threading
from pathlib import Path

import structlog

from inspectd.config import Config, load_config
from inspectd.errors import InspectdError
from inspectd.inference import Engine, load_bundle, load_engine

log = structlog.get_logger()

_LIVE_KEYS = {"engine", "inference"}


class Reload:
    """One reload in its own thread. `engine` is the new one once `done`, or None if the old one stays."""

    def __init__(self, path: Path, running: Config) -> None:
        self.engine: Engine | None = None
        self._path = path
        self._running = running
        self._thread = threading.Thread(target=self._load, name="reload", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def _load(self) -> None:
        try:
            config = load_config(self._path)
            engine = load_engine(load_bundle(config.engine), config.inference)
        except InspectdError as error:
            log.error("reload refused, everything stays as it was", error=str(error))
            return
        restart = sorted(
            key
            for key in Config.model_fields
            if key not in _LIVE_KEYS and getattr(config, key) != getattr(self._running, key)
        )
        if restart:
            log.warning("these sections changed and take effect at the next restart", sections=restart)
        self.engine = engine
