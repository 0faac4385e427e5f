"""`inspectd engines activate` and `rollback`: switch the link that names the engine of a line, and switch it back."""

from pathlib import Path

from inspectd.commands.engines.link import EngineLink
from inspectd.config import load_config
from inspectd.errors import ConfigError, EngineError
from inspectd.files.folder_lock import locked
from inspectd.inference import Bundle, InferenceConfig, load_bundle, load_engine


def run_activate(link: Path, bundle: Path, config: Path | None) -> int:
    """Switch `link` to `bundle`.

    Raises EngineError if the bundle is rejected, or was proven against another engine than the active one; ConfigError if the link
    can't be switched.
    """
    engine_link = EngineLink(link)
    inference = _inference(engine_link, config)
    with locked(link.parent):
        before = engine_link.targets.current
        loaded = load_bundle(bundle)
        load_engine(loaded, inference)
        if before is not None and link.resolve() == loaded.folder:
            print(f"{link}: points to {loaded.folder} already")
            return 0
        if before is not None:
            refuse_if_proven_against_another(loaded, link)
        engine_link.switch(loaded.folder)
    _say(link, loaded, before)
    return 0


def run_rollback(link: Path, config: Path | None) -> int:
    """Switch `link` back to the bundle before.

    Raises EngineError if that bundle is rejected, ConfigError if there is none or the link can't be switched.
    """
    engine_link = EngineLink(link)
    inference = _inference(engine_link, config)
    with locked(link.parent):
        before, target = engine_link.targets
        if target is None or target == before:
            raise ConfigError(
                f"{link}: there is no bundle to go back to: {engine_link.previous.name} is missing or points to the same bundle"
            )
        bundle = load_bundle(engine_link.previous)
        load_engine(bundle, inference)
        engine_link.go_back()
    _say(link, bundle, before)
    return 0


def refuse_if_proven_against_another(bundle: Bundle, link: Path) -> None:
    """A learned engine is proven not worse than the one that it was learned from. Nothing is known about it and any other one.

    Raises EngineError.
    """
    learned = bundle.manifest.training.get("learned")
    if learned is None:
        return
    is_known = isinstance(learned, dict) and isinstance(learned.get("engine_hash"), str)
    proven = learned["engine_hash"] if is_known else ""
    words = f"{learned.get('engine')} ({proven[:12]})" if is_known else "an engine that engine.yaml does not name"
    try:
        active = load_bundle(link)
    except EngineError as error:
        raise EngineError(
            f"{bundle.folder}: was learned from {words}, and the active engine can't be compared with that: {error}"
        ) from error
    if active.hash not in (proven, bundle.hash):
        raise EngineError(
            f"{bundle.folder}: is proven not worse than {words}, but {link} points to {active.manifest.name} "
            f"{active.manifest.version} ({active.hash[:12]}). Activate {words} first and then this bundle, or learn again from the "
            "active engine: inspectd learn"
        )


def _inference(link: EngineLink, path: Path | None) -> InferenceConfig:
    if path is None:
        return InferenceConfig()
    config = load_config(path)
    if EngineLink(config.engine).place != link.place:
        raise ConfigError(f"{path}: engine: is {config.engine}, not {link.path}: this line does not use the link")
    return config.inference


def _say(link: Path, bundle: Bundle, before: Path | None) -> None:
    manifest = bundle.manifest
    print(f"{link} -> {link.readlink()} ({manifest.name} {manifest.version}); before: {before or 'nothing'}")
    print("run `systemctl reload inspectd`, so that the line uses it; without systemd: `kill -HUP PID`")
