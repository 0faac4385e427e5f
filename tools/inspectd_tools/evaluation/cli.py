"""Measure how well a training run or an engine bundle classifies labelled photos, and show its answer for each photo.

For a run, the classes are compared. For an engine, also the verdicts at its threshold: it runs as on the line, one photo
at a time.
"""

import argparse
import sys
from pathlib import Path

from inspectd_tools.cli import add_device_option, exit_code, new_parser, not_negative, renamed
from inspectd_tools.data.manifest import SPLITS
from inspectd_tools.evaluation.options import TORCH, Options

_EPILOG = """\
examples:
  python tools/evaluate.py runs/tiles --data tiles.csv --unknown photos/steel --out out/tiles
  python tools/evaluate.py engines/filter-label --data out/test --out out/filter-label --limit 200 --calc_speed
  python tools/evaluate.py runs/duq-fashionmnist --out out/fashion
      a run of a published set is evaluated on that set's test images

written to --out:
  results.json, predictions.csv   all figures; one row per photo
  confusion.png, certainty.png    confusion matrix; errors if uncertain photos are rejected, and the certainty of right, wrong and unknown photos
  wrong.png, false_accepts.png, false_rejects.png, unknown.png
                                  the worst errors of each kind, if there are any
  annotated/<truth>/              photos with class, certainty, truth and verdict; the number in the name is the row in
                                  predictions.csv

exit codes: 0 done, 1 a file could not be written, 2 wrong usage, 78 the model or the photos cannot be used"""


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__, _EPILOG)
    program.add_argument("model", type=Path, help="run folder of tools/train.py, or engine bundle")
    program.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="manifest of tools/prepare_data.py (csv), or folder with one folder of photos per class; photos of other "
        "classes count as unknown",
    )
    program.add_argument("--split", choices=SPLITS, default="test", help="part of the manifest; default: test")
    program.add_argument(
        "--unknown",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="unknown photos: a folder or an idx file; may be repeated",
    )
    renamed(program, "--ood", "--unknown")
    program.add_argument("--out", type=Path, required=True, help="new folder")
    program.add_argument(
        "--limit", type=not_negative, metavar="N", help="annotate at most N photos, errors first; default: all"
    )
    program.add_argument(
        "--backend",
        choices=("auto", "openvino", "onnxruntime", "tensorrt", TORCH),
        help=f"default for an engine: auto, as the line chooses; a run needs {TORCH}, its default",
    )
    program.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "int8"),
        default="auto",
        help="arithmetic of an engine; default: auto, as the line chooses",
    )
    add_device_option(program)
    program.add_argument(
        "--convert_trt",
        action="store_true",
        help="first build a TensorRT plan in a copy of the bundle (--out/engine), and evaluate that copy",
    )
    program.add_argument(
        "--calc_speed", action="store_true", help="time the model on every backend and precision it can run on here"
    )
    return program


def main(arguments: list[str] | None = None) -> int:
    program = parser()
    options = Options(**vars(program.parse_args(arguments)))
    if options.out.exists():
        program.error(f"--out {options.out}: exists; give a new folder, so that no earlier result is lost")
    return exit_code("evaluate", lambda: _evaluate(options))


def _evaluate(options: Options) -> None:
    from inspectd_tools.evaluation.evaluate import evaluate  # torch takes seconds to import

    evaluate(options)


if __name__ == "__main__":
    sys.exit(main())
