"""A bundle with a guard: everything of the old one, the guard, and what the card says of it."""

import hashlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

from inspectd.inference.bundle import Bundle, write_manifest
from inspectd.inference.manifest import GuardModel, GuardScores, Manifest
from inspectd.learning.renewed import in_newest_format, next_minor
from inspectd_tools.deploy.guard.fitting import Fitted
from inspectd_tools.deploy.guard.photos import fingerprint
from inspectd_tools.training.run_folder import git_commit

_GUARD = "guard.npz"


def write_guard(fitted: Fitted, golden: tuple[GuardScores, ...], folder: Path, *, joint: bool) -> GuardModel:
    """Write the guard's file to the bundle in `folder`, and return what engine.yaml says of it. Raises OSError.

    `joint`: the thresholds are chosen for network and guard together.
    """
    (folder / _GUARD).write_bytes(fitted.data)
    width, height = fitted.guard.size or (None, None)
    return GuardModel(
        path=_GUARD,
        sha256=hashlib.sha256(fitted.data).hexdigest(),
        width=width,
        height=height,
        kinds=fitted.guard.kinds,
        limits=fitted.limits.largest,
        golden_scores=golden,
        fitted_to=len(fitted.photos.train),
        n_good=fitted.chosen.n,
        rejected_good=fitted.chosen.errors,
        joint=joint,
    )


def provenance(fitted: Fitted) -> dict[str, object]:
    """Of the guard, for engine.yaml."""
    return {
        "fitted_to": fingerprint(fitted.photos.train),
        "limits_from": fingerprint(fitted.photos.for_limits),
        "tested_with": fingerprint(fitted.photos.test),
        "rejected_test": fitted.tested.errors,
        "n_test": fitted.tested.n,
    }


def write_with_guard(
    bundle: Bundle, fitted: Fitted, golden: tuple[GuardScores, ...], folder: Path, thresholds: dict[str, object] | None
) -> Manifest:
    """Write the next minor version of `bundle` to the new `folder`, with the guard. Raises OSError.

    `thresholds`: keys of the manifest that were chosen for network and guard together; None: the old ones stay. The card is
    still that of the old bundle.
    """
    old = bundle.manifest
    # a signature holds for the old engine.yaml alone
    shutil.copytree(bundle.folder, folder, ignore=shutil.ignore_patterns("*.sig", "*.tmp"))
    if old.guard is not None:
        (folder / old.guard.path).unlink()
    made_from = {
        "engine": f"{old.version}, made {old.created:%Y-%m-%d} at commit {old.git_commit}",
        "engine_hash": bundle.hash,
    }
    manifest = in_newest_format(old).model_copy(
        update={
            "version": next_minor(old.version),
            "created": datetime.now(UTC).replace(microsecond=0),
            "git_commit": git_commit(),
            "guard": write_guard(fitted, golden, folder, joint=thresholds is not None),
            "training": {**old.training, "guard": {**made_from, **provenance(fitted)}},
            **(thresholds or {}),
        }
    )
    write_manifest(folder, manifest)
    return manifest
