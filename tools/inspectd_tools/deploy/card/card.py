"""The card as Markdown, every figure from the program, and as a page."""

from collections.abc import Sequence
from pathlib import Path

from inspectd.inference.manifest import Manifest, Threshold
from inspectd.inference.preprocess import InputSpec, Region
from inspectd_tools.deploy.card.cases import cases
from inspectd_tools.deploy.card.examples import choose, write_examples
from inspectd_tools.deploy.card.html import write_page
from inspectd_tools.deploy.card.markdown import literal, table
from inspectd_tools.deploy.card.performance import blind_spots, precisions, worth
from inspectd_tools.deploy.precision import Candidate
from inspectd_tools.deploy.predict import Judged
from inspectd_tools.deploy.threshold import images_needed, promise
from inspectd_tools.explain.network import Network
from inspectd_tools.networks.classifier import Classifier
from inspectd_tools.settings import TrainingSettings

_EXAMPLES = "explanations.jpg"
_LOOKS = f"""\
Of each class the test image of middling certainty among those it gets right, then the worst: bad ones most certainly taken
for good, and good ones least. Bright are the pixels (saliency) that the choice of its class over the others moves with.
Don't believe a map unchecked: `tools/explain.py check` says which to believe.

![Photos and where the engine looks]({_EXAMPLES})"""


def write_card(
    bundle: Path,
    manifest: Manifest,
    settings: TrainingSettings,
    classifier: Classifier,
    test: Judged,
    candidates: Sequence[Candidate],
    tried: str,
) -> None:
    """`card.md`, `card.html` and `explanations.jpg`, beside the `threshold.png` that is there.

    `classifier`: what was exported; `test`: by fp32; `candidates`: the precisions offered, fp32 first; `tried`: how the promise
    fared.
    """
    found = cases(test, manifest)
    write_examples(bundle / _EXAMPLES, choose(found, manifest.classes), Network(classifier, "contrast"), test, settings)
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        f"{literal(manifest.architecture)}; made {manifest.created:%Y-%m-%d} at commit {manifest.git_commit[:12]}.",
        "",
        *_purpose(manifest),
        *_promise(manifest.threshold, tried),
        *worth(found, manifest, test.images.fingerprint),
        *blind_spots(found, manifest, test),
        "## Where it looks",
        "",
        _LOOKS,
        "",
        *precisions(candidates, manifest, test, settings),
        *_making(manifest),
    ]
    text = "\n".join(lines)
    (bundle / "card.md").write_text(text, encoding="utf-8")
    write_page(bundle / "card.html", text)


def _purpose(manifest: Manifest) -> list[str]:
    good = literal(manifest.pass_class)
    return [
        "## What it is for",
        "",
        f"It tells whether a label like those it learnt from is {good}. Only that passes, at a certainty of "
        f"{manifest.threshold.value:.4f} or more; the rest is rejected.",
        "",
        f"- Classes, in the order of the scores: {', '.join(map(literal, manifest.classes))}; {good} passes.",
        f"- Input: {_input(manifest.input)}.",
        "- Not for another product, lamp, camera or kind of unknown than its images show. Rendered images "
        "(`tools/synthesize.py`) tell nothing about photographs of real labels: retrain and calibrate on your own before a "
        "label of yours depends on it.",
        "- Not for naming what it never learnt: a new fault is rejected as uncertain, or by the name of another, or passes; "
        "and of several faults on one label it names one.",
        "",
    ]


def _input(spec: InputSpec) -> str:
    colours = "grey" if spec.channels == 1 else "colour"
    size = f"{spec.width}x{spec.height} px, {colours}"
    region = spec.region
    if region == Region():
        return f"{size}, of the whole image"
    across, down = f"{region.left:.0%} to {region.right:.0%}", f"{region.top:.0%} to {region.bottom:.0%}"
    return f"{size}, of the region from {across} of the image's width and {down} of its height; nothing outside is looked at"


def _promise(threshold: Threshold, tried: str) -> list[str]:
    low, high = threshold.false_reject_interval
    return [
        "## What is promised",
        "",
        f"At threshold {threshold.value:.4f} {promise(threshold)}. This is so unless the calibration images were an unlucky draw (probability {1 - threshold.confidence:.0%}), "
        "and for labels drawn as they were (exchangeability): another product, lamp, camera, or kind of unknown is not covered, "
        "nor is another mix of the faults and unknowns below.",
        "",
        f"- {threshold.method}; fingerprint {threshold.calibration_fingerprint[:16]}.",
        f"- {threshold.n_good} good and {threshold.n_bad} faulty or unknown calibration images; the bound asked needs "
        f"{images_needed(threshold.alpha)} faulty and as many unknown ones, none of them passed.",
        f"- Of the good ones {threshold.false_reject_rate:.2%} are rejected (95 % interval {low:.2%} to {high:.2%}).",
        f"- {tried}",
        *table(
            ("calibration images of", "passed", f"at most, each at {threshold.confidence:.0%}"),
            [
                *(
                    (literal(name), f"{kind.passed} of {kind.n}", f"{kind.bound:.2%}")
                    for name, kind in threshold.false_accepts.items()
                ),
                ("all, in this mix", "", f"{threshold.false_accept_bound:.2%}"),
            ],
        ),
        "What other thresholds would cost, also in `threshold.csv`:",
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
        f"- Trained on {run['n_train']} images (validation: {run['n_validation']}), backbone from "
        f"{literal(str(run['weights']))}, fingerprint {run['data_fingerprint'][:16]}.",
        *(
            f"- {key}: {literal(str(value))}"
            for key, value in settings.items()
            if key not in ("classes", "pass_class", "input")
        ),
        f"- Exported with fp16 weights; largest score difference to PyTorch: {training['parity']}.",
        "",
    ]
