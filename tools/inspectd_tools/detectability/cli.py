"""Say how small a fault may be so that an engine still finds it: probability of detection (POD) over the size.

It puts faults of many sizes into your own photos of good parts, and the engine judges them as on the line. The photos must
not be those that trained the engine or chose its limits. Several photos of one part count as one.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from inspectd.inference import InferenceConfig, load_bundle, load_engine
from inspectd_tools.cli import exit_code, new_parser, not_negative, positive, refuse_used_folder
from inspectd_tools.detectability import report, trial
from inspectd_tools.detectability.photos import good_photos
from inspectd_tools.synthetic.small_faults.fault import KINDS, SmallFault

_EPILOG = """\
examples:
  python tools/pod.py engines/filter-label --data labels.csv --out out/pod
  python tools/pod.py out/engines/tiles --data photos/tiles/free --photos 80 --out out/pod

written to --out:
  pod.png              a curve per kind of fault with its lower bound; all hits and misses
  pod.csv              a50, a90 and a90/95 of each kind
  pod-tries.csv        one row per fault that was put in
  pod-sizes.csv        how many are found of each --size
  pod-faults.png       the smallest faults that were found and the largest that were missed, with the verdicts

exit codes: 0 done, 1 a file could not be written, 2 wrong usage, 78 the engine or the photos can't be used"""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; the help of `parser` explains each field."""

    engine: Path
    data: Path
    out: Path
    photos: int
    seed: int
    size: list[SmallFault]


def parser() -> argparse.ArgumentParser:
    program = new_parser(__doc__, _EPILOG)
    program.add_argument("engine", type=Path, help="engine bundle; it is not changed")
    program.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="PATH",
        help="manifest (csv), of which the test photos of the pass class are used; or folder with photos of good parts, or with "
        "a folder that has the name of the pass class",
    )
    program.add_argument("--out", type=Path, required=True, help="new or empty folder")
    program.add_argument(
        "--photos",
        type=positive,
        default=150,
        metavar="N",
        help="use at most N photos, evenly spread; more take longer and give closer bounds; default: 150",
    )
    program.add_argument(
        "--seed", type=not_negative, default=0, help="draws the sizes and places of the faults; default: 0"
    )
    program.add_argument(
        "--size",
        type=_fault,
        action="append",
        default=[],
        metavar="KIND=SIZE",
        help='also put a fault of this size into every photo, and say how many are found: "lost ink=24"; can be given several times',
    )
    return program


def main(arguments: list[str] | None = None) -> int:
    program = parser()
    options = Options(**vars(program.parse_args(arguments)))
    refuse_used_folder(program, options.out)
    return exit_code("pod", lambda: _pod(options))


def _pod(options: Options) -> None:
    bundle = load_bundle(options.engine)
    photos = good_photos(options.data, bundle.manifest.pass_class, options.photos)
    engine = load_engine(bundle, InferenceConfig())
    found = trial.run(engine, photos, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    report.write(found, options.out)
    for line in (*(report.sentence(found, kind) for kind in found.tries), *report.notes(found)):
        print(line)
    if options.size:
        of_size = trial.found_of_size(engine, found, options.size)
        report.write_sizes(of_size, options.out)
        for fault, rate in of_size.items():
            print(f"{fault}: found {rate}")
    print(f"curves: {options.out / report.PICTURE}; faults: {options.out / report.SHEET}")


def _fault(text: str) -> SmallFault:
    """The type of an argument: a kind of fault and its size, such as `lost ink=24`."""
    name, _, size = text.partition("=")
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is None:
        raise argparse.ArgumentTypeError(f"{name!r} is not a kind of fault; the kinds are {', '.join(KINDS)}")
    value = float(size)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: the size must be above 0")
    return SmallFault(kind, value)


if __name__ == "__main__":
    sys.exit(main())
