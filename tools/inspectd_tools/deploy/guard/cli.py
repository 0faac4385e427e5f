"""Give an engine a guard, which sees small faults: lost ink, spatter, scratches, turned or shifted print.

The guard needs photos of good labels alone, as the camera delivers them. It is fitted to some of them, others choose its
limits, and a test on the rest was not used for any choice. With a manifest these are its train, val and test photos. With a
folder, half of the photos in the folder of the pass class (at most 300) fit the guard, and the others are for limits and
test. The guard can only reject more labels: a label passes if the network lets it pass and the guard finds nothing.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from inspectd.files.atomic_write import atomic_write
from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd_tools.cli import exit_code, new_parser, not_negative
from inspectd_tools.deploy.guard.bundle import renew_card, write_with_guard
from inspectd_tools.deploy.guard.detection import detection
from inspectd_tools.deploy.guard.fitting import fit_guard, golden_scores
from inspectd_tools.deploy.guard.photos import good_photos
from inspectd_tools.deploy.guard.section import section, summary
from inspectd_tools.detectability.report import write_picture

_EPILOG = """\
examples:
  python tools/fit_guard.py out/engines/labels --data labels.csv --out out/engines/labels-guarded
  inspectd-fit-guard out/engines/labels --data photos/labels --rejected 0.005 --out out/engines/labels-guarded

exit codes: 0 done, 1 the disk reports an error, 2 wrong usage, 78 the engine or the photos can't be used"""


@dataclass(frozen=True, slots=True)
class Options:
    engine: Path
    data: Path
    out: Path
    rejected: float
    surface: Path | None
    seed: int


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
    parser.add_argument("--out", type=Path, required=True, help="new folder for the bundle with the guard")
    parser.add_argument(
        "--rejected",
        type=_small_share,
        default=0.01,
        metavar="X",
        help="at most this share of the photos that choose the limits is rejected, from 0 to 0.2; default: 0.01",
    )
    parser.add_argument(
        "--surface",
        type=Path,
        metavar="WEIGHTS",
        help="also train a network that finds faults anywhere on a surface, for products that can't be compared place by place or "
        "have photos of several sizes; file with pretrained weights of MobileNetV2, as in train.py",
    )
    parser.add_argument(
        "--seed", type=not_negative, default=0, help="draws the photos and the small faults; default: 0"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = Options(**vars(parser().parse_args(arguments)))
    if options.out.exists():
        parser().error(f"{options.out}: exists; give a new folder, so that no engine is lost")
    return exit_code("fit_guard", lambda: _fit(options))


def _fit(options: Options) -> None:
    bundle = load_bundle(options.engine)
    load_engine(bundle, InferenceConfig())
    photos = good_photos(options.data, bundle.manifest.pass_class, options.seed)
    fitted = fit_guard(photos, options.rejected, options.surface, options.seed)
    golden = golden_scores(bundle, fitted.guard)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(options.out) as unfinished:
        try:
            manifest = write_with_guard(bundle, fitted, golden, unfinished)
            engine = load_engine(
                load_bundle(unfinished), InferenceConfig()
            )  # as the line loads it, with its golden images
            found = detection(engine, photos.test, options.seed)
            if not isinstance(found, str):
                write_picture(found, unfinished)
            renew_card(unfinished, manifest, section(fitted, found))
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    print(f"{options.out}: {summary(fitted)}")


def _small_share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 0.2:
        raise argparse.ArgumentTypeError(f"{text}: must be between 0 and 0.2")
    return value


if __name__ == "__main__":
    sys.exit(main())
