"""Make an engine bundle of a training run: export, check against PyTorch, choose the threshold, test, write the card.

Calibration images choose the threshold, test images choose nothing, and neither may have been trained on. They come from
the manifest of the training (its val and test photos), or from folders of their own with one folder a class; folders
whose names begin with `unknown_` hold what the engine must not know.
"""

import argparse
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from inspectd.inference import InferenceConfig, load_bundle, load_engine, write_manifest
from inspectd.inference.manifest import Manifest, Threshold
from inspectd.terminal import console
from inspectd_tools.cli import exit_code
from inspectd_tools.deploy.bundle import described, golden_places, listed, write_golden
from inspectd_tools.deploy.card.card import write_card
from inspectd_tools.deploy.export import write_model_files
from inspectd_tools.deploy.onnx_graph import in_half_precision
from inspectd_tools.deploy.parity import check_parity
from inspectd_tools.deploy.precision import WANTED, choose, precision_table, try_out, try_out_plan
from inspectd_tools.deploy.predict import judge, openvino_network
from inspectd_tools.deploy.tensorrt import write_plan
from inspectd_tools.deploy.threshold import (
    USUAL_ALPHA,
    Groups,
    broken_promises,
    calibrate,
    images_needed,
    promise,
    usual_alpha,
)
from inspectd_tools.deploy.threshold_curve import write_tradeoff
from inspectd_tools.metrics.rates import CONFIDENCE
from inspectd_tools.networks.exported import exported
from inspectd_tools.training.cli import git_commit
from inspectd_tools.training.run_folder import read_run

_GOLDEN_TOLERANCE = 0.02
_DRAWS = 1000
_EPILOG = """\
examples:
  python tools/build_engine.py runs/filter-label --name filter-label --version 1.0.0 \\
      --calibration out/calibration --test out/test --out engines/filter-label
  python tools/build_engine.py runs/tiles --name tiles --data tiles.csv --precision auto --out engines/tiles

exit codes: 0 done, 1 the disk refused, 2 wrong usage, 78 the run or the images can't be used"""


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
    parser.add_argument(
        "--precision",
        choices=WANTED,
        default="fp32",
        help="what the CPU may compute in beside fp32, which is always there; auto: measures here and recommends the "
        "fastest whose verdicts are fp32's; default: fp32",
    )
    parser.add_argument(
        "--tensorrt",
        nargs="?",
        choices=("fp16", "int8"),
        const="fp16",
        help="add a TensorRT plan: for the GPU here, or with tensorrt_rtx for RTX GPUs elsewhere; needs no GPU then. fp16, or "
        "int8 beside it, refused where its verdicts are not fp32's; default without a value: fp16",
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder for the bundle")
    args = parser.parse_args(arguments)
    if args.out.exists():
        parser.error(f"{args.out}: exists; give a new folder, so that no engine is lost")
    args.calibration, args.test = args.calibration or args.data, args.test or args.data
    if args.calibration is None or args.test is None:
        parser.error("--data: must be given, or --calibration and --test")
    code = exit_code("build_engine", lambda: _build(args))
    if code != 0:
        shutil.rmtree(args.out, ignore_errors=True)
    return code


def _build(args: argparse.Namespace) -> None:
    settings, classifier, provenance = read_run(args.run)
    model = exported(classifier.eval(), settings.input)
    models = write_model_files(model, settings.input, args.out)
    network = openvino_network(args.out / "openvino" / "model.xml")
    calibration = judge(args.calibration, "val", settings, network)
    parity = check_parity(model, calibration, args.out)
    test = judge(args.test, "test", settings, network)

    groups = calibration.groups(settings)
    remark = ", on photos that also chose the epoch" if args.calibration == args.data else ""
    threshold = calibrate(groups, calibration.images.fingerprint, args.alpha or _what_can_be_shown(groups), remark)
    tried = try_out(args.precision, args.out, calibration, threshold, settings, remark)
    offered, chosen, int8_files = choose(tried, args.precision, args.out)
    models += int8_files
    plans = []
    if args.tensorrt:
        whole = (args.out / "model.onnx").read_bytes()
        models.append(write_plan(args.out, in_half_precision(whole), "fp16"))
        if args.tensorrt == "int8":
            plan, graph = try_out_plan(whole, calibration, threshold, settings, remark)
            models.append(write_plan(args.out, graph, "int8"))
            plans.append(plan)
    golden = golden_places(calibration)
    manifest = Manifest(
        name=args.name,
        version=args.version,
        created=datetime.now(UTC).replace(microsecond=0),
        git_commit=git_commit(),
        architecture=f"{settings.model}, {'DUQ' if settings.RBF_flag else 'softmax'}",
        classes=settings.classes,
        pass_class=settings.pass_class,
        input=settings.input,
        head=described(classifier),
        threshold=threshold,
        files=listed(models, args.out),
        golden=write_golden(calibration, golden, args.out),
        golden_tolerance=_GOLDEN_TOLERANCE,
        precisions={c.precision: c.arithmetic(golden) for c in (*offered, *plans) if c.precision != "fp32"},
        recommended=chosen.precision,
        training={"settings": settings.model_dump(mode="json"), "run": provenance, "parity": parity},
    )
    write_manifest(args.out, manifest)
    for candidate in offered:
        load_engine(load_bundle(args.out), InferenceConfig(backend="openvino", precision=candidate.precision))

    write_tradeoff(args.out, groups, threshold)
    fared = _tried_promise(groups, test.groups(settings), threshold)
    write_card(args.out, manifest, settings, classifier, test, [*offered, *plans], fared)
    screen = console()
    screen.print(_bounds_table(threshold))
    if len(tried) + len(plans) > 1:
        screen.print(precision_table([*tried, *plans], chosen))
    print(f"{args.out}: {_summary(threshold)}\n{fared}")


def _what_can_be_shown(groups: Groups) -> float:
    if not groups.unknown:
        print(
            "build_engine: no folder unknown_... is given: what must not be known is not promised to be",
            file=sys.stderr,
        )
    alpha = usual_alpha(groups)
    if alpha > USUAL_ALPHA:
        print(
            f"build_engine: {len(groups.all_faulty)} faulty and {len(groups.all_unknown)} unknown calibration images can show no "
            f"bound below {alpha:.1%}; {images_needed(USUAL_ALPHA)} of each would show {USUAL_ALPHA:.2%}",
            file=sys.stderr,
        )
    return alpha


def _tried_promise(calibration: Groups, test: Groups, threshold: Threshold) -> str:
    """One sentence: how the promise fared when calibration sets of this size were drawn at random from all images."""
    everything = calibration.joined(test)
    n_faulty, n_unknown = len(calibration.all_faulty), len(calibration.all_unknown)
    broken = broken_promises(everything, n_faulty, n_unknown, threshold.alpha, _DRAWS)
    return (
        f"Tried: of {_DRAWS} calibration sets of this size, drawn at random from the {len(everything.all_faulty)} faulty and "
        f"{len(everything.all_unknown)} unknown calibration and test images, {broken} chose a threshold at which more than "
        f"{threshold.alpha:.2%} of all of them pass; at most {_DRAWS * (1 - CONFIDENCE):.0f} may."
    )


def _bounds_table(threshold: Threshold) -> Table:
    table = Table("calibration images of", "passed", f"at most, at {threshold.confidence:.0%} confidence")
    for name, kind in threshold.false_accepts.items():
        table.add_row(name, f"{kind.passed} of {kind.n}", f"{kind.bound:.2%}")
    table.add_row("all, in this mix", "", f"{threshold.false_accept_bound:.2%}")
    table.caption = "for labels drawn as these images were (exchangeability)"
    return table


def _summary(threshold: Threshold) -> str:
    low, high = threshold.false_reject_interval
    return (
        f"threshold {threshold.value:.4f}: {promise(threshold)}, at {threshold.confidence:.0%} confidence, where the line's are "
        f"like these (needs {images_needed(threshold.alpha)} of each, none passed); {threshold.false_reject_rate:.2%} false rejects (95 % interval {low:.2%} to {high:.2%})"
    )


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must lie between 0 and 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
