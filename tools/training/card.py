"""The engine's card: how it was made and what it is worth, in Markdown, every figure from the program."""

from collections.abc import Sequence
from pathlib import Path

from inspectd.inference.manifest import Manifest, Threshold
from inspectd_tools.training.calibration import Groups, Rate, false_rejects, images_needed, promise, rates
from inspectd_tools.training.experiment import Experiment
from inspectd_tools.training.judge import Judged
from inspectd_tools.training.precision import Candidate


def write_card(
    path: Path,
    manifest: Manifest,
    experiment: Experiment,
    test: Judged,
    candidates: Sequence[Candidate],
    tried: str,
) -> None:
    """`test`: by fp32; `candidates`: the precisions offered, fp32 first; `tried`: how the promise fared."""
    threshold, training = manifest.threshold, manifest.training
    groups = test.groups(experiment)
    right, known = test.right(experiment)
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
        "",
        "## What is promised",
        "",
        *_promise(threshold, tried),
        "",
        "## What it is worth",
        "",
        "On test images that chose nothing (fingerprint " + test.images.fingerprint[:16] + "):",
        "",
        "| | |",
        "|---|---|",
        f"| class right | {Rate(known - right, known)} wrong |",
        *_worth(groups, threshold.value),
        "",
        "| images of | passed |",
        "|---|---|",
        *(f"| {name} | {rate} |" for name, rate in _passed(groups, manifest).items()),
        "",
        *_precisions(candidates, manifest, test, experiment),
        "## Blind spots",
        "",
        _blind_spot(groups, threshold.value),
        "- Nothing here says anything about other images than those it was trained, calibrated and tested on: rendered ones "
        "(`tools/synthesize.py`) tell nothing about photographs of real labels. Retrain and calibrate on your own before a "
        "label of yours depends on it.",
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def _promise(threshold: Threshold, tried: str) -> list[str]:
    low, high = threshold.false_reject_interval
    return [
        f"At threshold {threshold.value:.4f} {promise(threshold)}. This is so unless the calibration images were an unlucky draw (probability {1 - threshold.confidence:.0%}), "
        "and for labels drawn as they were (exchangeability): another product, lamp, camera, or kind of unknown is not covered, "
        "nor is another mix of the faults and unknowns below.",
        "",
        f"- {threshold.method}; fingerprint {threshold.calibration_fingerprint[:16]}.",
        f"- {threshold.n_good} good and {threshold.n_bad} faulty or unknown calibration images; the bound asked needs "
        f"{images_needed(threshold.alpha)} faulty and as many unknown ones, none of them passed.",
        f"- Of the good ones {threshold.false_reject_rate:.2%} are rejected (95 % interval {low:.2%} to {high:.2%}).",
        f"- {tried}",
        "- What other thresholds would cost: `threshold.csv`, `threshold.png`.",
        "",
        f"| calibration images of | passed | at most, each at {threshold.confidence:.0%} |",
        "|---|---|---|",
        *(
            f"| {name} | {kind.passed} of {kind.n} | {kind.bound:.2%} |"
            for name, kind in threshold.false_accepts.items()
        ),
        f"| all, in this mix | | {threshold.false_accept_bound:.2%} |",
    ]


def _worth(groups: Groups, threshold: float) -> list[str]:
    return [
        f"| faulty labels passed | {Rate(int((groups.all_faulty >= threshold).sum()), len(groups.all_faulty))} |",
        f"| unknown labels passed | {Rate(int((groups.all_unknown >= threshold).sum()), len(groups.all_unknown))} |",
        f"| good labels rejected | {false_rejects(groups.good, threshold)} |",
    ]


def _passed(groups: Groups, manifest: Manifest) -> dict[str, Rate]:
    """In the order of the classes, then the unknowns."""
    certainty = groups.faulty | {manifest.pass_class: groups.good} | groups.unknown
    names = (*manifest.classes, *groups.unknown)
    return rates({name: certainty[name] for name in names}, manifest.threshold.value)


def _precisions(candidates: Sequence[Candidate], manifest: Manifest, test: Judged, experiment: Experiment) -> list[str]:
    """What each precision that is offered does on the test images, at its own threshold."""
    if len(candidates) == 1:
        return []
    lines = [
        "## Precisions",
        "",
        f"`inference.precision: auto` takes {manifest.recommended}. Times of one inference where the engine was built; "
        "calibration images for what changed against fp32, test images for the rest.",
        "",
        "| precision | ms p50 (p99) | threshold | verdicts changed | certainty moved by | faulty passed | unknown passed | good rejected |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for candidate in candidates:
        judged = test if candidate.precision == "fp32" else test.by(candidate.network, f"test: {candidate.precision}")
        groups, value = judged.groups(experiment), candidate.threshold.value
        p50, p99 = candidate.p50_p99
        passed = (f"{(group >= value).sum()} of {len(group)}" for group in (groups.all_faulty, groups.all_unknown))
        rejected = false_rejects(groups.good, value)
        lines.append(
            f"| {candidate.precision} | {p50} ({p99}) | {value:.4f} | {candidate.changed:.2%} | {candidate.moved:.3f} | "
            f"{' | '.join(passed)} | {rejected.errors} of {rejected.n} |"
        )
    if any(candidate.took_ms is None for candidate in candidates):
        lines += ["", "tensorrt-int8: the ONNX graph that the plan is built of, judged on the CPU; no GPU has run it."]
    return [*lines, ""]


def _blind_spot(groups: Groups, threshold: float) -> str:
    unknown = rates(groups.unknown, threshold)
    worst = max(unknown, key=lambda name: unknown[name].share, default=None)
    if worst is None:
        return "- No unknown was tried: what it does with what it has never seen is not known."
    if unknown[worst].errors:
        return f"- The unknown it passes most often: {worst}, {unknown[worst]}."
    return "- No kind of unknown tried passed; kinds not tried may."
