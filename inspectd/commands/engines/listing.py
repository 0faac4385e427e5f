"""`inspectd engines list`: the bundles of a folder and their figures in the recommended precision, as their manifests state them."""

import json
from pathlib import Path

from rich.table import Table
from rich.text import Text

from inspectd.errors import ConfigError, EngineError
from inspectd.inference import Bundle, load_bundle
from inspectd.terminal import console, folding_table, printable


def run(folder: Path, *, as_json: bool) -> int:
    """Print one row per bundle. Exit code 1 if there is none or one is rejected. Raises ConfigError if `folder` can't be read."""
    try:
        places = sorted(path.parent for path in folder.glob("*/engine.yaml"))
    except OSError as error:
        raise ConfigError(f"{folder}: can't be read: {error.strerror}") from error
    bundles = {place: _load(place) for place in places}
    if as_json:
        print(json.dumps([_figures(place, bundle) for place, bundle in bundles.items()], indent=2))
    elif bundles:
        console().print(_table(bundles))
    if not bundles:
        console(stderr=True).print(f"{folder}: contains no engine bundle, which is a folder with an engine.yaml")
    return int(not bundles or any(isinstance(bundle, EngineError) for bundle in bundles.values()))


def _load(folder: Path) -> Bundle | EngineError:
    try:
        return load_bundle(folder)
    except EngineError as error:
        return error


def _figures(place: Path, bundle: Bundle | EngineError) -> dict[str, object]:
    link = {"link_to": str(place.readlink())} if place.is_symlink() else {}
    if isinstance(bundle, EngineError):
        return {"engine": place.name, **link, "refused": str(bundle)}
    manifest = bundle.manifest
    threshold = manifest.threshold_at(manifest.recommended)
    return {
        "engine": place.name,
        **link,
        "version": manifest.version,
        "hash": bundle.hash,
        "created": manifest.created.isoformat(),
        "architecture": manifest.architecture,
        "classes": list(manifest.classes),
        "pass_class": manifest.pass_class,
        "backends": sorted({file.backend for file in manifest.files}),
        "precision": manifest.recommended,
        "threshold": threshold.value,
        "alpha": threshold.alpha,
        "false_accept_bound": threshold.false_accept_bound,
        "confidence": threshold.confidence,
        "false_reject_rate": threshold.false_reject_rate,
        "calibrated_on": threshold.n_good + threshold.n_bad,
        "guard": None if manifest.guard is None else manifest.guard.model_dump(mode="json", exclude={"golden_scores"}),
    }


def _table(bundles: dict[Path, Bundle | EngineError]) -> Table:
    table = folding_table(
        "engine", "version", "hash", "network", "threshold", "false accepts", "false rejects", "guard"
    )
    for place, bundle in bundles.items():
        name = f"{place.name} -> {place.readlink()}" if place.is_symlink() else place.name
        if isinstance(bundle, EngineError):
            table.add_row(name, Text(printable(f"rejected: {bundle}"), "red"))
            continue
        manifest = bundle.manifest
        threshold = manifest.threshold_at(manifest.recommended)
        table.add_row(
            name,
            manifest.version,
            bundle.hash[:12],
            f"{manifest.architecture}, {manifest.recommended}",
            f"{threshold.value:.3f}",
            f"<= {threshold.alpha:.2%} at {threshold.confidence:.0%} (n={threshold.n_bad})",
            f"{threshold.false_reject_rate:.2%} (n={threshold.n_good})",
            "none: gross faults only" if manifest.guard is None else f"fitted to {manifest.guard.fitted_to}",
        )
    return table
