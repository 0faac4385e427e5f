"""Make an engine bundle of a training run: export, check against PyTorch, choose the threshold, test, write the card.

Calibration and test images lie in one folder a class; folders whose names begin with `unknown_` hold what the engine
must not know. Neither may have been used for training. Calibration images choose the threshold, test images choose
nothing.
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
from inspectd_tools.dataset.scan import class_photos
from inspectd_tools.train import git_commit
from inspectd_tools.training.calibration import CONFIDENCE, choose_threshold, false_rejects, pass_certainty
from inspectd_tools.training.card import write_card
from inspectd_tools.training.data import Images, load_images
from inspectd_tools.training.duq import DuqHead as DuqTrainingHead
from inspectd_tools.training.experiment import Experiment
from inspectd_tools.training.export import exported, write_model_files
from inspectd_tools.training.loop import BEST
from inspectd_tools.training.models import Classifier, ExportedClassifier

_PARITY = 0.01
_GOLDEN_TOLERANCE = 0.02
_PARITY_IMAGES = 200
_EPILOG = """\
example:
  python tools/build_engine.py runs/filter-label --name filter-label --version 1.0.0 \\
      --calibration out/calibration --test out/test --out engines/filter-label

exit codes: 0 done, 2 wrong usage, 78 the run or the images can't be used"""


@dataclass(frozen=True, slots=True)
class Judged:
    """A calibration or test set and its scores by the exported engine; classes first, then unknown folders."""

    images: Images
    folders: tuple[str, ...]
    scores: NDArray[np.float32]

    def certainty(self, pass_class: int) -> dict[str, NDArray[np.float32]]:
        """Folder -> pass certainty of each of its images."""
        values = pass_certainty(self.scores, pass_class)
        return {folder: values[self.images.labels == place] for place, folder in enumerate(self.folders)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder that tools/train.py has written")
    parser.add_argument("--name", required=True, help="of the engine, e.g. filter-label")
    parser.add_argument("--version", default="1.0.0", help="default: 1.0.0")
    parser.add_argument(
        "--calibration", type=Path, required=True, help="folder of class folders; chooses the threshold"
    )
    parser.add_argument("--test", type=Path, required=True, help="folder of class folders; chooses nothing")
    parser.add_argument("--alpha", type=float, default=0.0025, help="bound of the false-accept rate; default: 0.0025")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the bundle")
    args = parser.parse_args(arguments)
    if args.out.exists():
        parser.error(f"{args.out}: exists; give a new folder, so that no engine is lost")
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
    calibration = _judge(args.calibration, experiment, args.out, "calibrate")
    parity = _check_parity(model, calibration, args.out)
    threshold = _threshold(calibration, experiment, args.alpha)
    test = _judge(args.test, experiment, args.out, "test")
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
    print(f"{args.out}: threshold {threshold.value:.4f}, false rejects {threshold.false_reject_rate:.2%} (calibration)")


def _judge(root: Path, experiment: Experiment, bundle: Path, what: str) -> Judged:
    unknowns = sorted(path.name for path in root.iterdir() if path.name.startswith("unknown_"))
    folders = (*experiment.classes, *unknowns)
    images = load_images(class_photos(root, folders), experiment.input, f"{what}: decode")
    network = openvino.Core().compile_model(
        bundle / "openvino" / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    )
    request = network.create_infer_request()
    scores = [request.infer([pixels[None]])[0][0].copy() for pixels in track(images.pixels, f"{what}: infer")]
    return Judged(images, folders, np.stack(scores))


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


def _threshold(judged: Judged, experiment: Experiment, alpha: float) -> Threshold:
    pass_class = experiment.classes.index(experiment.pass_class)
    certainty = judged.certainty(pass_class)
    good = certainty.pop(experiment.pass_class)
    faulty = np.concatenate([values for name, values in certainty.items() if name in experiment.classes])
    unknown = np.concatenate(
        [np.empty(0, np.float32), *(certainty[name] for name in certainty.keys() - set(experiment.classes))]
    )
    value = choose_threshold(faulty, unknown, alpha)
    accepted = int((faulty >= value).sum() + (unknown >= value).sum())
    return Threshold(
        value=value,
        method=f"lowest threshold with no faulty calibration image passed and at most {alpha:.2%} unknown ones "
        "(Clopper-Pearson bound), tried from strict to lax",
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
    for place, folder in enumerate(judged.folders):
        if place > len({name for name in judged.folders if not name.startswith("unknown_")}):
            break
        first = int(np.flatnonzero(judged.images.labels == place)[0])
        path = f"golden/{folder}.png"
        image = cv2.imread(str(judged.images.files[first]), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(bundle / path), image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        golden.append(
            GoldenImage(path=path, sha256=_sha256(bundle / path), scores=tuple(map(float, judged.scores[first])))
        )
    return tuple(golden)


def _accuracy(judged: Judged, experiment: Experiment) -> tuple[int, int]:
    known = judged.images.labels < len(experiment.classes)
    return int((judged.scores[known].argmax(1) == judged.images.labels[known]).sum()), int(known.sum())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
