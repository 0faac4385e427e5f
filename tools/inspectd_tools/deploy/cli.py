"""Make an engine bundle from a training run: export it, fit a guard, choose the threshold for both, test, write the card.

The guard sees small faults. It is fitted to good training photos; the good calibration images choose its limits. The calibration
images choose the threshold. The test images are used for no choice. None of them may be images that the
network was trained with. They come from the manifest of the training (its val and test photos), or from folders with one
folder of photos per class; folders whose names begin with `unknown_` hold images of which the engine must be uncertain.
After a training with cross-validation, the photos of train and val choose the threshold, each judged by a network that did not
learn from its part.
"""

import argparse
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from inspectd.inference.manifest import Manifest
from inspectd.learning.cap import USUAL_CAP
from inspectd.learning.threshold import USUAL_ALPHA
from inspectd_tools.cli import exit_code, new_parser
from inspectd_tools.deploy.guard.options import add_guard_options
from inspectd_tools.deploy.options import WANTED, Options

_EPILOG = """\
examples:
  python tools/build_engine.py runs/filter-label --name filter-label --version 1.0.0 \\
      --calibration out/calibration --test out/test --out engines/filter-label
  python tools/build_engine.py runs/tiles --name tiles --data tiles.csv --precision auto --out engines/tiles

exit codes: 0 done, 1 the disk reports an error, 2 wrong usage, 78 the run or the images can't be used"""


def parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__, _EPILOG)
    parser.add_argument("run", type=Path, help="folder that tools/train.py wrote")
    parser.add_argument(
        "--name",
        type=partial(_manifest_text, "name"),
        required=True,
        help="name of the engine, such as filter-label: small letters, digits, '.', '_' and '-'",
    )
    parser.add_argument(
        "--version",
        type=partial(_manifest_text, "version"),
        default="1.0.0",
        help="version of the engine, three numbers; default: 1.0.0",
    )
    parser.add_argument(
        "--data", type=Path, metavar="CSV", help="manifest: calibrate with its val photos, test with its test photos"
    )
    parser.add_argument(
        "--calibration", type=Path, metavar="PATH", help="manifest or folder of the calibration images; default: --data"
    )
    parser.add_argument(
        "--test", type=Path, metavar="PATH", help="manifest or folder of the test images; default: --data"
    )
    parser.add_argument(
        "--alpha",
        type=_shares,
        metavar="X",
        help="at most this share of the faulty labels, and of the unknown ones, passes; between 0 and 1; default: "
        f"{USUAL_ALPHA}, or the lowest bound that so few parts can show. Several values, such as 0.0025,0.01, show what each "
        "costs; the first makes the engine. Name all that you may want at once: further values on the same photos lower the "
        "confidence",
    )
    parser.add_argument(
        "--good-rejected",
        type=_share,
        metavar="X",
        help="certainty rejects at most this share of the good calibration parts that class and guard let pass; above 0 and up to 1 "
        "(no limit). If the bound of --alpha costs more, the threshold is lower, and the command says which bound holds there; default: "
        f"{USUAL_CAP} after cross-validation without --alpha, else 1",
    )
    parser.add_argument(
        "--precision",
        choices=WANTED,
        default="fp32",
        help="arithmetic that the engine offers on the CPU besides fp32, which it always offers. auto: time all of them here "
        "and recommend the fastest that gives the same verdicts as fp32; default: fp32",
    )
    parser.add_argument(
        "--tensorrt",
        nargs="?",
        choices=("fp16", "int8"),
        const="fp16",
        help="add a TensorRT plan: for the GPU of this machine, or with tensorrt_rtx for RTX GPUs of other machines, which "
        "needs no GPU here. int8: add an INT8 plan too, but only if it gives the same verdicts as fp32; default without "
        "a value: fp16",
    )
    parser.add_argument(
        "--guard-photos",
        type=Path,
        metavar="PATH",
        help="manifest whose good train photos fit the guard, or folder that holds a folder of good photos with the name of "
        "the pass class; default: the good photos that the run was trained with",
    )
    parser.add_argument("--no-guard", action="store_true", help="build an engine that sees no small faults")
    add_guard_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="new folder for the bundle")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = Options(**vars(parser().parse_args(arguments)))
    if options.out.exists():
        parser().error(f"{options.out}: exists; give a new folder, so that no engine is lost")
    calibration, test = options.calibration or options.data, options.test or options.data
    if calibration is None or test is None:
        parser().error("--data: must be given, or --calibration and --test")
    return exit_code("build_engine", lambda: _build_beside(options, calibration, test))


def _build_beside(options: Options, calibration: Path, test: Path) -> None:
    """Build in a temporary folder, so that --out is a whole bundle or does not exist."""
    from inspectd_tools.deploy.build import build  # torch takes seconds to import

    options.out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{options.out.name}.", dir=options.out.parent) as folder:
        unfinished = Path(folder) / options.out.name
        said = build(replace(options, out=unfinished), calibration, test)
        unfinished.rename(options.out)
    print(f"{options.out}: {said}")


def _manifest_text(key: str, text: str) -> str:
    pattern = Manifest.model_json_schema()["properties"][key]["pattern"]
    if not re.fullmatch(pattern, text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be as {pattern}")
    return text


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: must be above 0 and at most 1")
    return value


def _shares(text: str) -> tuple[float, ...]:
    values = tuple(map(float, text.split(",")))
    if not all(0 < value < 1 for value in values):
        raise argparse.ArgumentTypeError(f"{text}: must be between 0 and 1")
    return tuple(dict.fromkeys(values))


if __name__ == "__main__":
    sys.exit(main())
