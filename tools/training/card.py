"""The engine's card: how it was made and what it is worth, in Markdown, every figure from the program."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.inference.manifest import Manifest
from inspectd_tools.training.calibration import Rate, false_rejects, rates
from inspectd_tools.training.data import Images


def write_card(
    path: Path,
    manifest: Manifest,
    certainty: dict[str, NDArray[np.floating]],
    correct: tuple[int, int],
    test_images: Images,
) -> None:
    """`certainty`: pass certainty of every test image by folder; `correct`: right of all test images of known classes."""
    threshold, training = manifest.threshold, manifest.training
    passed = rates(certainty, threshold.value)
    faulty = [passed[name] for name in manifest.classes if name != manifest.pass_class]
    unknown = {name: rate for name, rate in passed.items() if name not in manifest.classes}
    good = false_rejects(certainty[manifest.pass_class], threshold.value)
    worst = max(unknown, key=lambda name: unknown[name].share, default=None)
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        f"{manifest.architecture}; input {manifest.input.width}x{manifest.input.height}x{manifest.input.channels}; "
        f"made {manifest.created:%Y-%m-%d} at commit {manifest.git_commit[:12]}.",
        "",
        "## How it was made",
        "",
        f"- Trained on {training['run']['n_train']} images (validation: {training['run']['n_validation']}), "
        f"backbone from {training['run']['weights']}, fingerprint {training['run']['data_fingerprint'][:16]}.",
        *(f"- {key}: {value}" for key, value in training["experiment"].items() if key not in ("classes", "input")),
        f"- Exported with fp16 weights; largest score difference to PyTorch: {training['parity']}.",
        f"- Threshold {threshold.value:.4f}: {threshold.method}; {threshold.n_good} good and {threshold.n_bad} faulty or "
        f"unknown calibration images; bound {threshold.false_accept_bound:.2%} at {threshold.confidence:.0%} confidence; "
        f"{threshold.false_reject_rate:.2%} of the good ones rejected.",
        "",
        "## What it is worth",
        "",
        "On test images that chose nothing (fingerprint " + test_images.fingerprint[:16] + "):",
        "",
        "| | |",
        "|---|---|",
        f"| class right | {Rate(correct[1] - correct[0], correct[1])} wrong |",
        f"| faulty labels passed | {_sum(faulty)} |",
        f"| unknown labels passed | {_sum(list(unknown.values()))} |",
        f"| good labels rejected | {good} |",
        "",
        "| images of | passed |",
        "|---|---|",
        *(f"| {name} | {rate} |" for name, rate in passed.items()),
        "",
        "## Blind spots",
        "",
        f"- The unknown it passes most often: {worst}, {unknown[worst]}."
        if worst and unknown[worst].errors
        else "- No kind of unknown tried passed; kinds not tried may.",
        "- All images are rendered (`tools/synthesize.py render`). The figures say nothing about photographs of real",
        "  labels: retrain and calibrate on your own before a label of yours depends on it.",
        "- The bounds hold for images drawn as the calibration images were (exchangeability).",
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def _sum(parts: list[Rate]) -> Rate:
    return Rate(sum(rate.errors for rate in parts), sum(rate.n for rate in parts))
