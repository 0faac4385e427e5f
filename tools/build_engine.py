"""Make an engine bundle of a training run: export, check against PyTorch, choose the threshold, test, write the card.

Calibration images choose the threshold, test images choose nothing, and neither may have been trained on. They come from
the manifest of the training (its val and test photos), or from folders of their own with one folder a class; folders
whose names begin with `unknown_` hold what the engine must not know.
"""

import argparse
import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import openvino
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import load_file

from inspectd.errors import EngineError, InspectdError
from inspectd.inference import InferenceConfig, load_bundle, load_engine, write_manifest
from inspectd.inference.manifest import DuqHead, GoldenImage, Manifest, ModelFile, SoftmaxHead, Threshold
from inspectd.interval import upper_bound
from inspectd_tools.dataset.manifest import UNKNOWN, Split
from inspectd_tools.train import git_commit
from inspectd_tools.training.calibration import (
    CONFIDENCE,
    choose_threshold,
    false_rejects,
    images_needed,
    pass_certainty,
)
from inspectd_tools.training.card import write_card
from inspectd_tools.training.data import Images, load_judged
from inspectd_tools.training.duq import DuqHead as DuqTrainingHead
from inspectd_tools.training.experiment import Experiment
from inspectd_tools.training.export import exported, write_model_files
from inspectd_tools.training.loop import BEST
from inspectd_tools.training.models import Classifier, ExportedClassifier

USUAL_ALPHA = 0.0025
_PARITY = 0.01
_GOLDEN_TOLERANCE = 0.02
_PARITY_IMAGES = 200
_EPILOG = """\
example:
  python tools/build_engine.py runs/filter-label --name filter-label --version 1.0.0 \\
      --calibration out/calibration --test out/test --out engines/filter-label
  python tools/build_engine.py runs/tiles --name tiles --data tiles.csv --out engines/tiles

exit codes: 0 done, 2 wrong usage, 78 the run or the images can't be used"""


@dataclass(frozen=True, slots=True)
class Judged:
    """A calibration or test set and its scores by the exported engine. `names` of the labels: classes, then unknowns."""

    images: Images
    names: tuple[str, ...]
    scores: NDArray[np.float32]

    def certainty(self, pass_class: int) -> dict[str, NDArray[np.floating]]:
        """Class or kind of unknown -> pass certainty of each of its images."""
        values = pass_certainty(self.scores, pass_class)
        return {name: values[self.images.labels == label] for label, name in enumerate(self.names)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder that tools/train.py has written")
    parser.add_argument("--name", required=True, help="of the engine, e.g. filter-label")
    parser.add_argument("--version", default="1.0.0", help="default: 1.0.0")
    parser.add_argument(
        "--data", type=Path, metavar="CSV", help="manifest: calibrate on its val, test on its test photos"
    )
    parser.add_argument("--calibration", type=Path, metavar="PATH", help="manifest or folder; default: --data")
    parser.add_argument("--test", type=Path, metavar="PATH", help="manifest or folder; default: --data")
    parser.add_argument(
        "--alpha",
        type=_share,
        help=f"bound of the false-accept rate, 0 to 1; default: {USUAL_ALPHA}, or what so few images can show",
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder for the bundle")
    args = parser.parse_args(arguments)
    if args.out.exists():
        parser.error(f"{args.out}: exists; give a new folder, so that no engine is lost")
    args.calibration, args.test = args.calibration or args.data, args.test or args.data
    if args.calibration is None or args.test is None:
        parser.error("--data: must be given, or --calibration and --test")
    try:
        _build(args)
    except InspectdError as error:
        shutil.rmtree(args.out, ignore_errors=True)
        print(f"build_engine: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _build(args: argparse.Namespace) -> None:
    experiment = Experiment.model_validate_json((args.run / "experiment.json").read_text(encoding="utf-8"))
    classifier = Classifier(experiment)
    classifier.load_state_dict(load_file(args.run / BEST))
    model = exported(classifier.eval(), experiment.input)
    (args.out / "openvino").mkdir(parents=True)
    files = write_model_files(model, experiment.input, args.out)
    calibration = _judge(args.calibration, "val", experiment, args.out)
    parity = _check_parity(model, calibration, args.out)
    threshold = _threshold(calibration, experiment, args.alpha, chose_the_epoch=args.calibration == args.data)
    test = _judge(args.test, "test", experiment, args.out)
    provenance = json.loads((args.run / "provenance.json").read_text(encoding="utf-8"))
    manifest = Manifest(
        name=args.name,
        version=args.version,
        created=datetime.now(UTC).replace(microsecond=0),
        git_commit=git_commit(),
        architecture=f"{experiment.model}, {'DUQ' if experiment.RBF_flag else 'softmax'}",
        classes=experiment.classes,
        pass_class=experiment.pass_class,
        input=experiment.input,
        head=_head(classifier),
        threshold=threshold,
        files=tuple(
            ModelFile(path=path, sha256=_sha256(args.out / path), backend=backend, precision="fp16")  # type: ignore[arg-type]
            for path, backend in files
        ),
        golden=_golden(calibration, args.out),
        golden_tolerance=_GOLDEN_TOLERANCE,
        training={"experiment": experiment.model_dump(mode="json"), "run": provenance, "parity": parity},
    )
    write_manifest(args.out, manifest)
    load_engine(load_bundle(args.out), InferenceConfig())
    pass_class = experiment.classes.index(experiment.pass_class)
    write_card(args.out / "card.md", manifest, test.certainty(pass_class), _accuracy(test, experiment), test.images)
    print(
        f"{args.out}: threshold {threshold.value:.4f}; on the {threshold.n_good + threshold.n_bad} calibration images "
        f"{threshold.false_reject_rate:.2%} false rejects; at most {threshold.false_accept_bound:.2%} of faulty or "
        f"unknown ones pass, at {threshold.confidence:.0%} confidence, where the line's are like these"
    )


def _judge(source: Path, side: Split, experiment: Experiment, bundle: Path) -> Judged:
    images, names = load_judged(source, side, experiment.classes, experiment.input, f"{side}: decode")
    network = openvino.Core().compile_model(
        bundle / "openvino" / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    )
    request = network.create_infer_request()
    scores = [request.infer([pixels[None]])[0][0].copy() for pixels in track(images.pixels, f"{side}: infer")]
    return Judged(images, names, np.stack(scores))


def _check_parity(model: ExportedClassifier, judged: Judged, bundle: Path) -> dict[str, float]:
    """Largest score difference to PyTorch over a spread of real images. Raises EngineError beyond 0.01."""
    places = np.linspace(0, len(judged.scores) - 1, min(_PARITY_IMAGES, len(judged.scores))).astype(int)
    session = onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    found = {"openvino": 0.0, "onnxruntime": 0.0}
    for place in places:
        pixels = judged.images.pixels[place][None]
        with torch.no_grad():
            expected = model(torch.from_numpy(pixels)).numpy()
        (onnx_scores,) = session.run(None, {"image": pixels})
        found["onnxruntime"] = max(found["onnxruntime"], float(np.abs(onnx_scores - expected).max()))
        found["openvino"] = max(found["openvino"], float(np.abs(judged.scores[place] - expected).max()))
    if max(found.values()) > _PARITY:
        raise EngineError(f"{bundle}: scores differ from PyTorch by more than {_PARITY}: {found}")
    return found


def _threshold(judged: Judged, experiment: Experiment, alpha: float | None, *, chose_the_epoch: bool) -> Threshold:
    pass_class = experiment.classes.index(experiment.pass_class)
    certainty = judged.certainty(pass_class)
    good = certainty.pop(experiment.pass_class)
    faulty = np.concatenate([values for name, values in certainty.items() if not name.startswith(UNKNOWN)])
    unknown = np.concatenate(
        [np.empty(0, np.float32), *(values for name, values in certainty.items() if name.startswith(UNKNOWN))]
    )
    if alpha is None:
        alpha = max(USUAL_ALPHA, *(upper_bound(0, len(group)) for group in (faulty, unknown) if len(group)))
        if alpha > USUAL_ALPHA:
            print(
                f"build_engine: {len(faulty)} faulty and {len(unknown)} unknown calibration images can show no bound below "
                f"{alpha:.1%}; {images_needed(USUAL_ALPHA)} of each would show {USUAL_ALPHA:.2%}",
                file=sys.stderr,
            )
    value = choose_threshold(faulty, unknown, alpha)
    accepted = int((faulty >= value).sum() + (unknown >= value).sum())
    return Threshold(
        value=value,
        method=f"lowest threshold with no faulty calibration image passed and at most {alpha:.2%} unknown ones "
        "(Clopper-Pearson bound), tried from strict to lax"
        + (", on photos that also chose the epoch" if chose_the_epoch else ""),
        calibration_fingerprint=judged.images.fingerprint,
        n_good=len(good),
        n_bad=len(faulty) + len(unknown),
        false_accept_bound=upper_bound(accepted, len(faulty) + len(unknown), CONFIDENCE),
        confidence=CONFIDENCE,
        false_reject_rate=false_rejects(good, value).share,
    )


def _head(classifier: Classifier) -> DuqHead | SoftmaxHead:
    head = classifier.head
    if not isinstance(head, DuqTrainingHead):
        return SoftmaxHead(kind="softmax")
    return DuqHead(kind="duq", length_scale=float(head.length_scale), centroid_size=len(head.weight))


def _golden(judged: Judged, bundle: Path) -> tuple[GoldenImage, ...]:
    """One camera image of each class and one unknown, with its scores."""
    (bundle / "golden").mkdir()
    golden = []
    first_unknown = sum(not name.startswith(UNKNOWN) for name in judged.names)
    for label, name in enumerate(judged.names[: first_unknown + 1]):
        first = int(np.flatnonzero(judged.images.labels == label)[0])
        path = f"golden/{name}.png"
        image = cv2.imread(str(judged.images.files[first]), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(bundle / path), image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        golden.append(
            GoldenImage(path=path, sha256=_sha256(bundle / path), scores=tuple(map(float, judged.scores[first])))
        )
    return tuple(golden)


def _accuracy(judged: Judged, experiment: Experiment) -> tuple[int, int]:
    known = judged.images.labels < len(experiment.classes)
    return int((judged.scores[known].argmax(1) == judged.images.labels[known]).sum()), int(known.sum())


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must lie between 0 and 1")
    return value


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
