"""Give an engine a guard, which sees small faults: lost ink, spatter, scratches, turned or shifted print.

The guard is fitted to photos of good labels, as the camera delivers them; others choose its limits, and a test on the rest was
not used for any choice. With a manifest these are its train, val and test photos. With a folder, half of the photos in the
folder of the pass class (at most 300) fit the guard, and the others are for limits and test. A label passes if the network
lets it pass and the guard finds nothing.

With calibration and test images of all classes, as in the manifest that the engine was built with, the thresholds are chosen
anew, for network and guard together, for the bound that the engine has. Without them the thresholds stay.
"""

import argparse
import sys
from pathlib import Path

from inspectd.files.csv_file import is_csv
from inspectd_tools.cli import exit_code, new_parser, not_negative
from inspectd_tools.deploy.guard.options import FitOptions, add_guard_options

_EPILOG = """\
examples:
  python tools/fit_guard.py out/engines/labels --data labels.csv --out out/engines/labels-guarded
  inspectd-fit-guard out/engines/labels --data photos/labels --rejected 0.005 --out out/engines/labels-guarded

exit codes: 0 done, 1 the disk reports an error, 2 wrong usage, 78 the engine or the photos can't be used"""


def parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__, _EPILOG)
    parser.add_argument("engine", type=Path, help="bundle to add the guard to; it is not changed")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="PATH",
        help="manifest of good photos, or folder that holds a folder with the name of the pass class",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="PATH",
        help="manifest or folder of calibration images of all classes; default: --data",
    )
    parser.add_argument(
        "--test", type=Path, metavar="PATH", help="manifest or folder of test images of all classes; default: --data"
    )
    parser.add_argument("--out", type=Path, required=True, help="new folder for the bundle with the guard")
    add_guard_options(parser)
    parser.add_argument(
        "--seed", type=not_negative, default=0, help="draws the photos and the small faults; default: 0"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = FitOptions(**vars(parser().parse_args(arguments)))
    if options.out.exists():
        parser().error(f"{options.out}: exists; give a new folder, so that no engine is lost")
    if (options.calibration is None) != (options.test is None) and not is_csv(options.data):
        parser().error("--calibration and --test: give both, or neither")
    return exit_code("fit_guard", lambda: _fit(options))


def _fit(options: FitOptions) -> None:
    from inspectd_tools.deploy.guard.adding import add_guard  # torch takes seconds to import

    add_guard(options)


if __name__ == "__main__":
    sys.exit(main())
