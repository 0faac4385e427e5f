"""A bundle with a guard: everything of the old one, the guard, and what the card says of it."""

import hashlib
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

from inspectd.inference.bundle import Bundle, write_manifest
from inspectd.inference.manifest import GuardModel, GuardScores, Manifest
from inspectd_tools.deploy.card.html import write_page
from inspectd_tools.deploy.guard.fitting import Fitted
from inspectd_tools.deploy.guard.photos import fingerprint
from inspectd_tools.training.run_folder import git_commit

_GUARD = "guard.npz"


def write_with_guard(bundle: Bundle, fitted: Fitted, golden: tuple[GuardScores, ...], folder: Path) -> Manifest:
    """Write the next minor version of `bundle` to the new `folder`, with the guard. The card is still the old one. Raises OSError."""
    old = bundle.manifest
    # a signature holds for the old engine.yaml alone
    shutil.copytree(bundle.folder, folder, ignore=shutil.ignore_patterns("*.sig", "*.tmp"))
    if old.guard is not None:
        (folder / old.guard.path).unlink()
    (folder / _GUARD).write_bytes(fitted.data)
    width, height = fitted.guard.size or (None, None)
    guard = GuardModel(
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
    )
    manifest = old.model_copy(
        update={
            "version": next_minor(old.version),
            "created": datetime.now(UTC).replace(microsecond=0),
            "git_commit": git_commit(),
            "guard": guard,
            "training": {**old.training, "guard": _provenance(bundle, fitted)},
        }
    )
    write_manifest(folder, manifest)
    return manifest


def next_minor(version: str) -> str:
    """1.4.2 -> 1.5.0"""
    major, minor, _ = version.split(".")
    return f"{major}.{int(minor) + 1}.0"


def with_section(card: str, section: str) -> str:
    """The card with `section` in place of the one with the same heading, else before "How it was made", else at its end."""
    heading = section.partition("\n")[0]
    old = re.compile(rf"^{re.escape(heading)}$.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if old.search(card):
        return old.sub(lambda _: section + "\n", card, count=1)
    before, making, after = card.partition("## How it was made\n")
    return f"{before.rstrip()}\n\n{section}\n{making}{after}"


def _provenance(bundle: Bundle, fitted: Fitted) -> dict[str, object]:
    return {
        "engine": f"{bundle.manifest.version}, made {bundle.manifest.created:%Y-%m-%d} at commit {bundle.manifest.git_commit}",
        "engine_hash": bundle.hash,
        "fitted_to": fingerprint(fitted.photos.train),
        "limits_from": fingerprint(fitted.photos.val),
        "tested_with": fingerprint(fitted.photos.test),
        "rejected_test": fitted.tested.errors,
        "n_test": fitted.tested.n,
    }


def renew_card(folder: Path, manifest: Manifest, section: str) -> None:
    """Put the new title and this section into `card.md` and `card.html` of the bundle in `folder`. Raises OSError."""
    path = folder / "card.md"
    title = f"# {manifest.name} {manifest.version}"
    old = path.read_text(encoding="utf-8") if path.is_file() else title
    card = with_section(re.sub(r"\A# .*", lambda _: title, old), section)
    path.write_text(card, encoding="utf-8")
    write_page(folder / "card.html", card)
