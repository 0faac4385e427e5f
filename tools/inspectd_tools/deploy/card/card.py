"""The card as Markdown and as a page. Every figure in it comes from the program."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from inspectd.inference.manifest import Manifest, Threshold
from inspectd.inference.preprocess import InputSpec, Region
from inspectd.learning.card_page import write_page
from inspectd_tools.deploy.card.cases import Case, cases
from inspectd_tools.deploy.card.examples import choose, write_examples
from inspectd_tools.deploy.card.markdown import literal, table
from inspectd_tools.deploy.card.performance import blind_spots, performance, precisions
from inspectd_tools.deploy.held_out import Check
from inspectd_tools.deploy.judged import Judged
from inspectd_tools.deploy.precision import Candidate
from inspectd_tools.deploy.threshold_report import guarantee
from inspectd_tools.explain.network import Network
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.settings import TrainingSettings

_EXAMPLES = "explanations.jpg"
SMALL_FAULTS = "## Small faults"
_NO_GUARD = """\
This engine sees no small faults: it has no guard, because {reason}. It sees the whole label at low resolution: a character that is missing, a spatter of ink, a thin scratch
or a print that is slightly turned can pass. `tools/fit_guard.py` adds a guard, which needs photos of good labels alone."""
_LOOKS = f"""\
For each class, the correct test image with the median certainty; then the worst images: bad ones that look most like good
ones, and good ones that look least like them. The brighter a pixel, the more it changes the score of the class against the
others (saliency). Don't believe a map unchecked: `tools/explain.py check` says which maps to believe.

![Photos and where the engine looks]({_EXAMPLES})"""


def write_card(
    bundle: Path,
    manifest: Manifest,
    settings: TrainingSettings,
    classifier: Classifier,
    test: Judged,
    candidates: Sequence[Candidate],
    checks: Sequence[Check],
    photos: Sequence[str],
    small_faults: str,
) -> None:
    """`card.md`, `card.html` and `explanations.jpg`, beside the `threshold.png` that is there.

    `classifier`: what was exported; `test`: scores in fp32; `candidates`: the precisions that are offered, fp32 first;
    `checks`: of the guarantee, with the test parts; `photos`: sections on the calibration photos; `small_faults`: the section on
    small faults.
    """
    found = cases(test, manifest)
    write_examples(bundle / _EXAMPLES, choose(found, manifest.classes), Network(classifier, "contrast"), test, settings)
    *measured, of_precisions = figures(manifest, found, test, candidates, checks, photos)
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        f"{literal(manifest.architecture)}; made {manifest.created:%Y-%m-%d} at commit {manifest.git_commit[:12]}.",
        "",
        *chain(*measured),
        small_faults,
        "## Where it looks",
        "",
        _LOOKS,
        "",
        *of_precisions,
        *_making(manifest),
    ]
    text = "\n".join(lines)
    (bundle / "card.md").write_text(text, encoding="utf-8")
    write_page(bundle / "card.html", text)


def figures(
    manifest: Manifest,
    found: Sequence[Case],
    test: Judged,
    candidates: Sequence[Candidate],
    checks: Sequence[Check],
    photos: Sequence[str],
) -> list[list[str]]:
    """The sections that depend on the thresholds, each as its lines. `found`: the cases of `test`; the rest as in `write_card`."""
    return [
        _purpose(manifest),
        [*_guarantee(manifest.threshold, checks), *photos],
        performance(found, manifest, test.images.fingerprint),
        blind_spots(found, manifest, test),
        precisions(candidates, manifest, test),
    ]


def no_guard(reason: str) -> str:
    """The section on small faults of an engine without a guard."""
    return f"{SMALL_FAULTS}\n\n{_NO_GUARD.format(reason=literal(reason))}\n"


def _purpose(manifest: Manifest) -> list[str]:
    good, recommended = literal(manifest.pass_class), manifest.recommended
    return [
        "## What it is for",
        "",
        f"It decides if a label is good ({good}). This works only for labels like the training images. A label passes only as "
        f"{good} and with a certainty of at least {manifest.threshold_at(recommended).value:.4f} in {recommended}, the recommended "
        "precision. All others are rejected.",
        "",
        f"- Classes, in the order of the scores: {', '.join(map(literal, manifest.classes))}; {good} passes.",
        f"- Input: {_input(manifest.input)}.",
        "- Not for another product, lamp, camera or kind of unknown than its images show. Figures from rendered images "
        "(`tools/synthesize.py`) do not hold for photos of real labels: train and calibrate with your own photos before you "
        "use it.",
        "- Not for naming faults that it was not trained with: such a fault is rejected as uncertain, is rejected under the name "
        "of another fault, or passes. If a label has several faults, it names one.",
        "",
    ]


def _input(spec: InputSpec) -> str:
    colours = "grey" if spec.channels == 1 else "colour"
    size = f"{spec.width}x{spec.height} px, {colours}"
    region = spec.region
    if region == Region():
        return f"{size}, of the whole image"
    across, down = f"{region.left:.0%} to {region.right:.0%}", f"{region.top:.0%} to {region.bottom:.0%}"
    return f"{size}, of the region from {across} of the image's width and {down} of its height; nothing outside of it is inspected"


def _guarantee(threshold: Threshold, checks: Sequence[Check]) -> list[str]:
    low, high = threshold.false_reject_interval
    return [
        "## Guarantee",
        "",
        f"In fp32, at threshold {threshold.value:.4f}, {guarantee(threshold)}. This holds with {threshold.confidence:.0%} "
        "confidence, only for labels like the calibration parts (exchangeability). It does "
        "not hold for another product, lamp, camera or kind of unknown, nor for another mix of the faults and unknowns below.",
        "",
        f"- {threshold.method}; fingerprint {threshold.calibration_fingerprint[:16]}.",
        f"- {threshold.n_good} good and {threshold.n_bad} faulty or unknown calibration parts were used. Photos of one part count "
        "once, if a manifest groups them; equal files always do.",
        f"- {threshold.false_reject_rate:.2%} of the good ones are rejected (95 % interval {low:.2%} to {high:.2%}).",
        *(f"- {check.sentence}" for check in checks),
        *table(
            ("calibration parts of", "passed", f"at most, each at {threshold.confidence:.0%}"),
            [
                *(
                    (literal(name), f"{kind.passed} of {kind.n}", f"{kind.bound:.2%}")
                    for name, kind in threshold.false_accepts.items()
                ),
                ("all, in this mix", "", f"{threshold.false_accept_bound:.2%}"),
            ],
        ),
        "The rates at other thresholds, also in `threshold.csv`:",
        "",
        "![Shares passed and rejected over the threshold](threshold.png)",
        "",
    ]


def _making(manifest: Manifest) -> list[str]:
    training = manifest.training
    run, settings = training["run"], training["settings"]
    return [
        "## How it was made",
        "",
        f"- Trained with {run['n_train']} images (validation: {run['n_validation']}), backbone from "
        f"{literal(str(run['weights']))}, fingerprint {run['data_fingerprint'][:16]}.",
        *(
            f"- {key}: {literal(str(value))}"
            for key, value in settings.items()
            if key not in ("classes", "pass_class", "input")
        ),
        f"- Exported with fp16 weights; largest difference of a score to PyTorch: {training['parity']}.",
        "",
    ]
